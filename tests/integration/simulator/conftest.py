"""A simulator as a process of its own, shared by the tests of a module."""

from collections.abc import Iterator

import httpx
import pytest

from simulator.process import RunningSimulator, running_simulator


@pytest.fixture(scope="module")
def shared_simulator() -> Iterator[RunningSimulator]:
    """One simulator for all tests of a module."""
    with running_simulator() as found:
        yield found


@pytest.fixture
def simulator(shared_simulator: RunningSimulator) -> RunningSimulator:
    """The module's simulator without rules and with an empty log."""
    shared_simulator.control.clear()
    return shared_simulator


@pytest.fixture
def http(simulator: RunningSimulator) -> Iterator[httpx.Client]:
    """A client of the simulator."""
    with httpx.Client(base_url=simulator.base_url, headers={"x-api-key": "k"}, trust_env=False) as client:
        yield client
