"""What a process makes of Redis' answers about the time: they come late, and the truth lies between asking and hearing."""

from __future__ import annotations

import time

import pytest

from app import clock
from app.clock import JUMP_SECONDS, Clock, steady


def heard(ahead: float, *, asked: float = 0.0, took: float = 0.001) -> tuple[float, float, float]:
    """An answer of a Redis whose clock is so far ahead of this machine's."""
    now = steady() + asked
    return time.time() + asked + ahead + took / 2, now, now + took


def test_the_time_is_redis() -> None:
    """However wrong this machine's clock is, the time is that of Redis, and the difference is known."""
    found = Clock()
    found.hear(*heard(-60.0))
    assert found.now() == pytest.approx(time.time() - 60.0, abs=5)
    assert found.skew() == pytest.approx(60.0, abs=5)


def test_without_an_answer_it_is_this_machines() -> None:
    """Until Redis was asked the own clock has to do, and nothing is said of its skew."""
    found = Clock()
    assert found.now() == pytest.approx(time.time(), abs=5)
    assert found.skew() is None


def test_a_slow_answer_spoils_nothing() -> None:
    """What a busy machine hears after three seconds says little: what was known better stays."""
    found = Clock()
    found.hear(*heard(5.0))
    before = found.now() - steady()
    found.hear(*heard(5.0, took=3.0))
    assert found.now() - steady() == pytest.approx(before, abs=0.5)
    assert found.jumps == 0


def test_a_slow_answer_is_no_skew() -> None:
    """A first answer that took three seconds proves no skew: the clocks may agree."""
    found = Clock()
    found.hear(*heard(0.0, took=3.0))
    assert found.skew() == 0.0


@pytest.mark.parametrize("ahead", [60.0, -60.0])
def test_redis_clock_is_set(ahead: float) -> None:
    """A clock of Redis' that was set is followed at once, and counted, forwards and backwards."""
    found = Clock()
    found.hear(*heard(0.0))
    found.hear(*heard(ahead, asked=1.0))
    assert found.now() == pytest.approx(time.time() + ahead, abs=5)
    assert found.jumps == 1


def test_clocks_drift() -> None:
    """A clock that runs a little faster is followed, and is no jump."""
    found = Clock()
    for second in range(0, 3000, 10):
        found.hear(*heard(1e-4 * second, asked=float(second)))
    assert found.jumps == 0
    assert found.now() - time.time() == pytest.approx(0.3, abs=0.2)


def test_what_is_too_far() -> None:
    """More than a second is too far; what nobody knows is not."""
    assert [clock.is_off(skew) for skew in (None, 0.5, -0.5, 1.5, -1.5)] == [False, False, False, True, True]
    assert JUMP_SECONDS <= clock.MAX_SKEW_SECONDS
    assert clock.words(60.04) == "60.0 s ahead of Redis'"
    assert clock.words(-3.0) == "3.0 s behind Redis'"
