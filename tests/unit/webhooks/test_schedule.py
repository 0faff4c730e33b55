"""When a failed delivery is tried again."""

from __future__ import annotations

import itertools

import pytest

from app.webhooks.schedule import GIVE_UP_SECONDS, MAX_RETRY_AFTER_SECONDS, next_attempt


def moments(**kwargs: object) -> list[float]:
    """All attempts after the first at 0, if each fails at once."""
    found: list[float] = []
    now: float | None = 0.0
    failures = 0
    while now is not None:
        failures += 1
        now = next_attempt(failures, now=now, give_up_at=GIVE_UP_SECONDS, rand=lambda: 0.5, **kwargs)  # type: ignore[arg-type]
        if now is not None:
            found.append(now)
    return found


def test_a_day_of_attempts() -> None:
    """The first retries come within seconds, then ever less often, the last one a day after the first attempt."""
    found = moments()
    assert found[:4] == pytest.approx([1, 6, 36, 156])
    assert found[-1] == GIVE_UP_SECONDS
    assert 10 <= len(found) <= 12
    gaps = [later - earlier for earlier, later in itertools.pairwise(found[:-1])]
    assert gaps == sorted(gaps)


def test_jitter() -> None:
    """Delays spread by a tenth to both sides."""
    early = next_attempt(3, now=0, give_up_at=1e9, rand=lambda: 0.0)
    late = next_attempt(3, now=0, give_up_at=1e9, rand=lambda: 1.0)
    assert early == pytest.approx(27)
    assert late == pytest.approx(33)


@pytest.mark.parametrize("status", [429, 502, 503, 504])
def test_busy_receivers_get_more_time(status: int) -> None:
    """An overloaded receiver is asked later than one that failed otherwise."""
    for failures in range(1, 10):
        plain = next_attempt(failures, now=0, give_up_at=1e9, status=500, rand=lambda: 0.5)
        slow = next_attempt(failures, now=0, give_up_at=1e9, status=status, rand=lambda: 0.5)
        assert plain is not None
        assert slow is not None
        assert slow >= max(2 * plain, 10)


def test_retry_after_is_followed_and_bounded() -> None:
    """A receiver can ask for more time, up to a bound, and not for less."""
    assert next_attempt(1, now=0, give_up_at=1e9, retry_after_seconds=60) == 60
    assert next_attempt(1, now=0, give_up_at=1e9, retry_after_seconds=1e12) == MAX_RETRY_AFTER_SECONDS
    assert (next_attempt(5, now=0, give_up_at=1e9, retry_after_seconds=0) or 0) > 200


def test_nothing_after_the_end() -> None:
    """The last attempt is at the end of the day, and when it has failed there is none."""
    assert next_attempt(9, now=90, give_up_at=100) == 100
    assert next_attempt(10, now=100, give_up_at=100) is None
