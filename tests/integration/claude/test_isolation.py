"""No request sees anything of another, shown by what the model was asked."""

from __future__ import annotations

import random
import threading
from typing import TYPE_CHECKING, Any

import pytest

from tests.integration.claude.conftest import Make, bodies
from workers.claude import ClaudeInvoker, Profile, TurnFailed

if TYPE_CHECKING:
    from simulator.process import RunningSimulator

#: What may go wrong with a request, and how often.
TROUBLES: list[tuple[dict[str, Any], float]] = [
    ({"error": {"status": 529}}, 0.06),
    ({"error": {"status": 400}}, 0.04),
    ({"text": "word " * 30, "break_after_deltas": 3}, 0.06),
    ({"text": "word " * 30, "hang_after_deltas": 3, "hang_seconds": 0.5}, 0.08),
    ({"text": "cut", "stop_reason": "max_tokens"}, 0.01),
]


@pytest.mark.parametrize(("isolation", "requests"), [("reset", 70), ("process", 8)])
def test_planted_secrets_stay_where_they_were_planted(
    make: Make, simulator: RunningSimulator, isolation: str, requests: int
) -> None:
    """Failures, cancels and timeouts among them: each body holds its own secret and no other."""
    for number, (respond, probability) in enumerate(TROUBLES):
        simulator.control.add_rule(respond, probability=probability, seed=number)
    invoker = make(isolation=isolation)
    failed = sum(_plant(invoker, number) for number in range(requests))
    asked = bodies(simulator)
    assert len(asked) >= requests - failed
    for body in asked:
        (message,) = body["messages"]
        (block,) = message["content"]
        assert str(body).count("SECRET-") == block["text"].count("SECRET-") == 1
    assert 0 < failed < requests


def _plant(invoker: ClaudeInvoker, number: int) -> bool:
    """Ask with a secret of its own; some requests are cancelled, some time out. True when it failed."""
    canceller = threading.Timer(0.02, invoker.interrupt) if number % 9 == 4 else None
    if canceller:
        canceller.start()
    try:
        invoker.ask(f"Remember SECRET-{number}-{random.random()}", timeout_seconds=60.0 if number % 7 else 0.3)
    except TurnFailed:
        return True
    finally:
        if canceller:
            canceller.cancel()
            canceller.join()
    return False


def test_a_profile_does_not_leak_into_the_next(make: Make, simulator: RunningSimulator) -> None:
    """Requests with other system texts alternate; each is asked with its own."""
    invoker = make()
    for name in ("A", "B", "A"):
        invoker.ask(f"from {name}", Profile(system=f"SYSTEM-{name}"))
    for body, name in zip(bodies(simulator), ("A", "B", "A"), strict=True):
        assert [block["text"] for block in body["system"]] == [f"SYSTEM-{name}"]
        assert len(body["messages"]) == 1


def test_process_isolation_uses_each_process_once(make: Make, simulator: RunningSimulator) -> None:
    """Each request has a session of its own."""
    invoker = make(isolation="process")
    for number in range(3):
        invoker.ask(f"number {number}")
    sessions = {r["headers"]["x-claude-code-session-id"] for r in simulator.control.requests()}
    assert len(sessions) == 3
