"""Redis behind Sentinels: which server is the primary is asked at each connection, so that all of them follow a failover.

The URL is the one that Celery, Airflow and rq-dashboard know:
`redis+sentinel://[[user]:password@]host[:port][,host[:port]...]/service[/db]`, with `rediss+sentinel://` for TLS. Name and
password are the servers'; the Sentinels' own are `?sentinel_username=` and `?sentinel_password=`. By TLS, `ssl_ca_certs=`, `ssl_certfile=` and
`ssl_keyfile=` are files for both.
"""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, unquote

from redis.sentinel import Sentinel, SentinelManagedConnection, SentinelManagedSSLConnection

if TYPE_CHECKING:
    from redis import Redis

SCHEMES = ("redis+sentinel", "rediss+sentinel")
DEFAULT_PORT = 26379
#: for one Sentinel to answer; the next one is asked after it, seconds
ANSWER_SECONDS = 0.5
_OF_SENTINELS = ("sentinel_username", "sentinel_password")
_OF_TLS = ("ssl_ca_certs", "ssl_certfile", "ssl_keyfile")
#: `urlsplit` knows one host a URL, and newer ones refuse an IPv6 address among several. A login may have an `@` in it.
_URL = re.compile(
    r"(?P<scheme>rediss?\+sentinel)://(?:(?P<user>[^/?#:]*)(?::(?P<password>[^/?#]*))?@)?(?P<hosts>[^/?#@]+)"
    r"/(?P<service>[^/?#]+)(?:/(?P<db>[0-9]*))?/?(?:\?(?P<query>[^#]*))?"
)
_ADDRESS = re.compile(r"(?:\[(?P<ipv6>[^\[\]]+)\]|(?P<name>[^\[\]:]+))(?::(?P<port>[0-9]*))?")
_LARGEST_PORT = 65535


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
        parts = _URL.fullmatch(url)
        if parts is None:
            raise ValueError("a Sentinel URL is redis+sentinel://HOST:PORT,HOST:PORT,.../SERVICE[/DB]")
        query = dict(parse_qsl(parts["query"] or ""))
        known = _OF_SENTINELS + (_OF_TLS if parts["scheme"] == "rediss+sentinel" else ())
        if unknown := sorted(set(query) - set(known)):
            raise ValueError(f"{', '.join(unknown)} is not understood; it may have {' and '.join(known)}")
        server: dict[str, Any] = {"db": int(parts["db"] or 0)}
        if parts["user"]:
            server["username"] = unquote(parts["user"])
        if parts["password"]:
            server["password"] = unquote(parts["password"])
        if parts["scheme"] == "rediss+sentinel":
            server["ssl"] = True
        server |= {name: query[name] for name in _OF_TLS if name in query}
        own = {name.removeprefix("sentinel_"): query[name] for name in _OF_SENTINELS if name in query}
        sentinels = tuple(_address(host) for host in parts["hosts"].split(","))
        return cls(sentinels, unquote(parts["service"]), server, own)


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


def client(url: str, kind_of_client: type[Redis], **options: Any) -> Redis:
    """A client of whichever server is the primary; `options` as `Redis` takes them."""
    found = SentinelUrl.parse(url)
    asking: dict[str, Any] = {"socket_timeout": ANSWER_SECONDS, "socket_connect_timeout": ANSWER_SECONDS}
    kind: type[SentinelManagedConnection] = _Connection
    if found.server.get("ssl"):
        kind = _SSLConnection
        asking |= {name: value for name, value in found.server.items() if name == "ssl" or name in _OF_TLS}
    sentinels = Sentinel(found.sentinels, sentinel_kwargs={**asking, **found.own})  # type: ignore[no-untyped-call]
    primary: Redis = sentinels.master_for(  # type: ignore[no-untyped-call]
        found.service, redis_class=kind_of_client, connection_class=kind, **found.server, **options
    )
    return primary


def _address(text: str) -> tuple[str, int]:
    parts = _ADDRESS.fullmatch(text)
    if parts is None:
        raise ValueError(f"{text!r} is no HOST:PORT of a Sentinel URL; an IPv6 address is in [brackets]")
    if parts["ipv6"]:
        ipaddress.IPv6Address(parts["ipv6"])
    port = int(parts["port"] or DEFAULT_PORT)
    if not 0 < port <= _LARGEST_PORT:
        raise ValueError(f"{text!r} has no port of a Sentinel URL: ports are 1 to {_LARGEST_PORT}")
    return parts["ipv6"] or parts["name"], port
