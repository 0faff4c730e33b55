"""The simulator as a process of its own, and a client of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import httpx
import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

    from simulator.process import RunningSimulator


@pytest.fixture
def http(simulator: RunningSimulator) -> Iterator[httpx.Client]:
    """A client of the simulator."""
    with httpx.Client(base_url=simulator.base_url, headers={"x-api-key": "k"}, trust_env=False) as client:
        yield client
