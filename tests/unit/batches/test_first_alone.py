"""One line of a batch goes first where its lines begin alike, and again when nothing of that is kept any more."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import pytest

from app import ways
from app.batches import first_alone
from app.batches.collector import Look
from app.batches.first_alone import KEPT_SECONDS, WAIT_SECONDS, FirstAlone
from app.settings import Settings
from tests.unit.batches.test_head import record


class Time:
    """Seconds, set by the test."""

    now = 1000.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def time(monkeypatch: pytest.MonkeyPatch) -> Time:
    found = Time()
    monkeypatch.setattr(first_alone, "time", found)
    return found


def look(in_queue: int = 0, **fields: Any) -> Look:
    return Look(record(**fields), near=tuple(range(in_queue)))


def first(ladder: str = "api") -> FirstAlone:
    return FirstAlone(Settings(ways=ways.read(ladder)))


def test_the_others_follow_when_the_first_has_ended(time: Time) -> None:
    alone = first()
    assert alone.room(look()) == 1
    assert alone.room(look(1)) == 0
    assert alone.room(look(completed=1)) == math.inf
    # As long as lines end, each reads and renews it.
    for ended in range(2, 5):
        time.now += KEPT_SECONDS - 1
        assert alone.room(look(3, completed=ended)) == math.inf


def test_after_a_pause_one_goes_first_again(time: Time) -> None:
    """Also after a restart: what other processes knew is not known."""
    alone = first()
    alone.room(look())
    alone.room(look(completed=1))
    time.now += KEPT_SECONDS
    assert alone.room(look(2, completed=1)) == 0
    assert alone.room(look(completed=1)) == 1
    assert alone.room(look(failed=1, completed=1)) == math.inf
    assert first().room(look(completed=700)) == 1


def test_nobody_waits_for_ever(time: Time) -> None:
    alone = first()
    alone.room(look())
    time.now += WAIT_SECONDS - 1
    assert alone.room(look(1)) == 0
    time.now += 1
    assert alone.room(look(1)) == math.inf


@pytest.mark.parametrize(
    ("ladder", "fields", "room"),
    [
        ("api", {"head_bytes": 0}, math.inf),
        ("api", {"metadata": {"prompt_cache": "off"}}, math.inf),
        ("batches,api", {"way": "batches"}, math.inf),
        ("batches,api", {}, 1),
        ("cli", {}, 1),
    ],
)
def test_where_nothing_is_kept_nothing_waits(ladder: str, fields: dict[str, Any], room: float) -> None:
    """Message batches have a first part of their own."""
    assert first(ladder).room(look(**fields)) == room


def test_batches_that_are_over_are_forgotten(time: Time) -> None:
    alone = first()
    alone.room(look())
    alone.room(look(completed=1))
    other = replace(look(), record=replace(record(), id="other"))
    alone.keep([other.record.id])
    assert alone.room(look(completed=1)) == 1
