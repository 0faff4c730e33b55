"""Which IP addresses are public. Source: IANA's special-purpose address registries, and the RFCs named below.

The tables are spelled out, because `ipaddress.is_global` changed within Python 3.11 and calls multicast, NAT64 and
some deprecated blocks global. For IPv6 only 2000::/3, the global unicast space, passes at all.
"""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network

IPAddress = IPv4Address | IPv6Address

_V4_FORBIDDEN = tuple(
    (IPv4Network(network), reason)
    for network, reason in (
        ("168.63.129.16/32", "a cloud metadata address"),  # Azure's, though it lies in public space
        ("0.0.0.0/8", "an unspecified address"),
        ("10.0.0.0/8", "a private address"),
        ("100.64.0.0/10", "a carrier-grade NAT address"),  # Alibaba's metadata address is in here
        ("127.0.0.0/8", "a loopback address"),
        ("169.254.0.0/16", "a link-local or cloud metadata address"),
        ("172.16.0.0/12", "a private address"),
        ("192.0.0.0/24", "a reserved address"),  # Oracle's metadata address is in here
        ("192.0.2.0/24", "a documentation address"),
        ("192.88.99.0/24", "a reserved address"),
        ("192.168.0.0/16", "a private address"),
        ("198.18.0.0/15", "a benchmarking address"),
        ("198.51.100.0/24", "a documentation address"),
        ("203.0.113.0/24", "a documentation address"),
        ("224.0.0.0/4", "a multicast address"),
        ("240.0.0.0/4", "a reserved or broadcast address"),
    )
)

_V6_FORBIDDEN = tuple(
    (IPv6Network(network), reason)
    for network, reason in (
        ("::/128", "an unspecified address"),
        ("::1/128", "a loopback address"),
        ("64:ff9b:1::/48", "a local-use NAT64 address"),  # RFC 8215: where it leads only that network knows
        ("2001::/23", "a reserved address"),  # Teredo in it is unwrapped before this is looked at
        ("2001:db8::/32", "a documentation address"),
        ("3fff::/20", "a documentation address"),
        ("fc00::/7", "a private address"),
        ("fe80::/10", "a link-local address"),
        ("fec0::/10", "a site-local address"),
        ("ff00::/8", "a multicast address"),
    )
)

_V6_PUBLIC = IPv6Network("2000::/3")
_V4_COMPATIBLE = IPv6Network("::/96")  # RFC 4291, deprecated
_NAT64 = IPv6Network("64:ff9b::/96")  # RFC 6052
_ISATAP = (0x0000_5EFE, 0x0200_5EFE)  # RFC 5214: upper half of the interface id, the IPv4 address follows


def forbidden_reason(address: IPAddress) -> str | None:
    """Why this address is not a public one, as words that follow "is"; None if it is public."""
    if isinstance(address, IPv4Address):
        return next((reason for network, reason in _V4_FORBIDDEN if address in network), None)
    if reason := next((reason for network, reason in _V6_FORBIDDEN[:2] if address in network), None):
        return reason
    embedded = _embedded(address)
    for inner in embedded:
        if reason := forbidden_reason(inner):
            return f"{reason} wrapped in IPv6"
    if embedded and not _is_isatap(address):
        return None
    if reason := next((reason for network, reason in _V6_FORBIDDEN if address in network), None):
        return reason
    return None if address in _V6_PUBLIC else "a reserved address"


def _embedded(address: IPv6Address) -> tuple[IPv4Address, ...]:
    """The IPv4 addresses that a packet to this address ends up at; empty for plain IPv6."""
    low = IPv4Address(int(address) & 0xFFFF_FFFF)
    if address.ipv4_mapped is not None or address in _V4_COMPATIBLE or address in _NAT64:
        return (low,)
    if address.sixtofour is not None:
        return (address.sixtofour,)
    if address.teredo is not None:
        return address.teredo
    return (low,) if _is_isatap(address) else ()


def _is_isatap(address: IPv6Address) -> bool:
    return (int(address) >> 32) & 0xFFFF_FFFF in _ISATAP
