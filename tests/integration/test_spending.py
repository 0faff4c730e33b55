"""What each way has spent, on a real Redis: counted with the outcome, and its cap kept by the gate."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest
from redis import Redis

from app import budgets, caps, clock, errors, spending, ways
from app.gate import Cause, Gate, read_closings
from app.jobs.store import Jobs
from app.outcome import COST_HEADER, WAY_HEADER, Outcome
from app.scopes import Scope
from app.ways import Way
from tests.fake_worker import FakeWorker
from tests.integration.jobs.conftest import new_record

if TYPE_CHECKING:
    from collections.abc import Iterator

LADDER = ways.read("cli,api:1usd/day")


@pytest.fixture
def connection(redis_url: str) -> Iterator[Redis]:
    with Redis.from_url(redis_url) as client:
        yield client


def paid(usd: str, way: str = "api", **outcome: Any) -> Outcome:
    headers = {WAY_HEADER: way} | ({COST_HEADER: usd} if usd else {})
    return Outcome(headers=headers, **(outcome or {"body": {"id": "chatcmpl-1"}}))


def put(connection: Redis, outcome: Outcome, times: int = 1) -> None:
    pipe = connection.pipeline()
    for _ in range(times):
        spending.count(pipe, outcome, clock.now())
    pipe.execute()


def closed(connection: Redis, way: Way = Way.API) -> tuple[str, str] | None:
    found = read_closings(connection).scopes.get(Scope(way))
    return None if found is None else (found.cause, found.limit)


def test_what_a_way_spends_is_counted_by_day_and_month(connection: Redis) -> None:
    """Of answers, and of failures that were paid for; an unknown cost is none, and is counted by itself."""
    put(connection, paid("0.25"), 3)
    put(connection, paid("0.1", error=errors.internal()))
    put(connection, paid(""), 2)
    put(connection, paid("", error=errors.internal()))
    put(connection, paid("5", way="cli"))
    put(connection, Outcome(error=errors.internal()))
    for ladder in (LADDER, ways.read("api:1usd/month")):
        found = caps.read(connection, ladder)
        assert [*found] == [Way.API]
        assert (found[Way.API].usd, found[Way.API].unpriced, found[Way.API].is_at_cap) == (0.85, 2, False)
    assert all(0 < connection.ttl(key) <= 33 * 86400 for key in connection.scan_iter("nightshift:spent:*"))


def test_a_published_answer_is_counted_once(connection: Redis) -> None:
    """However often its publication is repeated."""
    jobs, worker = Jobs(connection, FakeWorker.settings), FakeWorker(connection)
    jobs.submit(new_record(), {})
    lease, _ = worker.claim()
    for _ in range(3):
        worker.answer(lease, **{WAY_HEADER: "api", COST_HEADER: "0.5"})
    assert caps.read(connection, LADDER)[Way.API].usd == 0.5


def test_a_way_at_its_cap_is_closed_until_the_day_ends(connection: Redis) -> None:
    """It alone, and by nobody's hand before that."""
    put(connection, paid("0.99"))
    assert caps.keep(connection, LADDER) == []
    assert closed(connection) is None
    put(connection, paid("0.01"))
    assert caps.keep(connection, LADDER) == [Way.API]
    assert caps.keep(connection, LADDER) == []
    assert closed(connection) == (Cause.SPENDING, "1usd/day")
    assert closed(connection, Way.CLI) is None
    found = read_closings(connection).scopes[Scope(Way.API)]
    ends = datetime.fromtimestamp(found.until, UTC)
    assert 0 < found.until - time.time() <= 86400
    assert (ends.hour, ends.minute, ends.second) == (0, 0, 0)
    assert found.reason == "$1.00 of this day are spent by api, which NIGHTSHIFT_WAYS caps at 1usd/day"
    Gate(connection).resume()
    assert caps.keep(connection, LADDER) == [Way.API]


@pytest.mark.parametrize("value", ["api:1.5usd/day", "api"])
def test_a_higher_cap_opens_it(connection: Redis, value: str) -> None:
    """Or none any more."""
    put(connection, paid("1"))
    caps.keep(connection, LADDER)
    assert caps.keep(connection, ways.read(value)) == []
    assert closed(connection) is None


def test_a_new_day_opens_it(connection: Redis, monkeypatch: pytest.MonkeyPatch) -> None:
    """The month's cap stays."""
    put(connection, paid("1"))
    caps.keep(connection, LADDER)
    real, day = clock.now, 86400.0
    monkeypatch.setattr(clock, "now", lambda: real() + day)
    assert caps.read(connection, LADDER)[Way.API].usd == 0.0
    caps.keep(connection, LADDER)
    assert closed(connection) is None


def test_another_cause_is_left_alone(connection: Redis) -> None:
    """Below the cap nothing but what the cap has closed is opened."""
    Gate(connection, Scope(Way.API)).close(Cause.LOGIN, time.time() + 60, "refused")
    caps.keep(connection, LADDER)
    assert closed(connection) == (Cause.LOGIN, "")


def test_the_end_of_a_month() -> None:
    """The first of the next, in December and in short months, too."""
    for begins, ends in (("2026-12-31", "2027-01-01"), ("2028-02-01", "2028-03-01"), ("2026-11-28", "2026-12-01")):
        now = datetime.fromisoformat(f"{begins}T23:59:59+00:00").timestamp()
        assert budgets.end_of("month", now) == datetime.fromisoformat(f"{ends}T00:00:00+00:00").timestamp()
