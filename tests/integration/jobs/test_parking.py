"""What a closed scope does to its jobs, and to those of others: a whole worker on a real Redis, with an engine without a process."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from app import spending, usage_shares, ways
from app.connection import connect, texts
from app.gate import Cause, Gate, read_closings
from app.jobs import recovery, tickets, transitions
from app.jobs.record import Status
from app.maintenance import Maintenance
from app.messages.answer import Window
from app.messages.failure import FailureKind, TurnFailed
from app.scopes import LOTS, Lot, Scope
from app.settings import Settings
from app.ways import Way
from tests.engine import ScriptedEngine, answer
from tests.fake_worker import FakeWorker
from tests.integration.jobs.conftest import new_record
from tests.integration.jobs.test_runs import completion, error, signals, submit, worker_with
from workers.claude_worker import ClaudeWorker
from workers.engine_by_way import Engines

if TYPE_CHECKING:
    from redis import Redis

    from app.jobs.record import JobRecord
    from app.jobs.store import Jobs
    from app.messages.answer import Answer

__all__ = ["signals"]

OPUS, SONNET = Scope(Way.CLI, "opus"), Scope(Way.CLI, "sonnet")
LOT = Lot("opus", (Way.CLI,))


def limit(name: str, seconds: float = 900.0) -> TurnFailed:
    return TurnFailed(FailureKind.USAGE_LIMIT, "used up", resets_at=time.time() + seconds, limit_type=name)


def ask(jobs: Jobs, number: int, model: str, **fields: object) -> JobRecord:
    return submit(jobs, replace(new_record(f"chatcmpl-{number}"), model=model, **fields))  # type: ignore[arg-type]


def work(redis_url: str, *turns: Answer | TurnFailed) -> ScriptedEngine:
    """A worker takes what waits in the queue, and leaves."""
    engine = ScriptedEngine(*turns)
    worker_with(engine, redis_url).work(burst=True)
    return engine


def parked(connection: Redis) -> list[str]:
    return texts(connection.zrange(LOT.key, 0, -1))


def queued(connection: Redis) -> list[str]:
    return tickets.queue(connection).get_job_ids()


def close(connection: Redis, scope: Scope = OPUS, *, probe_in: float = 900.0, name: str = "seven_day_opus") -> None:
    now = time.time()
    Gate(connection, scope).close(Cause.USAGE_LIMIT, now + 900, "used up", name, probe_at=now + probe_in)


@pytest.fixture
def maintenance(connection: Redis) -> Maintenance:
    return Maintenance(connection, Settings())


def test_a_limit_of_opus_stops_opus_alone(redis_url: str, connection: Redis, jobs: Jobs) -> None:
    """Its jobs leave the queue with no attempt used, and those of other models behind them are answered."""
    asked = [ask(jobs, number, model) for number, model in enumerate(("opus", "sonnet", "claude-opus-4-5", "haiku"))]
    engine = work(redis_url, limit("seven_day_opus"), answer("from sonnet"), answer("from haiku"))
    assert len(engine.asked) == 3
    assert [completion(jobs, asked[i])["choices"][0]["message"]["content"] for i in (1, 3)] == [
        "from sonnet",
        "from haiku",
    ]
    for record in (asked[0], asked[2]):
        found = jobs.get(record.id)
        assert found is not None
        assert (found.status, found.attempts, found.waiting_for) == (Status.QUEUED, 0, "usage_limit")
    assert parked(connection) == ["chatcmpl-0", "chatcmpl-2"]
    assert queued(connection) == []
    assert list(read_closings(connection).scopes) == [OPUS]


@pytest.mark.parametrize(
    ("name", "family"), [("seven_day_sonnet", "sonnet"), ("seven_day_overage_included", "fable"), ("five_hour", "")]
)
def test_a_limit_closes_what_it_names(redis_url: str, connection: Redis, jobs: Jobs, name: str, family: str) -> None:
    """A window of the whole subscription holds all models, one of a family that family."""
    ask(jobs, 1, family or "opus")
    worker = worker_with(ScriptedEngine(limit(name)), redis_url)
    worker.work(max_jobs=1)
    assert list(read_closings(connection).scopes) == [Scope(Way.CLI, family)]


@pytest.mark.parametrize(("login", "family"), [("api_key", "opus"), ("oauth_token", "")])
def test_a_wall_of_rate_limits_is_that_models_with_a_key(
    redis_url: str, connection: Redis, jobs: Jobs, login: str, family: str
) -> None:
    """A key's limits are by model; a subscription's name none."""
    engine = ScriptedEngine(*(TurnFailed(FailureKind.RATE_LIMITED, "too much") for _ in range(3)), login_kind=login)
    for number in range(3):
        ask(jobs, number, "opus")
    worker_with(engine, redis_url).work(max_jobs=3)
    assert list(read_closings(connection).scopes) == [Scope(Way.CLI, family)]


def test_what_was_parked_returns_to_the_head_in_its_order(
    redis_url: str, connection: Redis, jobs: Jobs, maintenance: Maintenance
) -> None:
    """As it was asked for, in whichever order it was parked; what lets others pass goes before its like alone."""
    close(connection)
    for number in range(4):
        ask(jobs, number, "opus", service_tier="flex" if number == 1 else "")
    for number in (2, 0, 3, 1):
        transitions.park(connection, f"chatcmpl-{number}", LOT, Cause.USAGE_LIMIT)
    ask(jobs, 10, "sonnet")
    ask(jobs, 11, "sonnet", service_tier="flex")
    maintenance.run_once()
    assert queued(connection) == ["chatcmpl-10", "chatcmpl-11"]
    Gate(connection).resume()
    maintenance.run_once()
    assert queued(connection) == [f"chatcmpl-{number}" for number in (0, 2, 3, 10, 1, 11)]
    assert parked(connection) == []
    engine = work(redis_url, *(answer(str(number)) for number in range(6)))
    assert len(engine.asked) == 6


def test_a_return_that_died_halfway_is_gone_on_with(connection: Redis, jobs: Jobs) -> None:
    """What comes back last goes before what came back first, so that the order is the one of before."""
    for number in range(5):
        ask(jobs, number, "opus")
        transitions.park(connection, f"chatcmpl-{number}", LOT, Cause.USAGE_LIMIT)
    assert transitions.unpark(connection, LOT, 2) == 3
    assert queued(connection) == ["chatcmpl-3", "chatcmpl-4"]
    assert transitions.unpark(connection, LOT, 1000) == 0
    assert queued(connection) == [f"chatcmpl-{number}" for number in range(5)]


@pytest.mark.parametrize("number", [1, 2, 4, 700])
def test_however_many_let_others_pass_they_are_passed(connection: Redis, jobs: Jobs, number: int) -> None:
    """What does not yield goes before all that does, and behind what does not."""
    for name in ("first", "second", "third"):
        ask(jobs, 0, "opus", id=name)
        assert queued(connection).index(name) == ("first", "second", "third").index(name)
        if name == "first":
            for one in range(number):
                ask(jobs, one + 1, "opus", service_tier="flex")
    assert queued(connection)[3:] == [f"chatcmpl-{one + 1}" for one in range(number)]


def test_another_models_answer_does_not_open_the_gate(redis_url: str, connection: Redis, jobs: Jobs) -> None:
    """Opus' time to be tried has come: Sonnet's job is none of its probes."""
    close(connection, probe_in=-1.0)
    ask(jobs, 1, "sonnet")
    work(redis_url, answer("from sonnet"))
    assert list(read_closings(connection).scopes) == [OPUS]
    ask(jobs, 2, "opus")
    work(redis_url, answer("from opus"))
    assert read_closings(connection).scopes == {}


def test_a_probe_that_meets_its_limit_leaves_the_others_alone(redis_url: str, connection: Redis, jobs: Jobs) -> None:
    """It is parked again, and the scope is tried again later."""
    close(connection, probe_in=-1.0)
    ask(jobs, 1, "opus")
    ask(jobs, 2, "sonnet")
    work(redis_url, limit("seven_day_opus"), answer("from sonnet"))
    closed = read_closings(connection).scopes[OPUS]
    assert closed.probe_at > time.time()
    assert parked(connection) == ["chatcmpl-1"]
    assert connection.get(OPUS.probe_key) is None


def test_one_parked_job_is_tried_at_a_time(connection: Redis, jobs: Jobs, maintenance: Maintenance) -> None:
    """The first of them, when the time has come: no other job of the scope need be there."""
    close(connection)
    for number in range(3):
        ask(jobs, number, "opus")
        transitions.park(connection, f"chatcmpl-{number}", LOT, Cause.USAGE_LIMIT)
    maintenance.run_once()
    assert queued(connection) == []
    close(connection, probe_in=-1.0)
    for _ in range(3):
        maintenance.run_once()
    assert (queued(connection), parked(connection)) == (["chatcmpl-0"], ["chatcmpl-1", "chatcmpl-2"])


def test_a_job_that_two_closings_hold_tries_neither_before_the_time_of_both(
    redis_url: str, connection: Redis, jobs: Jobs
) -> None:
    """The whole subscription's time has come and Opus' has not: Sonnet's job is the probe, and opens the one without the other."""
    close(connection, Scope(Way.CLI), probe_in=-1.0, name="five_hour")
    close(connection)
    ask(jobs, 1, "opus")
    ask(jobs, 2, "sonnet")
    engine = work(redis_url, answer("from sonnet"))
    assert len(engine.asked) == 1
    assert list(read_closings(connection).scopes) == [OPUS]
    assert parked(connection) == ["chatcmpl-1"]


def test_what_two_closings_hold_is_not_returned_before_the_time_of_both(
    connection: Redis, jobs: Jobs, maintenance: Maintenance
) -> None:
    """No worker could try it."""
    close(connection, Scope(Way.CLI), probe_in=-1.0, name="five_hour")
    close(connection)
    ask(jobs, 1, "opus")
    transitions.park(connection, "chatcmpl-1", LOT, Cause.USAGE_LIMIT)
    maintenance.run_once()
    assert parked(connection) == ["chatcmpl-1"]
    close(connection, probe_in=-1.0)
    maintenance.run_once()
    assert queued(connection) == ["chatcmpl-1"]


def test_nothing_is_parked_while_all_waits(redis_url: str, connection: Redis, jobs: Jobs) -> None:
    """A closing of the whole way, or a pause, leaves every job in its place in the queue."""
    for number in range(2):
        ask(jobs, number, "opus")
    close(connection)
    worker = worker_with(ScriptedEngine(), redis_url)
    for is_paused in (False, True):
        if is_paused:
            Gate(connection).pause()
        else:
            close(connection, Scope(Way.CLI), name="five_hour")
        queue = tickets.queue(connection)
        worker.execute_job(FakeWorker(connection).dequeue(), queue)
        assert (queued(connection), parked(connection)) == (["chatcmpl-0", "chatcmpl-1"], [])
        Gate(connection).open()


@pytest.mark.parametrize("end", ["cancel", "deadline", "delete"])
def test_a_parked_job_ends_as_any_that_waits(connection: Redis, jobs: Jobs, maintenance: Maintenance, end: str) -> None:
    """By its client, or at its deadline; it is in no list of parked jobs afterwards, and does not come back."""
    close(connection)
    record = ask(jobs, 1, "opus", deadline_at=time.time() + (0.2 if end == "deadline" else 60))
    transitions.park(connection, record.id, LOT, Cause.USAGE_LIMIT)
    if end == "deadline":
        time.sleep(0.3)
        maintenance.run_once()
    else:
        jobs.cancel(record.id)
        if end == "delete":
            jobs.delete(record.id)
    found = jobs.get(record.id)
    assert found is not None
    assert found.status is (Status.FAILED if end == "deadline" else Status.CANCELLED)
    Gate(connection, OPUS).open()
    maintenance.run_once()
    assert (queued(connection), parked(connection), found.parked) == ([], [], "")


def test_older_code_takes_a_parked_job_for_one_that_waits_out_a_delay(
    redis_url: str, connection: Redis, jobs: Jobs, maintenance: Maintenance
) -> None:
    """Its audit finds the ticket; if it puts that into the queue, the job is parked again, or runs, and is done once."""
    close(connection)
    record = ask(jobs, 1, "opus")
    transitions.park(connection, record.id, LOT, Cause.USAGE_LIMIT)
    assert tickets.all_waiting(connection, tickets.CLAUDE_QUEUE) == {record.id}

    # What version 0.1.0 writes when it requeues, and when its worker claims: it knows nothing of the field.
    def as_before() -> None:
        connection.zrem("rq:scheduled:claude", record.id)
        connection.hset(f"nightshift:job:{record.id}", "waiting_for", "")
        connection.lpush("rq:queue:claude", record.id)

    as_before()
    work(redis_url)
    assert (queued(connection), parked(connection)) == ([], [record.id])
    as_before()
    FakeWorker(connection).claim("old")
    connection.hset(f"nightshift:job:{record.id}", "parked", str(LOT))
    connection.zadd(LOT.key, {record.id: 1.0})
    Gate(connection, OPUS).open()
    maintenance.run_once()
    found = jobs.get(record.id)
    assert found is not None
    assert (found.status, queued(connection), parked(connection)) == (Status.IN_PROGRESS, [], [])


def test_a_ticket_that_somebody_removed_is_issued_again(
    connection: Redis, jobs: Jobs, maintenance: Maintenance
) -> None:
    """For a parked job, too: a worker finds whether it is to be parked."""
    close(connection)
    record = ask(jobs, 1, "opus", created_at=time.time() - 60)
    transitions.park(connection, record.id, LOT, Cause.USAGE_LIMIT)
    connection.delete("rq:scheduled:claude")
    maintenance.run_once()
    assert (queued(connection), parked(connection)) == ([record.id], [])


def ladder(
    redis_url: str, cli: ScriptedEngine, api: ScriptedEngine, steps: str = "cli:subscription,api"
) -> ClaudeWorker:
    """A worker with a subscription first, and a key behind it."""
    settings = Settings(redis_url=redis_url, ways=ways.read(steps))
    api.way = Way.API
    engines = Engines.holding(settings, {Way.CLI: cli, Way.API: api})
    return ClaudeWorker(f"w-{time.monotonic_ns()}", connect(redis_url), settings, engines)


@pytest.mark.parametrize(
    ("failure", "scope"),
    [
        (TurnFailed(FailureKind.LOGIN, "invalid x-api-key", status=401), Scope(Way.CLI)),
        (limit("five_hour"), Scope(Way.CLI)),
        (limit("seven_day_opus"), OPUS),
    ],
)
def test_what_closes_a_way_closes_no_other(
    redis_url: str, connection: Redis, jobs: Jobs, failure: TurnFailed, scope: Scope
) -> None:
    """The job that met it goes by the next way at once, with no attempt used, as do those behind it."""
    asked = [ask(jobs, number, "opus") for number in range(3)]
    cli, api = ScriptedEngine(failure), ScriptedEngine(*(answer("by the key") for _ in range(3)))
    ladder(redis_url, cli, api).work(burst=True)
    assert (len(cli.asked), len(api.asked)) == (1, 3)
    for record in asked:
        found = jobs.get(record.id)
        assert found is not None
        assert (found.status, found.attempts) == (Status.COMPLETED, 1)
    assert list(read_closings(connection).scopes) == [scope]


def test_a_key_that_is_refused_leaves_the_subscription_open(redis_url: str, connection: Redis, jobs: Jobs) -> None:
    """Whether the check at the start finds it or a request: the other way takes all, and what asked for the key's waits."""
    refused = TurnFailed(FailureKind.LOGIN, "invalid x-api-key", status=401)
    ask(jobs, 1, "opus")
    waits = ask(jobs, 2, "opus", way="api")
    ask(jobs, 3, "opus")
    cli, api = ScriptedEngine(answer("a"), answer("b")), ScriptedEngine(refused, login=refused)
    worker = ladder(redis_url, cli, api)
    worker.work(burst=True)
    assert (len(cli.asked), len(api.asked)) == (2, 0)
    assert list(read_closings(connection).scopes) == [Scope(Way.API)]
    found = jobs.get(waits.id)
    assert found is not None
    assert (found.status, found.waiting_for, found.parked) == (Status.QUEUED, "login", "opus:api")


def test_a_job_whose_way_is_off_fails_and_blocks_nobody(redis_url: str, jobs: Jobs) -> None:
    """Somebody has changed NIGHTSHIFT_WAYS since it was accepted."""
    gone, other = ask(jobs, 1, "opus", way="api"), ask(jobs, 2, "opus")
    work(redis_url, answer("fine"))
    assert error(jobs, gone) == (400, "invalid_value")
    assert completion(jobs, other)["choices"][0]["message"]["content"] == "fine"


def test_what_no_worker_can_take_though_its_way_is_open_comes_back_now_and_then(
    redis_url: str, connection: Redis, jobs: Jobs, maintenance: Maintenance, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Claude's command line does not start here: it is not parked and returned each second, all night."""
    lot, cli = Lot("opus", (Way.CLI,)), ScriptedEngine()
    status = replace(cli.status(), state="unavailable", reason="no such file")
    monkeypatch.setattr(cli, "is_ready", lambda: False)
    monkeypatch.setattr(cli, "status", lambda: status)
    ask(jobs, 1, "opus", way="cli")
    worker, returned = ladder(redis_url, cli, ScriptedEngine()), 0
    for _ in range(4):
        if queued(connection):
            worker.check_for_suspension(burst=True)
            worker.execute_job(FakeWorker(connection).dequeue(), tickets.queue(connection))
        assert texts(connection.zrange(lot.key, 0, -1)) == ["chatcmpl-1"]
        maintenance.run_once()
        returned += len(queued(connection))
    assert returned == 1
    assert 0 < connection.pttl(f"{lot.key}:returned") <= recovery.TRY_SECONDS * 1000


def test_a_cap_that_others_came_to_leaves_each_job_in_its_place(redis_url: str, connection: Redis, jobs: Jobs) -> None:
    """While this worker waited for the queue: no way is open to anything, so that nothing is parked."""
    ask(jobs, 1, "opus")
    worker = ladder(redis_url, ScriptedEngine(), ScriptedEngine(), "api:1usd/day")
    pipe = connection.pipeline()
    spending.add(pipe, Way.API, 2.0, time.time())
    pipe.execute()
    worker.execute_job(FakeWorker(connection).dequeue(), tickets.queue(connection))
    assert queued(connection) == ["chatcmpl-1"]
    assert read_closings(connection).scopes[Scope(Way.API)].cause is Cause.SPENDING


def test_our_share_of_a_window_holds_what_the_window_holds(redis_url: str, connection: Redis, jobs: Jobs) -> None:
    """A share of Opus' window closes Opus; a window without a share closes nothing."""
    later = time.time() + 900
    windows = (Window("five_hour", 0.95, later), Window("seven_day_opus", 0.6, later))
    ask(jobs, 1, "opus")
    shares = usage_shares.read("seven_day_opus=0.5")
    worker_with(ScriptedEngine(answer("the last", windows=windows)), redis_url, stop_at_utilization=shares).work(
        max_jobs=1
    )
    closed = read_closings(connection).scopes
    assert list(closed) == [OPUS]
    assert closed[OPUS].reason.startswith("60% of the seven-day-opus window is used")


def test_each_hold_has_a_key_of_its_own() -> None:
    """And a name by which a job's record finds it."""
    assert len({lot.key for lot in LOTS}) == len(LOTS)
    assert str(Lot("", (Way.CLI, Way.API))) == "all:cli+api"
