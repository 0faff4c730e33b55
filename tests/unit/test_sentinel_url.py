"""What a Sentinel URL says."""

from __future__ import annotations

import pytest

from app.sentinel import SentinelUrl


def test_all_of_it() -> None:
    """Sentinels with and without ports, service, db, the servers' login and the Sentinels' own."""
    found = SentinelUrl.parse("rediss+sentinel://me:p%40ss@one,[::1]:7,three:26380/night/3?sentinel_password=s")
    assert found.sentinels == (("one", 26379), ("::1", 7), ("three", 26380))
    assert found.service == "night"
    assert found.server == {"db": 3, "username": "me", "password": "p@ss", "ssl": True}
    assert found.own == {"password": "s"}
    assert "p@ss" not in repr(found)


def test_files_of_tls() -> None:
    """A CA of one's own and a certificate are for the servers' connections; without TLS they are refused."""
    query = "ssl_ca_certs=/ca.pem&ssl_certfile=/a.pem&ssl_keyfile=/a.key"
    found = SentinelUrl.parse(f"rediss+sentinel://one/night?{query}&sentinel_password=s")
    files = {"ssl_ca_certs": "/ca.pem", "ssl_certfile": "/a.pem", "ssl_keyfile": "/a.key"}
    assert found.server == {"db": 0, "ssl": True, **files}
    assert found.own == {"password": "s"}
    with pytest.raises(ValueError, match="not understood"):
        SentinelUrl.parse(f"redis+sentinel://one/night?{query}")


@pytest.mark.parametrize(
    ("login", "password"),
    [("me:p%40ss@", "p@ss"), ("me:p@ss@", "p@ss"), ("me:p:s@", "p:s"), (":p@", "p"), ("me@", None)],
)
def test_logins(login: str, password: str | None) -> None:
    """A password may have an `@` and a `:` in it, and a login may lack either part."""
    found = SentinelUrl.parse(f"redis+sentinel://{login}one/night")
    assert found.sentinels == (("one", 26379),)
    assert found.server.get("password") == password


@pytest.mark.parametrize(
    "url",
    [
        "redis+sentinel://one:26379",
        "redis+sentinel:///night",
        "redis+sentinel://one/night/x",
        "redis+sentinel://one,/night",
        "redis+sentinel://one:99999/night",
        "redis+sentinel://[::1:7/night",
        "redis+sentinel://::1/night",
        "redis+sentinel://[one]/night",
        "redis+sentinel://one/night?socket_timeout=1",
    ],
)
def test_not_understood(url: str) -> None:
    """What is not understood is refused."""
    with pytest.raises(ValueError, match=r"Sentinel URL|not understood|IPv6|At least 3 parts|4 octets"):
        SentinelUrl.parse(url)
