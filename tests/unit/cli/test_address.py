"""Which server a command talks to when nobody says."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from ops.cli.batch import server
from ops.supervisor.data_dir import DataDirLock

if TYPE_CHECKING:
    from pathlib import Path


def test_what_runs_on_the_data_dir_is_found(tmp_path: Path) -> None:
    """`scripts/run --port 8300` and then `nightshift status`, without a word about the port."""
    environ = {"NIGHTSHIFT_DATA_DIR": str(tmp_path)}
    with DataDirLock(tmp_path, "http://127.0.0.1:8300"):
        assert server.address_of(None, environ) == "http://127.0.0.1:8300"
        assert server.address_of(None, environ | {"NIGHTSHIFT_PORT": "8301"}) == "http://127.0.0.1:8301"
        assert server.address_of(None, environ | {"NIGHTSHIFT_URL": "http://other:1/v1/"}) == "http://other:1"
    assert server.address_of(None, environ) == "http://127.0.0.1:8204"


def test_an_address_without_a_scheme() -> None:
    """`localhost:8204` is one by HTTP."""
    assert server.address_of("localhost:8204", {}) == "http://localhost:8204"


@pytest.mark.parametrize(
    ("url", "needs"),
    [
        ("http://127.0.0.1:1", False),
        ("http://localhost", False),
        ("http://[::1]:1", False),
        ("https://a.example", True),
    ],
)
def test_no_proxy_leads_to_this_machine(url: str, needs: bool) -> None:
    """`HTTP_PROXY` is for other machines' addresses alone."""
    assert server.may_need_a_proxy(url) is needs
