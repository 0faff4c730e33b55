"""Redis behind Sentinels: which server is the primary is asked at each connection, so that all of them follow a failover.

The URL is the one that Celery, Airflow and rq-dashboard know:
`redis+sentinel://[[user]:password@]host[:port][,host[:port]...]/service[/db]`, with `rediss+sentinel://` for TLS. Name and
password are the servers'; the Sentinels' own are `?sentinel_username=` and `?sentinel_password=`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, unquote, urlsplit

from redis.sentinel import Sentinel, SentinelManagedConnection, SentinelManagedSSLConnection

if TYPE_CHECKING:
    from redis import Redis

SCHEMES = ("redis+sentinel", "rediss+sentinel")
DEFAULT_PORT = 26379
#: for one Sentinel to answer; the next one is asked after it, seconds
ANSWER_SECONDS = 0.5
_QUERY = ("sentinel_username", "sentinel_password")


@dataclass(frozen=True)
class SentinelUrl:
    """A parsed URL. `parse` raises `ValueError`, whose message has no password."""

    sentinels: tuple[tuple[str, int], ...]
    service: str
    #: of the servers: db, and username, password, ssl where there are such
    server: dict[str, Any] = field(repr=False)
    #: of the Sentinels: username, password where there are such
    own: dict[str, str] = field(repr=False)

    @classmethod
    def parse(cls, url: str) -> SentinelUrl:
        """Read it."""
        parts = urlsplit(url)
        login, _, hosts = parts.netloc.rpartition("@")
        user, _, password = login.partition(":")
        service, _, db = parts.path.strip("/").partition("/")
        query = dict(parse_qsl(parts.query))
        if unknown := sorted(set(query) - set(_QUERY)):
            raise ValueError(f"{', '.join(unknown)} is not understood; it may have {' and '.join(_QUERY)}")
        if not hosts or not service or not (db or "0").isdigit():
            raise ValueError("a Sentinel URL is redis+sentinel://HOST:PORT,HOST:PORT,.../SERVICE[/DB]")
        server: dict[str, Any] = {"db": int(db or 0)}
        if user:
            server["username"] = unquote(user)
        if password:
            server["password"] = unquote(password)
        if parts.scheme == "rediss+sentinel":
            server["ssl"] = True
        own = {name.removeprefix("sentinel_"): value for name, value in query.items()}
        return cls(tuple(_address(host) for host in hosts.split(",")), unquote(service), server, own)


class _Whole:
    """Before a Sentinel's connection: like every other, it is closed when a read of it is broken off.

    redis-py's keeps it open, so that the next command would be given the answer to the last (a worker that is told to stop
    breaks off the wait for its queue).
    """

    def read_response(self, disable_decoding: bool = False, *, disconnect_on_error: bool = True, **options: Any) -> Any:
        parent: Any = super()
        return parent.read_response(disable_decoding, disconnect_on_error=disconnect_on_error, **options)


class _Connection(_Whole, SentinelManagedConnection):  # type: ignore[misc]  # its options are passed on
    """To a server."""


class _SSLConnection(_Whole, SentinelManagedSSLConnection):  # type: ignore[misc]  # the same
    """To a server, by TLS."""


def client(url: str, **options: Any) -> Redis:
    """A client of whichever server is the primary; `options` as `Redis` takes them."""
    found = SentinelUrl.parse(url)
    asking: dict[str, Any] = {"socket_timeout": ANSWER_SECONDS, "socket_connect_timeout": ANSWER_SECONDS}
    kind: type[SentinelManagedConnection] = _Connection
    if found.server.get("ssl"):
        asking["ssl"], kind = True, _SSLConnection
    sentinels = Sentinel(found.sentinels, sentinel_kwargs={**asking, **found.own})  # type: ignore[no-untyped-call]
    primary: Redis = sentinels.master_for(  # type: ignore[no-untyped-call]
        found.service, connection_class=kind, **found.server, **options
    )
    return primary


def _address(text: str) -> tuple[str, int]:
    parts = urlsplit(f"//{text}")
    if not parts.hostname:
        raise ValueError("a Sentinel URL has a host name between its commas")
    return parts.hostname, parts.port or DEFAULT_PORT
