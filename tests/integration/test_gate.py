"""The gate on a real Redis: who may take a job when."""

from __future__ import annotations

import math
import time

import pytest
from redis import Redis

from app import clock
from app.gate import OVERLOADS_FOR_A_WALL, Cause, Closings, Gate, read_closings
from app.jobs.transitions import new_execution
from app.scopes import WHOLE, Scope
from app.ways import Way


@pytest.fixture
def gate(redis_url: str) -> Gate:
    return Gate(Redis.from_url(redis_url))


@pytest.fixture
def other(redis_url: str) -> Gate:
    """The same gate in another worker."""
    return Gate(Redis.from_url(redis_url))


def test_an_open_gate_lets_everybody_pass(gate: Gate) -> None:
    """Without a cause all workers take jobs."""
    assert gate.read() is None
    assert gate.may_pass("a")
    assert gate.may_pass("b")


def test_until_the_probe_nobody_passes(gate: Gate) -> None:
    """Before the time of the probe no worker takes a job."""
    gate.close(Cause.USAGE_LIMIT, time.time() + 60, "limit", "five_hour")
    assert not gate.may_pass("a")


def test_one_probe_goes_first(gate: Gate, other: Gate) -> None:
    """When the time has come one worker tries; the others follow when it got an answer."""
    gate.close(Cause.USAGE_LIMIT, time.time() - 1, "limit")
    assert gate.may_pass("a")
    assert gate.may_pass("a")
    assert not other.may_pass("b")
    other.passed("b")  # an answer to a job from before the closing
    assert not other.may_pass("b")
    gate.passed("a")
    assert other.may_pass("b")


def test_a_probe_that_fails_closes_again(gate: Gate) -> None:
    """A second limit keeps the time since when, and the next probe is anybody's."""
    gate.close(Cause.USAGE_LIMIT, time.time() - 1, "limit")
    first = gate.read()
    assert gate.may_pass("a")
    gate.close(Cause.USAGE_LIMIT, time.time() - 0.5, "limit again")
    second = gate.read()
    assert first is not None
    assert second is not None
    assert second.since == first.since
    assert gate.may_pass("b")


def test_a_limit_is_tried_before_its_reset(gate: Gate) -> None:
    """A limit that is raised, or a reset time that is wrong, is found out by an early probe."""
    gate.close(Cause.USAGE_LIMIT, time.time() + 9999, "limit", probe_at=time.time() - 1)
    assert gate.may_pass("a")


def test_our_share_of_a_window(gate: Gate) -> None:
    """An answer that tells that it is used closes the gate, also the probe's; another cause is not covered up by a late one."""
    later = time.time() + 9999
    assert gate.stop_at_share("a", later, "83 %", "five_hour", probe_at=time.time() - 1)
    assert gate.may_pass("b")
    assert gate.stop_at_share("b", later, "84 %", "five_hour", probe_at=later)
    closed = gate.read()
    assert closed is not None
    assert (closed.cause, closed.reason) == (Cause.UTILIZATION, "84 %")
    assert not gate.may_pass("b")
    gate.close(Cause.LOGIN, math.inf, "login", probe_at=time.time() - 1)
    assert not gate.stop_at_share("a", later, "83 %", "five_hour", probe_at=later)
    assert gate.may_pass("a")
    assert gate.stop_at_share("a", later, "85 %", "five_hour", probe_at=later)


def test_the_next_may_probe_when_the_first_died(gate: Gate) -> None:
    """A worker that dies with its probe does not keep the gate closed."""
    gate.close(Cause.LOGIN, math.inf, "login", probe_at=time.time() - 1)
    assert gate.may_pass("a")
    gate.end_probe("a")
    assert gate.may_pass("b")


@pytest.mark.parametrize("cause", [Cause.OVERLOAD, Cause.RATE_LIMIT])
def test_some_refusals_in_a_row_make_a_wall(gate: Gate, cause: Cause) -> None:
    """Single ones are the job's own retries; several with no answer in between close the gate for all, half a minute at most."""
    for _ in range(OVERLOADS_FOR_A_WALL - 1):
        assert not gate.note_overload(new_execution(), "no", cause)
    connection = gate._connection
    connection.delete(WHOLE.overloads_key)  # as the publication of an answer does
    for _ in range(OVERLOADS_FOR_A_WALL - 1):
        assert not gate.note_overload(new_execution(), "no", cause)
    waits = []
    for _ in range(6):
        assert gate.note_overload(new_execution(), "no", cause)
        closed = gate.read()
        assert closed is not None
        assert closed.cause is cause
        waits.append(round(closed.probe_at - time.time()))
    assert not gate.may_pass("a")
    assert waits == [15, 30, 30, 30, 30, 30]


def test_a_wall_lasts_as_long_as_the_api_asks(gate: Gate) -> None:
    """A probe goes sooner all the same, and a short wish does not shorten the wall."""
    for wish in (5.0, 900.0, 900.0):
        is_closed = gate.note_overload(new_execution(), "no", Cause.RATE_LIMIT, retry_after=wish, probe_seconds=60.0)
    closed = gate.read()
    assert is_closed
    assert closed is not None
    assert (round(closed.until - time.time()), round(closed.probe_at - time.time())) == (900, 60)
    gate.note_overload(new_execution(), "no", Cause.RATE_LIMIT, retry_after=1.0)
    closed = gate.read()
    assert closed is not None
    assert round(closed.until - time.time()) == 30


def test_a_pause_stands_before_everything(gate: Gate) -> None:
    """A pause holds through a limit's reset and a probe's success, until it is resumed."""
    gate.pause(reason="maintenance")
    gate.close(Cause.USAGE_LIMIT, time.time() - 1, "limit")
    gate.open()
    closed = gate.read()
    assert closed is not None
    assert (closed.cause, closed.until) == (Cause.PAUSED, math.inf)
    assert not gate.may_pass("a")
    assert gate.resume()
    assert gate.may_pass("a")
    assert not gate.resume()


def test_a_pause_ends_at_its_time(gate: Gate, monkeypatch: pytest.MonkeyPatch) -> None:
    """`pause --until` needs nobody to resume it."""
    end = time.time() + 60
    gate.pause(end)
    assert not gate.may_pass("a")
    monkeypatch.setattr(clock, "now", lambda: end + 1)
    assert gate.may_pass("a")


def test_a_closing_stops_its_own_scope(redis_url: str, gate: Gate) -> None:
    """What closes the gate for one model family stops no other request; a pause, and its end, are for all."""
    opus = Scope(Way.CLI, "opus")
    narrow = Gate(Redis.from_url(redis_url), opus)
    narrow.close(Cause.USAGE_LIMIT, time.time() + 60, "limit", "opus")
    assert (gate.may_pass("a"), narrow.may_pass("a")) == (True, False)
    gate.note_overload("run", "529")
    assert Redis.from_url(redis_url).scard(opus.overloads_key) == 0
    gate.pause()
    assert (gate.may_pass("a"), narrow.may_pass("a")) == (False, False)
    assert gate.resume()
    assert (gate.may_pass("a"), narrow.may_pass("a")) == (True, True)


def test_one_read_tells_what_is_closed(redis_url: str) -> None:
    """A request is held by its family's closing and by its whole way's, of which the longer counts; a pause holds all."""
    connection, now = Redis.from_url(redis_url), time.time()
    assert read_closings(connection) == Closings(None, {})
    Gate(connection, Scope(Way.CLI, "opus")).close(Cause.USAGE_LIMIT, now + 60, "opus is used up", "seven_day_opus")
    closings = read_closings(connection)
    assert closings.holding(Way.CLI, "sonnet") is closings.holding(Way.CLI) is closings.holding(Way.API, "opus") is None
    held = closings.holding(Way.CLI, "opus")
    assert held is not None
    assert (held.cause, held.limit) == (Cause.USAGE_LIMIT, "seven_day_opus")
    for until, limit in ((now + 30, "seven_day_opus"), (now + 90, "five_hour")):
        Gate(connection).close(Cause.USAGE_LIMIT, until, "all is used up", "five_hour")
        closings = read_closings(connection)
        assert [closings.holding(Way.CLI, family) is not None for family in ("opus", "sonnet", "")] == [True] * 3
        held = closings.holding(Way.CLI, "opus")
        assert held is not None
        assert held.limit == limit
    Gate(connection).pause()
    assert read_closings(connection).holding(Way.API, "haiku") == read_closings(connection).pause
