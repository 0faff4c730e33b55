"""Is this URL one that we may connect to? Parsing and judging; connecting is `app.outbound.client`'s."""

from __future__ import annotations

import re
from dataclasses import dataclass
from ipaddress import AddressValueError, IPv4Address, IPv6Address
from typing import TYPE_CHECKING
from urllib.parse import SplitResult, quote, urlsplit

from app.outbound.addresses import forbidden_reason
from app.outbound.resolver import IPAddress, Resolver, resolve, system_resolver

if TYPE_CHECKING:
    from collections.abc import Iterable

MAX_URL_CHARACTERS = 2048
_DEFAULT_PORTS = {"http": 80, "https": 443}
#: what parsers disagree about: controls and blanks, which some strip, and the backslash, which some read as a slash
_AMBIGUOUS = re.compile(r"[\x00-\x20\x7f\\]")
#: underscores are not DNS's, but the services of a compose file have them
_LABEL = r"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?"
_HOST_NAME = re.compile(rf"(?=.{{1,253}}$)(?:{_LABEL}\.)*{_LABEL}")
#: as in the WHATWG URL standard: a host whose last label is a number is an IPv4 address, however it is written
_NUMBER = re.compile(r"(?:[0-9]+|0x[0-9a-f]*)")
_ADVICE = "Use a public http(s) URL, or add the host to NIGHTSHIFT_CALLBACK_ALLOWED_HOSTS."


class ForbiddenTarget(ValueError):
    """The URL is not one to connect to. The message says why and what to do, and is shown to the client."""


class UnresolvedTarget(ForbiddenTarget):
    """The host's name has no address right now; another time it may have."""


@dataclass(frozen=True)
class CheckedTarget:
    """Where to connect: made by `check_url` only. Nothing in it is looked up again."""

    scheme: str
    #: lower case, without brackets and trailing dot; for the Host header, SNI and the certificate
    host: str
    port: int
    #: each one checked; the only ones that are connected to
    addresses: tuple[IPAddress, ...]
    #: path and query, percent-encoded ASCII
    path: str = "/"

    @property
    def authority(self) -> str:
        """The Host header: brackets around IPv6, the port unless it is the scheme's own."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == _DEFAULT_PORTS[self.scheme] else f"{host}:{self.port}"


def check_url(
    url: str,
    allowed_hosts: Iterable[str],
    *,
    resolver: Resolver = system_resolver,
    timeout_seconds: float = 5.0,
) -> CheckedTarget:
    """Parse the URL, look its host up once, and judge every address.

    Args:
        url: what a client sent.
        allowed_hosts: `host` or `host:port` that may be at any address (IPv6 as `[::1]:8080` or `::1`).
        resolver: replaces the system's in tests; its answers are checked like any other.
        timeout_seconds: longest wait for the name lookup.

    Raises:
        ForbiddenTarget: with the reason and what to do; `UnresolvedTarget` if the name has no address.
    """
    parts = _split(url)
    host, literal = _host(parts)
    port = _port(parts)
    allowed = _is_allowed(host, port, allowed_hosts)
    if not allowed and (host == "localhost" or host.endswith(".localhost")):
        raise ForbiddenTarget(f"The URL's host is this machine itself. {_ADVICE}")
    if literal is not None:
        addresses: tuple[IPAddress, ...] = (literal,)
    else:
        try:
            addresses = resolve(host, port, resolver=resolver, timeout_seconds=timeout_seconds)
        except (OSError, ValueError) as error:
            raise UnresolvedTarget(f"The URL's host {host!r} could not be looked up: check its name.") from error
    if not allowed:
        # One bad answer among good ones is what rebinding looks like: the whole name is refused. The address itself
        # is not named, or clients could read the names of a private network through us.
        for address in addresses:
            if reason := forbidden_reason(address):
                verb = "is" if literal is not None else "leads to"
                raise ForbiddenTarget(f"The URL's host {host!r} {verb} {reason}, not a public one. {_ADVICE}")
    path = quote(parts.path or "/", safe="/%:@!$&'()*+,;=~-._") + (
        "?" + quote(parts.query, safe="/%:@!$&'()*+,;=~-._?") if parts.query else ""
    )
    return CheckedTarget(parts.scheme, host, port, addresses, path)


def _split(url: str) -> SplitResult:
    if len(url) > MAX_URL_CHARACTERS:
        raise ForbiddenTarget(f"The URL is longer than {MAX_URL_CHARACTERS} characters.")
    if _AMBIGUOUS.search(url):
        raise ForbiddenTarget("The URL contains a blank, a control character or a backslash: percent-encode it.")
    try:
        parts = urlsplit(url)
    except ValueError as error:
        raise ForbiddenTarget(f"The URL cannot be parsed: {error}.") from error
    if parts.scheme not in _DEFAULT_PORTS:
        raise ForbiddenTarget("The URL must start with https:// or http://.")
    if "@" in parts.netloc:
        raise ForbiddenTarget("The URL carries a user name or password before its host: leave them out.")
    return parts


def _host(parts: SplitResult) -> tuple[str, IPAddress | None]:
    """The host in its one spelling, and the address that it is if it is one."""
    try:
        host = (parts.hostname or "").lower()
    except ValueError as error:
        raise ForbiddenTarget(f"The URL's host cannot be parsed: {error}.") from error
    if parts.netloc.startswith("["):
        try:
            if "%" in host:
                raise AddressValueError("a zone is not allowed")
            address = IPv6Address(host)
        except AddressValueError as error:
            raise ForbiddenTarget("The URL's host is in brackets but is not an IPv6 address.") from error
        return str(address), address
    host = host.removesuffix(".")
    if not host:
        raise ForbiddenTarget("The URL has no host.")
    if not host.isascii():
        # Look-alikes and full-width digits fold to ASCII in some resolvers and not in others.
        raise ForbiddenTarget("The URL's host has characters outside ASCII: write it in punycode (xn--...).")
    if not _HOST_NAME.fullmatch(host):
        raise ForbiddenTarget(f"The URL's host {host[:80]!r} is not a host name.")
    if not _NUMBER.fullmatch(host.rpartition(".")[2]):
        return host, None
    try:
        return host, IPv4Address(host)
    except AddressValueError as error:
        raise ForbiddenTarget(
            f"The URL's host {host!r} is an IPv4 address in an odd spelling: write four decimal numbers."
        ) from error


def _port(parts: SplitResult) -> int:
    try:
        port = parts.port
    except ValueError as error:
        raise ForbiddenTarget("The URL's port must be a number from 1 to 65535.") from error
    if port is None:
        return _DEFAULT_PORTS[parts.scheme]
    if port == 0:
        raise ForbiddenTarget("The URL's port must be a number from 1 to 65535.")
    return port


def _is_allowed(host: str, port: int, allowed_hosts: Iterable[str]) -> bool:
    bracketed = f"[{host}]" if ":" in host else host
    spellings = {host, bracketed, f"{bracketed}:{port}"}
    return any(entry.strip().lower() in spellings for entry in allowed_hosts)
