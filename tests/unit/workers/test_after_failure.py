"""What follows a turn that failed, where no run is needed to say it."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import pytest

from app.jobs.change import Lease, Requeue
from app.messages.failure import FailureKind, TurnFailed
from app.settings import Settings
from tests.engine import ScriptedEngine
from workers.after_failure import ending_of


class OpenGate:
    """A gate that single refusals do not close."""

    def note_overload(self, *_: Any, **__: Any) -> bool:
        return False


@pytest.mark.parametrize("kind", [FailureKind.OVERLOADED, FailureKind.RATE_LIMITED, FailureKind.SERVER])
def test_each_requeue_waits_longer(kind: FailureKind) -> None:
    """Twice as long each time, a minute at most, also where the run uses up no attempt."""
    means = []
    for times in range(8):
        counted = kind is FailureKind.SERVER
        record = SimpleNamespace(
            id="job", attempts=times + 1 if counted else 1, max_attempts=99, delays=0 if counted else times
        )
        fields = {"record": record, "lease": Lease("job", "run", "w1"), "settings": Settings(), "family": "opus"}
        run = cast("Any", SimpleNamespace(**fields, engine=ScriptedEngine(), gate=lambda _scope: OpenGate()))
        endings = [ending_of(TurnFailed(kind, "no"), run) for _ in range(200)]
        delays = [ending.delay_seconds for ending in endings if isinstance(ending, Requeue)]
        assert len(delays) == len(endings)
        means.append(sum(delays) / len(delays))
    assert [round(mean / 2**times, 0) for times, mean in enumerate(means[:6])] == [1.0] * 6
    assert max(means) < 70


@pytest.mark.parametrize("kind", [FailureKind.DIED, FailureKind.MEMORY, FailureKind.GARBLED])
def test_the_death_of_a_process_is_counted_as_one(kind: FailureKind) -> None:
    """The job goes back, and a job that ends one process after the other is dead-lettered in the end."""
    ending = ending_of(TurnFailed(kind, "gone"), cast("Any", SimpleNamespace()))
    assert isinstance(ending, Requeue)
    assert (ending.counts, ending.died) == (False, True)
    assert ending.reason.startswith("its Claude process ")
