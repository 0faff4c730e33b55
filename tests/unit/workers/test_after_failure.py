"""What follows a turn that failed, where no run is needed to say it."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import pytest

from app.jobs.leases import PutBack
from workers.after_failure import ending_of
from workers.claude import FailureKind, TurnFailed


@pytest.mark.parametrize("kind", [FailureKind.DIED, FailureKind.MEMORY, FailureKind.GARBLED])
def test_the_death_of_a_process_is_counted_as_one(kind: FailureKind) -> None:
    """The job goes back, and a job that ends one process after the other is set aside in the end."""
    ending = ending_of(TurnFailed(kind, "gone"), cast("Any", SimpleNamespace()))
    assert isinstance(ending, PutBack)
    assert (ending.counts, ending.died) == (True, True)
    assert ending.reason.startswith("its Claude process ")
