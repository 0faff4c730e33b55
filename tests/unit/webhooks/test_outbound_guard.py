"""The guard for outgoing URLs, with made-up DNS answers."""

from __future__ import annotations

import threading
from ipaddress import ip_address

import pytest

from app.outbound import ForbiddenTarget, Resolver, UnresolvedTarget, check_url, forbidden_reason

PUBLIC = "93.184.215.14"


def answers(*addresses: str) -> Resolver:
    """A resolver that knows these addresses for every name."""
    return lambda _host, _port: list(addresses)


FORBIDDEN_URLS = [
    # schemes
    "file:///etc/passwd",
    "ftp://example.com/",
    "gopher://example.com:70/_x",
    "javascript:alert(1)",
    "//example.com/",
    "example.com/hook",
    "",
    "http:example.com",
    # no host, or not one
    "http://",
    "http:///path",
    "https://:443/",
    "http://./",
    "http://../",
    "http://a..b/",
    "http://-a.example/",
    "http://a_b-.example/",
    "http://exa$mple.com/",
    "http://" + "a" * 64 + ".example/",
    "http://" + "a." * 130 + "example/",
    "http://example.com/" + "a" * 2048,
    # this machine, and its neighbours
    "http://localhost/",
    "http://LOCALHOST./",
    "http://api.localhost:8204/",
    "http://127.0.0.1/",
    "http://127.0.0.1./",
    "http://127.255.255.254/",
    "http://0.0.0.0/",
    "http://10.1.2.3/",
    "http://172.16.0.1/",
    "http://172.31.255.255/",
    "http://192.168.1.1/",
    "http://100.64.0.1/",
    "http://169.254.1.1/",
    "http://224.0.0.1/",
    "http://239.255.255.250/",
    "http://240.0.0.1/",
    "http://255.255.255.255/",
    "http://192.0.2.1/",
    "http://198.18.0.1/",
    "http://[::1]/",
    "http://[::]/",
    "http://[0:0:0:0:0:0:0:1]:80/",
    "http://[fe80::1]/",
    "http://[fe80::1%25eth0]/",
    "http://[fe80::1%eth0]/",
    "http://[fc00::1]/",
    "http://[fd12:3456::1]/",
    "http://[fec0::1]/",
    "http://[ff02::1]/",
    "http://[2001:db8::1]/",
    "http://[3fff::1]/",
    "http://[100::1]/",
    "http://[5f00::1]/",
    "http://[4000::1]/",
    # metadata
    "http://169.254.169.254/latest/meta-data/",
    "http://169.254.170.2/",
    "http://100.100.100.200/",
    "http://192.0.0.192/",
    "http://168.63.129.16/",
    "http://[fd00:ec2::254]/",
    # IPv4 inside IPv6
    "http://[::ffff:127.0.0.1]/",
    "http://[::ffff:7f00:1]/",
    "http://[::ffff:a9fe:a9fe]/",
    "http://[::127.0.0.1]/",
    "http://[64:ff9b::7f00:1]/",
    "http://[64:ff9b::10.0.0.1]/",
    "http://[64:ff9b:1::808:808]/",
    "http://[2002:7f00:1::]/",
    "http://[2002:c0a8:101::1]/",
    "http://[2001:0:7f00:1::f7f7:f7f7]/",  # Teredo: server 127.0.0.1
    "http://[2001:0:808:808::80ff:fffe]/",  # Teredo: client 127.0.0.1
    "http://[2a00::5efe:10.0.0.1]/",  # ISATAP
    "http://[::ffff:0:127.0.0.1]/",  # SIIT
    # numbers
    "http://2130706433/",
    "http://0x7f000001/",
    "http://0x7f.1/",
    "http://0x7f.0.0.1/",
    "http://017700000001/",
    "http://0177.0.0.1/",
    "http://127.1/",
    "http://127.0.1/",
    "http://127.0.0.1.0/",
    "http://127.0.0.01/",
    "http://256.0.0.1/",
    "http://8.8.8.0x8/",
    "http://0/",
    "http://0x/",
    "http://example.0x7f/",
    "http://example.1/",
    # who is the host?
    "http://user@example.com/",
    "http://user:pass@example.com/",
    "http://example.com@127.0.0.1/",
    "http://127.0.0.1@example.com/",
    "http://@example.com/",
    "http://example.com\\@127.0.0.1/",
    "http://127.0.0.1\\.example.com/",
    "http://exa mple.com/",
    " http://example.com/",
    "http://example.com/\r\nX-Injected: 1",
    "http://exam\tple.com/",
    "http://example.com/a b",
    "http://127.0.0.1%2f.example.com/",
    "http://%6c%6f%63%61%6c%68%6f%73%74/",
    "http://[::1/",
    "http://::1/",
    "http://[example.com]/",
    "http://[127.0.0.1]/",
    "http://[::1]evil.example/",
    "http://[v1.abc]/",
    # letters that fold to others
    "http://①②⑦.⓪.⓪.①/",
    "http://ⓛⓞⓒⓐⓛⓗⓞⓢⓣ/",
    "http://\uff11\uff12\uff17.0.0.1/",
    "http://127。0。0。1/",
    "http://loc\u00adalhost/",
    "http://exampl\u0435.com/",
    "http://example.com\u2044@127.0.0.1/",
    # ports
    "http://example.com:0/",
    "http://example.com:65536/",
    "http://example.com:-1/",
    "http://example.com:+80/",
    "http://example.com:8_0/",
    "http://example.com:80:80/",
    "http://example.com:http/",
    "http://example.com:\uff18\uff10/",
]


@pytest.mark.parametrize("url", FORBIDDEN_URLS)
def test_forbidden(url: str) -> None:
    """A URL that is not plainly a public one is refused, with a reason, even when DNS answers are public."""
    with pytest.raises(ForbiddenTarget) as caught:
        check_url(url, (), resolver=answers(PUBLIC))
    assert str(caught.value)


@pytest.mark.parametrize(
    ("url", "host", "port", "authority", "path"),
    [
        ("https://example.com", "example.com", 443, "example.com", "/"),
        ("HTTP://Example.COM/Hook?a=1&b=%20#part", "example.com", 80, "example.com", "/Hook?a=1&b=%20"),
        ("https://example.com.:8443/x", "example.com", 8443, "example.com:8443", "/x"),
        ("http://example.com:/", "example.com", 80, "example.com", "/"),
        ("http://example.com?x=1", "example.com", 80, "example.com", "/?x=1"),
        (
            "https://xn--mnchen-3ya.example/ä?ö",
            "xn--mnchen-3ya.example",
            443,
            "xn--mnchen-3ya.example",
            "/%C3%A4?%C3%B6",
        ),
        ("http://8.8.8.8:81/", "8.8.8.8", 81, "8.8.8.8:81", "/"),
        ("http://[2606:4700::1111]:81/", "2606:4700::1111", 81, "[2606:4700::1111]:81", "/"),
        ("http://[2606:4700:0:0::1111]/", "2606:4700::1111", 80, "[2606:4700::1111]", "/"),
        ("http://[64:ff9b::808:808]/", "64:ff9b::808:808", 80, "[64:ff9b::808:808]", "/"),
        ("http://1.example/", "1.example", 80, "1.example", "/"),
        ("http://my_service.example/", "my_service.example", 80, "my_service.example", "/"),
    ],
)
def test_public(url: str, host: str, port: int, authority: str, path: str) -> None:
    """A public URL becomes a target with one spelling of its host, its port and its path."""
    target = check_url(url, (), resolver=answers(PUBLIC))
    assert (target.host, target.port, target.authority, target.path) == (host, port, authority, path)


@pytest.mark.parametrize("bad", ["127.0.0.1", "10.0.0.1", "::1", "fe80::1%eth0", "::ffff:10.0.0.1", "169.254.169.254"])
@pytest.mark.parametrize("place", [0, 1, 2])
def test_every_answer_is_checked(bad: str, place: int) -> None:
    """One address that is not public among several refuses the name, wherever it stands."""
    found = [PUBLIC, "2606:4700::1111"]
    found.insert(place, bad)
    with pytest.raises(ForbiddenTarget):
        check_url("https://hooks.example/", (), resolver=answers(*found))


def test_message_helps_and_does_not_tell_the_address() -> None:
    """The reason names the setting, and not the internal address that a client could otherwise look up through us."""
    with pytest.raises(ForbiddenTarget, match="NIGHTSHIFT_CALLBACK_ALLOWED_HOSTS") as caught:
        check_url("https://db.corp.example/", (), resolver=answers("10.20.30.40"))
    assert "10.20" not in str(caught.value)
    assert "a private address" in str(caught.value)


@pytest.mark.parametrize(
    ("url", "entry"),
    [
        ("http://localhost:9000/", "localhost"),
        ("http://localhost:9000/", "LocalHost:9000"),
        ("http://127.0.0.1:9000/", "127.0.0.1:9000"),
        ("http://[::1]:9000/", "::1"),
        ("http://[::1]:9000/", "[::1]"),
        ("http://[::1]:9000/", "[::1]:9000"),
        ("http://receiver/", "receiver:80"),
    ],
)
def test_allowed_hosts(url: str, entry: str) -> None:
    """A host that the operator allowed, by name or with its port, may be anywhere."""
    assert check_url(url, (entry,), resolver=answers("127.0.0.1")).addresses


@pytest.mark.parametrize(
    ("url", "entry"),
    [
        ("http://localhost:9000/", "localhost:9001"),
        ("http://a.receiver/", "receiver"),
        ("http://receiver/", "a.receiver"),
        ("http://127.0.0.2/", "127.0.0.1"),
        ("http://2130706433/", "127.0.0.1"),
        ("http://2130706433/", "2130706433"),
        ("http://receiver@10.0.0.1/", "receiver"),
        ("ftp://receiver/", "receiver"),
        ("http://receiver/", ""),
        ("http://receiver/", "*"),
    ],
)
def test_not_allowed_by_that_entry(url: str, entry: str) -> None:
    """An entry allows its exact host and port, and no odd way to write them."""
    with pytest.raises(ForbiddenTarget):
        check_url(url, (entry,), resolver=answers("10.0.0.1"))


def test_name_without_address() -> None:
    """A name that is not found, or found to be nothing, is told apart from a forbidden one."""

    def unknown(_host: str, _port: int) -> list[str]:
        raise OSError("Name or service not known")

    for resolver in (unknown, answers()):
        with pytest.raises(UnresolvedTarget):
            check_url("https://nowhere.example/", (), resolver=resolver)


def test_slow_name_server() -> None:
    """A name server that does not answer holds nobody up for longer than the timeout."""
    release = threading.Event()

    def slow(_host: str, _port: int) -> list[str]:
        release.wait(30)
        return [PUBLIC]

    try:
        with pytest.raises(UnresolvedTarget):
            check_url("https://slow.example/", (), resolver=slow, timeout_seconds=0.05)
    finally:
        release.set()


def test_literal_is_not_looked_up() -> None:
    """A URL with an address in it asks no name server."""

    def never(_host: str, _port: int) -> list[str]:
        raise AssertionError("looked up")

    assert check_url("http://8.8.8.8/", (), resolver=never).addresses == (ip_address("8.8.8.8"),)


@pytest.mark.parametrize(
    "address",
    ["1.1.1.1", "172.32.0.1", "100.128.0.1", "192.0.1.1", "223.255.255.255", "2a00:1450::1", "::ffff:8.8.8.8"],
)
def test_public_addresses_pass(address: str) -> None:
    """Neighbours of the forbidden blocks are not forbidden."""
    assert forbidden_reason(ip_address(address)) is None
