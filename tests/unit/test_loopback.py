"""Which names are this machine's own."""

from __future__ import annotations

import pytest

from app.loopback import is_loopback


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST", "127.0.0.1", "127.8.8.8", "::1", "::ffff:127.0.0.1"])
def test_loopback(host: str) -> None:
    """These are this machine."""
    assert is_loopback(host)


@pytest.mark.parametrize(
    "host", ["", "0.0.0.0", "::", "10.0.0.1", "a.example", "localhost.evil.com", "127.0.0.1.nip.io", "2130706433"]
)
def test_not_loopback(host: str) -> None:
    """These are not, or not for sure."""
    assert not is_loopback(host)
