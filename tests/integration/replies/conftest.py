"""A Redis behind a proxy that loses what its plan says."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from redis import Redis

from chaos.lossy import LossyProxy

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def lossy(redis_url: str) -> Iterator[LossyProxy]:
    """The proxy, before an empty Redis."""
    # A Unix socket's path may have 108 bytes: pytest's own directories are too deep.
    directory = Path(tempfile.mkdtemp(prefix="nightshift-lossy-"))
    with LossyProxy(redis_url, directory / "lossy.sock") as proxy:
        yield proxy
    shutil.rmtree(directory, ignore_errors=True)


@pytest.fixture
def connection(redis_url: str) -> Iterator[Redis]:
    """Around the proxy."""
    with Redis.from_url(redis_url) as client:
        yield client
