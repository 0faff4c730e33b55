"""How hard a model tries is the client's to say: by itself the CLI asks the newer ones for less than the API's own default."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from workers.claude import Profile

if TYPE_CHECKING:
    from simulator.process import RunningSimulator
    from tests.integration.claude.conftest import Make


def effort_of(make: Make, simulator: RunningSimulator, model: str, **profile: object) -> object:
    """`output_config.effort` of the one request."""
    simulator.control.clear()
    make().ask("hi", Profile(model=model, **profile))  # type: ignore[arg-type]
    (body,) = [entry["body"] for entry in simulator.control.requests() if entry["path"].startswith("/v1/messages")]
    return (body.get("output_config") or {}).get("effort")


@pytest.mark.parametrize("model", ["sonnet", "opus", "haiku", "claude-sonnet-5-5", "claude-of-tomorrow"])
def test_nobody_asked_for_an_effort(make: Make, simulator: RunningSimulator, model: str) -> None:
    """The API's default, `high`, is what a request without a word about it gets."""
    assert effort_of(make, simulator, model) == "high"


def test_a_model_without_efforts_gets_none(make: Make, simulator: RunningSimulator) -> None:
    """Nor is one sent to a model that knows none."""
    assert effort_of(make, simulator, "claude-haiku-4-5") is None


def test_the_effort_that_was_asked_for(make: Make, simulator: RunningSimulator) -> None:
    """`reasoning_effort` becomes thinking of that effort."""
    assert effort_of(make, simulator, "sonnet", effort="low", thinking_tokens=2048) == "low"
