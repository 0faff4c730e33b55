"""A whole worker that goes several ways, on a real Redis, with engines without processes: which one answers when another can't."""

from __future__ import annotations

import threading
import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from redis import Redis

from app import caps, ways
from app.connection import connect
from app.gate import Cause, Gate, read_closings
from app.jobs.record import Status, record_key
from app.messages.failure import FailureKind, TurnFailed
from app.scopes import Scope
from app.settings import Settings
from app.ways import Way
from chaos.until import wait_until
from tests.engine import ScriptedEngine, answer
from tests.integration.jobs.conftest import new_record
from tests.integration.jobs.test_runs import SCHEMA, signals, submit
from workers import claude_worker
from workers.claude_worker import ClaudeWorker
from workers.engine_by_way import Engines

if TYPE_CHECKING:
    from contextlib import ExitStack

    from app.jobs.record import JobRecord
    from app.jobs.store import Jobs
    from app.messages.answer import Answer
    from workers.engine import Engine, EngineStatus

__all__ = ["signals"]

REFUSED = TurnFailed(FailureKind.LOGIN, "invalid x-api-key", status=401)


def limit() -> TurnFailed:
    return TurnFailed(FailureKind.USAGE_LIMIT, "used up", resets_at=time.time() + 900, limit_type="five_hour")


class ByApi(ScriptedEngine):
    way = Way.API


def by_api(text: str, **fields: Any) -> Answer:
    return answer(text, way=Way.API, **fields)


def work(redis_url: str, ladder: str, *engines: ScriptedEngine) -> ClaudeWorker:
    """A worker with these engines takes what waits in the queue, and leaves."""
    settings = Settings(redis_url=redis_url, ways=ways.read(ladder), login_probe_seconds=0.2)
    held = Engines.holding(settings, {engine.way: engine for engine in engines})
    worker = ClaudeWorker(f"w-{time.monotonic_ns()}", connect(redis_url), settings, held)
    worker.work(burst=True)
    return worker


def found(jobs: Jobs, record: JobRecord) -> tuple[Status, int, str]:
    """Its status, its attempts, and the way that its outcome came."""
    job, outcome = jobs.get(record.id), jobs.outcome(record.id)
    assert job is not None
    return job.status, job.attempts, outcome.way if outcome else ""


def closed(connection: Redis) -> dict[Scope, Cause]:
    return {scope: one.cause for scope, one in read_closings(connection).scopes.items()}


@pytest.mark.parametrize(
    ("failures", "cause"),
    [
        ([limit()], Cause.USAGE_LIMIT),
        ([REFUSED], Cause.LOGIN),
        ([TurnFailed(FailureKind.RATE_LIMITED, "too much", status=429)] * 3, Cause.RATE_LIMIT),
    ],
)
def test_the_next_way_takes_what_a_closed_one_leaves(
    connection: Redis, redis_url: str, jobs: Jobs, failures: list[TurnFailed], cause: Cause
) -> None:
    """At once, with no attempt used up and its own way's gate open."""
    records = [submit(jobs, new_record(f"chatcmpl-{number}")) for number in range(len(failures) + 1)]
    if cause is Cause.RATE_LIMIT:
        # The first of a wall wait by themselves: two were put off before.
        for number in range(2):
            Gate(connection, Scope(Way.CLI, "sonnet")).note_overload(f"run-{number}", "", Cause.RATE_LIMIT)
    cli, api = ScriptedEngine(*failures), ByApi(*(by_api("on") for _ in records))
    work(redis_url, "cli,api", cli, api)
    assert set(closed(connection).values()) == {cause}
    assert {scope.way for scope in closed(connection)} == {Way.CLI}
    assert {found(jobs, record) for record in records} == {(Status.COMPLETED, 1, "api")}


def test_who_may_be_sent_once_is_not_sent_by_the_next_way(redis_url: str, jobs: Jobs) -> None:
    """The limit has refused what was sent."""
    record = submit(jobs, replace(new_record(), max_sends=1))
    api = ByApi(by_api("twice"))
    work(redis_url, "cli,api", ScriptedEngine(limit()), api)
    assert found(jobs, record)[0] is Status.FAILED
    assert api.asked == []


def test_a_stream_that_began_is_not_moved(redis_url: str, jobs: Jobs) -> None:
    """Its client would read a beginning twice."""

    class BreaksOff(ScriptedEngine):
        def ask(self, request: Any, deadline: float, on_delta: Any = None, **options: Any) -> Answer:
            self.turns = [answer("a beginning")]
            super().ask(request, deadline, on_delta, **options)
            # The piece is written by a thread.
            wait_until(lambda: Redis.from_url(redis_url).hget(record_key(record.id), "streamed_by"))
            raise limit()

    record = submit(jobs, replace(new_record(), streams=True), stream=True)
    api = ByApi(by_api("from the start"))
    work(redis_url, "cli,api", BreaksOff(), api)
    outcome = jobs.outcome(record.id)
    assert outcome is not None and outcome.error is not None
    assert outcome.error.code == "stream_interrupted"
    assert api.asked == []


def test_a_login_that_is_refused_at_the_start_closes_its_way_only(
    connection: Redis, redis_url: str, jobs: Jobs
) -> None:
    """No request meets it; the other way's login is tried, too."""
    record = submit(jobs)
    cli, api = ScriptedEngine(answer("on")), ByApi(login=REFUSED)
    work(redis_url, "api,cli", cli, api)
    assert (api.asked, api.logins_checked, cli.logins_checked) == ([], 1, 1)
    assert found(jobs, record) == (Status.COMPLETED, 1, "cli")
    assert closed(connection) == {Scope(Way.API): Cause.LOGIN}


def test_no_request_tries_a_login_that_was_refused(
    connection: Redis, redis_url: str, jobs: Jobs, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The gate closes while the worker waits for the queue, and is due to be tried when it takes a job."""
    cli, api = ScriptedEngine(answer("on")), ByApi()
    settings = Settings(redis_url=redis_url, ways=ways.read("api,cli"))
    worker = ClaudeWorker("w", connect(redis_url), settings, Engines.holding(settings, {Way.CLI: cli, Way.API: api}))
    record, take = submit(jobs), worker.execute_job

    def execute_job(*args: Any) -> None:
        api.login = REFUSED
        Gate(connection, Scope(Way.API)).close(Cause.LOGIN, time.time() + 900, "refused", probe_at=time.time() - 1)
        take(*args)

    monkeypatch.setattr(worker, "execute_job", execute_job)
    worker.work(burst=True)
    assert found(jobs, record) == (Status.COMPLETED, 1, "cli")
    assert api.asked == []


def test_a_login_behind_an_open_way_is_tried_again(connection: Redis, redis_url: str, jobs: Jobs) -> None:
    """Though no request needs it: its gate is open again when it works."""
    Gate(connection, Scope(Way.API)).close(Cause.LOGIN, time.time() + 900, "refused", probe_at=time.time() - 1)
    submit(jobs)
    cli, api = ScriptedEngine(answer("on")), ByApi()
    work(redis_url, "cli,api", cli, api)
    assert api.logins_checked > 0
    assert closed(connection) == {}


def test_an_engine_that_cannot_start_is_passed_over(
    redis_url: str, jobs: Jobs, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The way is open for other workers; this one goes the next."""
    record = submit(jobs)
    cli, api = ScriptedEngine(), ByApi(by_api("on"))
    status: EngineStatus = replace(cli.status(), state="unavailable", reason="no such file")
    monkeypatch.setattr(cli, "is_ready", lambda: False)
    monkeypatch.setattr(cli, "status", lambda: status)
    work(redis_url, "cli,api", cli, api)
    assert found(jobs, record) == (Status.COMPLETED, 1, "api")
    assert cli.asked == []


def test_an_engine_behind_another_is_made_for_the_request_that_needs_it(
    connection: Redis, redis_url: str, jobs: Jobs
) -> None:
    """Not before, and not without a look at its login."""
    made: list[str] = []
    engines = {Way.API: ByApi(by_api("one"), limit()), Way.CLI: ScriptedEngine(answer("two"))}

    def make(way: Way, _: ExitStack) -> Engine:
        made.append(way)
        return engines[way]

    settings = Settings(redis_url=redis_url, ways=ways.read("api,cli"))
    held = Engines(settings, make)
    held.of(Way.API)
    for number in range(2):
        assert made == ["api"]
        record = submit(jobs, new_record(f"chatcmpl-{number}"))
        ClaudeWorker(f"w-{number}", connect(redis_url), settings, held).work(burst=True)
        assert found(jobs, record) == (Status.COMPLETED, 1, ("api", "cli")[number])
    assert made == ["api", "cli"]
    assert engines[Way.CLI].logins_checked == 1
    assert closed(connection) == {Scope(Way.API): Cause.USAGE_LIMIT}


def test_an_engine_behind_another_is_ended_when_it_was_idle_for_long(redis_url: str, jobs: Jobs) -> None:
    """It gives its memory back, what it has counted is not forgotten, and the next request that needs it makes it again."""
    ended: list[str] = []
    api = ByApi(by_api("one"), limit(), by_api("three"))

    def make(way: Way, ends: ExitStack) -> Engine:
        ends.callback(ended.append, way)
        return api if way is Way.API else ScriptedEngine(answer("two"))

    settings = Settings(redis_url=redis_url, ways=ways.read("api,cli"), max_idle_seconds=0.3)
    with Engines(settings, make) as held:
        held.of(Way.API)
        for number in range(2):
            submit(jobs, new_record(f"chatcmpl-{number}"))
        worker = ClaudeWorker("w", connect(redis_url), settings, held)
        worker.work(burst=True)
        assert [way for way, _ in held.made()] == [Way.API, Way.CLI]
        turns = held.status(Way.API).turns_total
        time.sleep(0.4)
        worker.check_for_suspension(burst=True)
        assert [way for way, _ in held.made()] == [Way.API]
        assert (ended, held.status(Way.API).turns_total) == (["cli"], turns)
        record = submit(jobs, new_record("chatcmpl-again"))
        ClaudeWorker("w-2", connect(redis_url), settings, held).work(burst=True)
        assert found(jobs, record) == (Status.COMPLETED, 1, "cli")
    assert sorted(ended) == ["api", "cli", "cli"]


def test_an_engine_behind_another_is_ended_though_no_request_comes(
    redis_url: str, jobs: Jobs, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The worker does nothing but wait for the queue."""
    monkeypatch.setattr(claude_worker, "_IDLE_SECONDS", 1)
    ended, was_ended, api = threading.Event(), [], ByApi(limit(), by_api("three"))

    def make(way: Way, ends: ExitStack) -> Engine:
        if way is Way.CLI:
            ends.callback(ended.set)
        return api if way is Way.API else ScriptedEngine(answer("two"))

    def ask_again() -> None:
        was_ended.append(ended.wait(60))
        Gate(connect(redis_url), Scope(Way.API)).open()
        submit(jobs, new_record("chatcmpl-again", way="api"))

    settings = Settings(redis_url=redis_url, ways=ways.read("api,cli"), max_idle_seconds=0.3)
    with Engines(settings, make) as held:
        held.of(Way.API)
        submit(jobs)
        again = threading.Thread(target=ask_again)
        again.start()
        ClaudeWorker("w", connect(redis_url), settings, held).work(max_jobs=3)
        again.join()
    assert was_ended == [True]


def test_a_cap_is_kept_by_what_was_spent(connection: Redis, redis_url: str, jobs: Jobs) -> None:
    """The answer that comes to the cap is the last; what is asked again after a restart with a higher cap goes on."""
    records = [submit(jobs, new_record(f"chatcmpl-{number}")) for number in range(4)]
    api = ByApi(*(by_api("paid", cost_usd=0.4) for _ in records))
    cli = ScriptedEngine(*(answer("free") for _ in records))
    work(redis_url, "api:0.7usd/day,cli:subscription", cli, api)
    assert [found(jobs, record)[2] for record in records] == ["api", "api", "cli", "cli"]
    assert closed(connection) == {Scope(Way.API): Cause.SPENDING}
    assert caps.read(connection, ways.read("api:0.7usd/day"))[Way.API].usd == pytest.approx(0.8)
    later = submit(jobs, new_record("chatcmpl-later"))
    work(redis_url, "api:1usd/day,cli:subscription", cli, api)
    assert found(jobs, later) == (Status.COMPLETED, 1, "api")


def test_what_was_paid_for_in_vain_counts(connection: Redis, redis_url: str, jobs: Jobs) -> None:
    """Two answers that do not fit the schema are a failure, and cost what they cost."""
    record = submit(jobs, response_format=SCHEMA)
    work(redis_url, "api:5usd/day", ByApi(*(by_api("no JSON", cost_usd=0.25) for _ in range(2))))
    assert found(jobs, record)[0] is Status.FAILED
    assert caps.read(connection, ways.read("api:5usd/day"))[Way.API].usd == 0.5
