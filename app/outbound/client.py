"""An HTTP client for one request to a checked target: pinned, bounded in time and bytes, without redirects or proxies.

Built on httpcore and its documented `NetworkBackend`: the backend opens the socket to a checked address, httpcore
itself starts TLS for the original name. (Rewriting the URL to the address would make SNI and the certificate's name
ours to get right; a client such as httpx would bring redirects, cookies and proxies only to have them switched off.)
"""

from __future__ import annotations

import ssl
import time
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING, Any

import certifi
import httpcore

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from app.outbound.resolver import IPAddress
    from app.outbound.target import CheckedTarget

#: how many of a name's addresses are tried: enough for IPv6 and IPv4, and an end to a list made to hold us up
MAX_ADDRESSES = 4


class OutboundError(Exception):
    """No answer: could not connect, TLS failed, the connection broke, or the time was up. `kind` is for the record."""

    def __init__(self, kind: str, *, timed_out: bool = False) -> None:
        super().__init__(kind)
        self.kind = kind
        self.timed_out = timed_out


@dataclass(frozen=True)
class Reply:
    """What the receiver answered. 3xx is an answer like any other: nothing is followed."""

    status: int
    #: names in lower case; of repeated ones the last
    headers: Mapping[str, str]
    #: as sent (no decompression), cut off at the limit
    body: bytes
    #: False if the body was longer than the limit, or had not ended when the time was up
    complete: bool


class OutboundClient:
    """Sends single requests to checked targets. Safe to share between threads: each request has its own socket."""

    def __init__(self, *, ssl_context: ssl.SSLContext | None = None) -> None:
        self._ssl_context = ssl_context or _public_authorities()

    def request(
        self,
        method: str,
        target: CheckedTarget,
        *,
        headers: Mapping[str, str],
        content: bytes | None = None,
        timeout_seconds: float,
        max_body_bytes: int = 64 * 1024,
        into: IO[bytes] | None = None,
    ) -> Reply:
        """One request, one connection. `timeout_seconds` is for connecting, sending and receiving together.

        With `into` the body of a 200 is written there, piece by piece, and not kept.

        Raises:
            OutboundError: there was no complete status line and header block.
        """
        deadline = time.monotonic() + timeout_seconds
        pool = httpcore.ConnectionPool(
            ssl_context=self._ssl_context,
            max_connections=1,
            max_keepalive_connections=0,
            retries=0,
            network_backend=_PinnedBackend(target.addresses, deadline),
        )
        url = httpcore.URL(
            scheme=target.scheme.encode(),
            host=target.host.encode(),
            port=target.port,
            target=target.path.encode(),
        )
        sent = {"Host": target.authority, "Connection": "close", **headers}
        try:
            with pool, pool.stream(method, url, headers=list(sent.items()), content=content) as response:
                body, complete = _read(response, max_body_bytes, into if response.status == 200 else None)
                found = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in response.headers}
                return Reply(response.status, found, body, complete)
        except httpcore.TimeoutException as error:
            raise OutboundError(f"no answer within {timeout_seconds:.3g} s", timed_out=True) from error
        except httpcore.ConnectError as error:
            tls = isinstance(error.__cause__ or error.__context__, ssl.SSLError)
            raise OutboundError("TLS failed" if tls else "could not connect") from error
        except (httpcore.NetworkError, httpcore.ProtocolError) as error:
            raise OutboundError("the connection broke or did not speak HTTP") from error


def _read(response: httpcore.Response, max_body_bytes: int, into: IO[bytes] | None) -> tuple[bytes, bool]:
    """The body up to the limit, and whether that is all of it. The status counts even if the body never ends."""
    body = bytearray()
    left = max_body_bytes
    try:
        for chunk in response.iter_stream():
            piece = chunk[:left]
            if into is None:
                body += piece
            else:
                into.write(piece)
            left -= len(chunk)
            if left < 0:
                return bytes(body), False
    except (httpcore.TimeoutException, httpcore.NetworkError, httpcore.ProtocolError):
        return bytes(body), False
    return bytes(body), True


def _public_authorities() -> ssl.SSLContext:
    """The system's certificate authorities (and SSL_CERT_FILE), plus certifi's for a Python that knows none."""
    context = ssl.create_default_context()
    context.load_verify_locations(certifi.where())
    return context


class _PinnedBackend(httpcore.NetworkBackend):
    """Opens sockets to the given addresses, whatever name it is asked for: it has nothing to look a name up with."""

    def __init__(self, addresses: Sequence[IPAddress], deadline: float) -> None:
        self._addresses = addresses[:MAX_ADDRESSES]
        self._deadline = deadline

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ARG002 - the deadline is ours
        local_address: str | None = None,  # noqa: ARG002
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,
    ) -> httpcore.NetworkStream:
        del host
        last: httpcore.ConnectError | httpcore.ConnectTimeout | None = None
        for tried, address in enumerate(self._addresses):
            # An equal share for each address that is left: a dead first one must not use up the time of the second.
            share = _remaining(self._deadline, httpcore.ConnectTimeout) / (len(self._addresses) - tried)
            try:
                # A literal address: `create_connection` inside has no name to resolve.
                stream = httpcore.SyncBackend().connect_tcp(
                    str(address), port, timeout=share, socket_options=socket_options or ()
                )
            except (httpcore.ConnectError, httpcore.ConnectTimeout) as error:
                last = error
            else:
                return _DeadlineStream(stream, self._deadline)
        raise last or httpcore.ConnectError("no address")

    def connect_unix_socket(self, path: str, *_args: Any, **_kwargs: Any) -> httpcore.NetworkStream:
        raise httpcore.ConnectError(f"not a place for requests: {path}")


class _DeadlineStream(httpcore.NetworkStream):
    """Gives each step what is left of the whole: a byte a second does not renew anything."""

    def __init__(self, inner: httpcore.NetworkStream, deadline: float) -> None:
        self._inner = inner
        self._deadline = deadline

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:  # noqa: ARG002
        return self._inner.read(max_bytes, _remaining(self._deadline, httpcore.ReadTimeout))

    def write(self, buffer: bytes, timeout: float | None = None) -> None:  # noqa: ARG002
        # Our own loop: httpcore's renews the timeout for each `send` that takes only a part.
        sock = self._inner.get_extra_info("socket")
        view = memoryview(buffer)
        while view:
            sock.settimeout(_remaining(self._deadline, httpcore.WriteTimeout))
            try:
                view = view[sock.send(view) :]
            except TimeoutError as error:
                raise httpcore.WriteTimeout(str(error)) from error
            except OSError as error:
                raise httpcore.WriteError(str(error)) from error

    def close(self) -> None:
        self._inner.close()

    def start_tls(
        self,
        ssl_context: ssl.SSLContext,
        server_hostname: str | None = None,
        timeout: float | None = None,  # noqa: ARG002
    ) -> httpcore.NetworkStream:
        left = _remaining(self._deadline, httpcore.ConnectTimeout)
        return _DeadlineStream(self._inner.start_tls(ssl_context, server_hostname, left), self._deadline)

    def get_extra_info(self, info: str) -> Any:
        return self._inner.get_extra_info(info)


def _remaining(deadline: float, error: type[httpcore.TimeoutException]) -> float:
    """Seconds until the deadline, raising `error` when there are none (a socket takes 0 for "do not block")."""
    left = deadline - time.monotonic()
    if left <= 0:
        raise error("the time for the whole request is up")
    return left
