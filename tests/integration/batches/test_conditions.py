"""What went on around a batch is written beside it when it ends."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import TYPE_CHECKING

from app import history, ways, worker_status
from app.batches.record import BatchStatus
from app.batches.report import conditions
from app.gate import Cause, Gate
from app.history import RecycleEvent, recycling, sampling
from app.scopes import Scope
from app.ways import Way
from app.worker_status import WorkerState, WorkerStatus
from tests.integration.batches.conftest import line
from tests.integration.batches.test_night import closed_now

if TYPE_CHECKING:
    import pytest

    from tests.integration.batches.conftest import Night


def test_waits_memory_and_recycles_outlive_the_history(night: Night) -> None:
    """When the batch has ended its waits, its workers' memory and their recycles are on the disk, as they were."""
    batch = night.start([line("a")])
    gate = Gate(night.connection)
    gate.pause(reason="lunch")
    worker_status.write(
        night.connection, WorkerStatus(name="w1", state=WorkerState.BUSY, rss_mb=300.5, python_rss_mb=80.0)
    )
    assert sampling.take_due(night.connection, time.time())
    recycling.note(night.connection, RecycleEvent(time.time(), "w1", "turns", 500, 400.0, 250.0))
    gate.resume()
    night.answer()
    storage = night.batches.storage
    assert conditions.frozen(storage, batch.id) is None
    assert night.look(batch).status is BatchStatus.COMPLETED
    night.connection.flushall()
    found = conditions.frozen(storage, batch.id)
    assert found is not None and found.sampled_since is not None
    (wait,) = found.waits
    assert (wait.cause, wait.reason, wait.lasts) == ("paused", "lunch", False)
    assert batch.created_at < wait.since < wait.until < time.time()
    (worker,) = found.workers
    assert (worker.name, worker.peak_mb, worker.python_peak_mb) == ("w1", 300.5, 80.0)
    assert ([size for _, size in worker.memory], worker.recycles) == ([300.5], {"turns": 1})


def test_hours_in_which_it_may_not_run_are_a_wait(night: Night) -> None:
    """A batch whose window is closed waits for that, until now and on."""
    batch = night.start([line("a")], metadata={"batch_window": closed_now()})
    now = time.time() + 60
    (wait,) = conditions.gather(night.connection, batch, "", [Way.CLI], now).waits
    assert (wait.cause, wait.until, wait.lasts) == ("batch_window", now, True)
    assert conditions.gather(night.connection, batch, "", [Way.CLI], batch.created_at - 1).waits == ()


def test_the_closings_of_the_ways_that_its_lines_can_go(night: Night) -> None:
    """Each with its way; time counts as waited for while all of them were closed."""
    until = time.time() + 900
    for scope in (Scope(Way.API), Scope(Way.CLI, "haiku"), Scope(Way.CLI, "opus")):
        Gate(night.connection, scope).close(Cause.USAGE_LIMIT, until, "used up")
    settings = replace(night.settings, ways=ways.read("cli,api"))
    batch, now = night.start([line("a")]), time.time() + 60
    found = conditions.gather(night.connection, batch, "", conditions.ways_of(batch, settings), now)
    assert (found.ways, {wait.way for wait in found.waits}) == (("cli", "api"), {"cli", "api"})
    assert len(found.waits) == 2
    assert conditions.covered(found.waits, found.ways) > 50
    by_api = replace(batch, way="api")
    assert [
        wait.way
        for wait in conditions.gather(night.connection, by_api, "", conditions.ways_of(by_api, settings), now).waits
    ] == ["api"]
    Gate(night.connection, Scope(Way.API)).open()
    found = conditions.gather(night.connection, batch, "", conditions.ways_of(batch, settings), now)
    assert conditions.covered(found.waits, found.ways) < 1


def test_a_batch_ends_though_its_history_cannot_be_read(night: Night, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is only for the report never keeps a batch from its end."""

    def broken(*_: object, **__: object) -> list[object]:
        raise ValueError("of another version")

    batch = night.start([line("a")])
    night.answer()
    monkeypatch.setattr(history, "samples", broken)
    assert night.look(batch).status is BatchStatus.COMPLETED
    assert conditions.frozen(night.batches.storage, batch.id) is None
