"""The connecting client against real sockets: pinned, without proxies, and with TLS for the original name."""

from __future__ import annotations

import contextlib
import socket
import ssl
import subprocess
import threading
import time
from typing import TYPE_CHECKING

import pytest

from app.outbound import CheckedTarget, OutboundClient, OutboundError, check_url
from tests.integration.webhooks.receiver import Receiver, running

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

LOOPBACK = "127.0.0.1"


def target(url: str, *addresses: str) -> CheckedTarget:
    """A checked target whose name leads to these addresses; its host is allowed."""
    host = url.split("/")[2].rpartition(":")[0]
    return check_url(url, (host,), resolver=lambda _host, _port: list(addresses or [LOOPBACK]))


def test_connects_to_the_checked_address(receiver: Receiver, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the name leads to after the check is never asked: no lookup happens when connecting."""
    checked = target(f"http://hooks.example:{receiver.port}/x", LOOPBACK)
    real = socket.getaddrinfo

    def only_literals(host: str, *args: object, **kwargs: object) -> object:
        assert host == LOOPBACK, "looked up again"
        return real(host, *args, **kwargs)  # type: ignore[arg-type]

    monkeypatch.setattr(socket, "getaddrinfo", only_literals)
    reply = OutboundClient().request("POST", checked, headers={}, content=b"{}", timeout_seconds=5)
    assert reply.status == 200
    assert receiver.received[0].headers["host"] == f"hooks.example:{receiver.port}"


def test_next_address_when_the_first_is_dead(receiver: Receiver) -> None:
    """A name with several addresses is reached at one that answers."""
    checked = target(f"http://hooks.example:{receiver.port}/", "127.0.0.77", LOOPBACK)
    assert OutboundClient().request("POST", checked, headers={}, content=b"{}", timeout_seconds=5).status == 200


def test_proxies_of_the_environment_are_ignored(receiver: Receiver, monkeypatch: pytest.MonkeyPatch) -> None:
    """A proxy would look the name up by itself; none is used."""
    with running() as proxy:
        for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
            monkeypatch.setenv(name, proxy.url(""))
        monkeypatch.delenv("NO_PROXY", raising=False)
        monkeypatch.delenv("no_proxy", raising=False)
        checked = target(f"http://hooks.example:{receiver.port}/")
        assert OutboundClient().request("POST", checked, headers={}, content=b"{}", timeout_seconds=5).status == 200
        assert proxy.received == []


def test_receiver_that_does_not_read(monkeypatch: pytest.MonkeyPatch) -> None:
    """A body that the receiver takes in drops does not hold the client longer than the deadline."""
    with socket.create_server((LOOPBACK, 0)) as server:
        done = threading.Event()

        def sip() -> None:
            peer, _ = server.accept()
            with peer:
                while not done.wait(0.1):
                    peer.recv(1024)

        thread = threading.Thread(target=sip, daemon=True)
        thread.start()
        checked = target(f"http://hooks.example:{server.getsockname()[1]}/")
        began = time.monotonic()
        with pytest.raises(OutboundError) as caught:
            OutboundClient().request("POST", checked, headers={}, content=b"x" * 50_000_000, timeout_seconds=0.8)
        assert time.monotonic() - began < 20
        assert caught.value.timed_out
        done.set()
        thread.join(5)


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A self-signed certificate for hooks.example, and its key."""
    directory = tmp_path_factory.mktemp("tls")
    cert, key = directory / "cert.pem", directory / "key.pem"
    command = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=x"
    arguments = ["-addext", "subjectAltName=DNS:hooks.example", "-keyout", str(key), "-out", str(cert)]
    try:
        subprocess.run([*command.split(), *arguments], check=True, capture_output=True)
    except FileNotFoundError:
        pytest.skip("needs the openssl command")
    return cert, key


@contextlib.contextmanager
def tls_receiver(certificate: tuple[Path, Path], seen: list[str | None]) -> Iterator[Receiver]:
    """A receiver behind TLS that notes the names it is asked for."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*certificate)
    context.sni_callback = lambda _socket, name, _context: seen.append(name)
    with running() as receiver:
        receiver.server.socket = context.wrap_socket(receiver.server.socket, server_side=True)
        yield receiver


def test_tls_is_for_the_original_name(certificate: tuple[Path, Path]) -> None:
    """SNI and the certificate's check use the name in the URL, while the socket goes to the checked address."""
    trusting = ssl.create_default_context(cafile=str(certificate[0]))
    seen: list[str | None] = []
    with tls_receiver(certificate, seen) as receiver:
        client = OutboundClient(ssl_context=trusting)
        good = target(f"https://hooks.example:{receiver.port}/")
        assert client.request("POST", good, headers={}, content=b"{}", timeout_seconds=5).status == 200
        assert seen == ["hooks.example"]
        other = target(f"https://other.example:{receiver.port}/")
        with pytest.raises(OutboundError, match="TLS failed"):
            client.request("POST", other, headers={}, content=b"{}", timeout_seconds=5)


def test_unknown_authorities_are_refused(certificate: tuple[Path, Path]) -> None:
    """A certificate that nobody vouches for is a failure."""
    with tls_receiver(certificate, []) as receiver:
        checked = target(f"https://hooks.example:{receiver.port}/")
        with pytest.raises(OutboundError, match="TLS failed"):
            OutboundClient().request("POST", checked, headers={}, content=b"{}", timeout_seconds=5)
    assert receiver.received == []


def test_tls_handshake_is_bounded() -> None:
    """A server that accepts and says nothing holds the handshake no longer than the deadline."""
    with socket.create_server((LOOPBACK, 0)) as server:
        checked = target(f"https://hooks.example:{server.getsockname()[1]}/")
        began = time.monotonic()
        with pytest.raises(OutboundError) as caught:
            OutboundClient().request("POST", checked, headers={}, timeout_seconds=0.5)
        assert time.monotonic() - began < 20
        assert caught.value.timed_out
