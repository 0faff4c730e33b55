"""What is kept of the last days, on a real Redis: samples, closings of the gate, replaced processes."""

from __future__ import annotations

import json
import math
import time
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from app import clock, counters, errors, history, wait_log, worker_status
from app.error_codes import ErrorCode
from app.gate import Cause, Gate
from app.history import closings, recycling, sampling
from app.history.recycling import RecycleEvent
from app.jobs import transitions
from app.maintenance import Maintenance
from app.outcome import Outcome
from app.scopes import WHOLE
from app.settings import Settings
from app.webhooks.endpoints import Endpoints
from app.webhooks.events import WORKER_MEMORY
from app.webhooks.outbox import Outbox
from app.worker_status import WorkerState, WorkerStatus
from tests.integration.jobs.conftest import new_record

if TYPE_CHECKING:
    from redis import Redis

    from app.jobs.store import Jobs
    from tests.integration.jobs.conftest import Take

SETTINGS = Settings()
USAGE = {"prompt_tokens": 10, "completion_tokens": 5, "prompt_tokens_details": {"cached_tokens": 4}}


def complete(jobs: Jobs, take: Take, connection: Redis, name: str) -> None:
    jobs.submit(new_record(name), {})
    lease, _ = take()
    outcome = Outcome(body={"usage": USAGE}, headers={"x-nightshift-cost-usd": "0.25"})
    transitions.publish(connection, SETTINGS, lease, outcome)


def fail(jobs: Jobs, take: Take, connection: Redis, name: str) -> None:
    jobs.submit(new_record(name), {})
    lease, _ = take()
    error = errors.ErrorReply(504, "No byte.", code=ErrorCode.STALLED)
    transitions.publish(connection, SETTINGS, lease, Outcome(error=error))


def test_a_sample_has_what_ended_since_the_one_before(connection: Redis, jobs: Jobs, take: Take) -> None:
    """Rates can be drawn from it; what stands and who works is as it is at that moment."""
    worker_status.write(connection, WorkerStatus(name="w", state=WorkerState.BUSY, rss_mb=200.5, turns_total=3))
    sampling.take_due(connection, 1000.0)
    complete(jobs, take, connection, "a")
    complete(jobs, take, connection, "b")
    jobs.submit(new_record("waits"), {})
    Gate(connection).close(Cause.LOGIN, math.inf, "no login")
    sampling.take_due(connection, 1010.0)
    first, second = history.samples(connection, 0, math.inf)
    assert (first.completed, first.workers["w"].rss_mb, first.gate) == (0, 200.5, "")
    assert (second.queued, second.in_progress, second.completed, second.failed) == (1, 0, 2, 0)
    assert (second.input_tokens, second.output_tokens, second.cost_usd, second.gate) == (20, 10, 0.5, "login")
    assert second.workers["w"] == history.WorkerSample(200.5, 0.0, 3, "busy")


def test_what_ended_since_is_counted_to_this_moment(connection: Redis, jobs: Jobs, take: Take) -> None:
    """Failures come by their causes; what had ended before is not counted, and all of it is where nothing was sampled."""
    complete(jobs, take, connection, "a")
    fail(jobs, take, connection, "b")
    sampling.take_due(connection, 1000.0)
    fail(jobs, take, connection, "c")
    complete(jobs, take, connection, "d")
    assert history.ended_since(connection, time.time()) == history.Ended(1, {"stalled": 1}, 10, 5, 0.25)
    assert history.ended_since(connection, 1) == history.Ended(2, {"stalled": 2}, 20, 10, 0.5)


def test_any_number_of_supervisors_take_one_sample(connection: Redis) -> None:
    """Whoever comes first in ten seconds takes it."""
    supervisors = [Maintenance(connection, Settings()) for _ in range(3)]
    while time.time() % sampling.SAMPLE_SECONDS > sampling.SAMPLE_SECONDS - 2:
        time.sleep(0.1)
    for supervisor in supervisors * 2:
        supervisor.run_once()
    assert len(history.samples(connection, 0, math.inf)) == 1


def test_thinning_keeps_the_sums(connection: Redis) -> None:
    """However few are asked for, nothing that ended is left out, over the seam of fine and coarse samples too."""
    now = time.time()
    start = now - 7 * 86400
    for number in range(500):
        at = start + number * 60
        _write(connection, sampling._COARSE, at, completed=number)
    for number in range(500):
        at = now - 5000 + number * 10
        _write(connection, sampling._FINE, at, completed=499 + number)
    whole = history.samples(connection, 0, math.inf, most=10_000)
    thin = history.samples(connection, 0, math.inf, most=30)
    assert (len(whole), len(thin) <= 30) == (1000, True)
    assert sum(s.completed for s in whole) == sum(s.completed for s in thin) == 998
    assert whole[-1].at == thin[-1].at
    later = history.samples(connection, now - 101, now)
    assert [s.completed for s in later] == [1] * 10
    assert history.samples(connection, 1, 2) == []


def test_samples_are_bounded(connection: Redis, monkeypatch: pytest.MonkeyPatch) -> None:
    """By number, by bytes and by age; and each key goes by itself when nobody writes to it."""
    monkeypatch.setattr(sampling, "MAX_BYTES", 50_000)
    _write(connection, sampling._COARSE, time.time() - 20 * 86400)
    for number in range(800):
        _write(connection, sampling._COARSE, time.time() - 800 + number)
    assert len(history.samples(connection, 0, math.inf, most=10_000)) < 600
    sampling.take_due(connection, time.time())
    for key in connection.scan_iter("nightshift:history:*"):
        assert connection.ttl(key) > 0


def test_counters_that_were_cleared(connection: Redis, jobs: Jobs, take: Take) -> None:
    """What is counted anew is no negative rate."""
    for name in ("a", "b"):
        complete(jobs, take, connection, name)
    sampling.take_due(connection, 1000.0)
    connection.delete(counters.KEY)
    complete(jobs, take, connection, "c")
    sampling.take_due(connection, 1010.0)
    assert [s.completed for s in history.samples(connection, 0, math.inf)] == [0, 1]


def test_waits_of_every_cause(connection: Redis) -> None:
    """Each closing is there from its first moment; one that is said anew stays one, another cause is another."""
    gate = Gate(connection)
    gate.close(Cause.OVERLOAD, time.time() + 1, "529")
    gate.close(Cause.USAGE_LIMIT, time.time() + 60, "limit", "five_hour")
    gate.close(Cause.USAGE_LIMIT, time.time() + 90, "limit again", "five_hour")
    gate.pause(reason="lunch")
    overload, limit, pause = history.waits(connection, 0, math.inf)
    assert overload.cause == "overload"
    assert overload.until == pytest.approx(limit.since)
    assert (limit.reason, limit.limit, limit.until) == ("limit again", "five_hour", math.inf)
    assert (pause.cause, pause.reason, pause.until) == ("paused", "lunch", math.inf)
    gate.resume()
    ended = history.waits(connection, 0, math.inf)
    assert [wait.since for wait in ended] == [overload.since, limit.since, pause.since]
    assert all(wait.until <= time.time() for wait in ended)
    assert history.waits(connection, 0, overload.since - 1) == []
    assert history.waits(connection, time.time() + 1, math.inf) == []


def test_a_pause_that_ended_by_itself(connection: Redis, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody is there to write its end down, and it has one all the same."""
    end = time.time() + 60
    Gate(connection).pause(end)
    assert history.waits(connection, 0, math.inf)[0].until == math.inf
    monkeypatch.setattr(clock, "now", lambda: end + 1)
    assert history.waits(connection, 0, math.inf)[0].until == end


def test_a_closing_whose_end_nobody_wrote(connection: Redis) -> None:
    """It does not last for ever: the gate's own state tells that it is over, and the maintenance writes that down."""
    Gate(connection).close(Cause.LOGIN, math.inf, "no login")
    closings.tidy(connection)
    assert history.waits(connection, 0, math.inf)[0].until == math.inf
    connection.delete(WHOLE.key)
    assert history.waits(connection, 0, math.inf)[0].until <= time.time()
    closings.tidy(connection)
    written_at = time.time()
    time.sleep(0.01)
    assert history.waits(connection, 0, math.inf)[0].until <= written_at


def test_old_closings_are_only_a_sum(connection: Redis) -> None:
    """After their time they are removed, and the seconds that they lasted are still counted."""
    closing = wait_log.Closing("login", "no login", "", since=1000.0, until=1002.5)
    wait_log.note(connection.pipeline(), closing)
    pipe = connection.pipeline()
    wait_log.note(pipe, closing)
    wait_log.note(pipe, replace(closing, since=time.time() - 10, until=time.time() - 8))
    pipe.execute()
    before = closings.closed_seconds(connection)["login"]
    closings.tidy(connection)
    assert connection.hlen(wait_log.KEY) == 1
    assert closings.closed_seconds(connection)["login"] == pytest.approx(before) == pytest.approx(4.5, abs=0.1)


def test_restarts(connection: Redis) -> None:
    """Each is remembered and counted once, and one for memory is told to who asked for that."""
    Endpoints(connection).create("mine", "https://example.com/hook", [WORKER_MEMORY])
    now = time.time()
    by_turns = RecycleEvent(now - 5, "w1", "turns", 500, 400.0, 200.0)
    by_memory = replace(by_turns, at=now, reason="rss", rss_before_mb=1100.0)
    recycling.note(connection, by_turns)
    for _ in range(2):
        recycling.note(connection, by_memory, 1024)
    assert history.recycles(connection, 0, math.inf) == [by_turns, by_memory]
    assert history.recycles(connection, now - 1, now) == [by_memory]
    counts = counters.read(connection)
    assert (counts["restarts", "turns"], counts["restarts", "rss"]) == (1, 1)
    (stored,) = Outbox(connection).page("pending")
    told = json.loads(stored.event.body)
    assert (told["type"], told["data"]) == (
        "nightshift.worker.memory",
        {"id": "w1", "worker": "w1", "reason": "rss", "rss_before_mb": 1100.0, "rss_after_mb": 200.0, "limit_mb": 1024},
    )


def _write(connection: Redis, series: sampling._Series, at: float, **totals: int) -> None:
    sample = {"queued": 0, "in_progress": 0, "gate": "", **dict.fromkeys(sampling._COUNTED, 0), **totals, "workers": {}}
    sampling.write(connection, series, json.dumps(sample), f"{int(at * 1000)}-*")
