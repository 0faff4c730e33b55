"""What a trial foretells, by lines whose cost and time are known functions of their length."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Any

import pytest

from app.batches.output import LineEnd
from app.batches.report import forecast
from app.batches.report.line_stats import LineStats
from app.batches.trial import chosen
from app.ways import Way

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from app.batches.report.forecast import Forecast, Range


def stats(number: int, **fields: Any) -> LineStats:
    given: dict[str, Any] = {
        "ended_at": 0.0,
        "queued_seconds": 0.0,
        "run_seconds": 1.0,
        "worker": "w1",
        "attempts": 1,
        "input_tokens": 10,
        "output_tokens": 5,
        "cost_usd": 0.01,
        "kind": LineEnd.COMPLETED,
        "cause": "",
        "way": "api",
    }
    return LineStats(number=number, **(given | fields))


def foretold(tried: Sequence[LineStats], lengths: Sequence[int], **fields: Any) -> Forecast:
    given: dict[str, Any] = {"ways": (Way.API, Way.BATCHES), "workers": 2, "context_tokens": 200_000}
    found = forecast.of(tried, lengths, **(given | fields))
    assert found is not None
    return found


def near(found: Range, wanted: float) -> bool:
    """In the range, but for what a float leaves out."""
    return found.low - 1e-9 <= wanted <= found.high + 1e-9 and found.likely == pytest.approx(wanted)


def test_equal_lines_cost_what_the_tried_ones_did() -> None:
    found = foretold([stats(number) for number in range(10)], [100] * 50)
    assert (found.tried, found.failed, found.requests) == (10, 0, 40)
    assert near(found.cost_usd["api"], 0.4)
    assert near(found.cost_usd["batches"], 0.2)
    assert found.seconds is not None
    assert near(found.seconds, 20.0)
    assert near(found.input_tokens, 400)


def test_the_time_has_what_passes_between_two_lines_of_a_worker() -> None:
    """Usually: that a worker once waited for a limit is nothing that the rest does after each line."""
    ends = [1.5 * number + (3600 if number > 7 else 0) for number in range(10)]
    tried = [stats(2 * at + one, ended_at=ends[at], worker=f"w{one}") for at in range(10) for one in (0, 1)]
    found = foretold(tried, [100] * 100).seconds
    assert found is not None
    assert near(found, 80 * 1.5 / 2)


def test_what_grows_with_the_length_is_told_by_a_straight_line_though_the_tried_are_shorter_than_the_rest() -> None:
    lengths = [100 * (number + 1) for number in range(100)]
    tried = [stats(number, cost_usd=0.001 + lengths[number] * 1e-6) for number in range(20)]
    found = foretold(tried, lengths)
    assert near(found.cost_usd["api"], sum(0.001 + length * 1e-6 for length in lengths[20:]))


@pytest.mark.parametrize("longest", [3_000, 60_000])
def test_the_range_holds_what_the_rest_costs_in_most_files(longest: int) -> None:
    """Where long lines differ by more than short ones, too, and where few are much longer than the others."""

    def length(chance: random.Random) -> int:
        return min(longest, 100 + int(chance.lognormvariate(6.0, 1.4)))

    def cost(chance: random.Random, length: int) -> float:
        return length * 1e-6 * chance.uniform(0.5, 1.5)

    assert _held(length, cost) >= 90


def test_one_line_alone_says_little() -> None:
    found = foretold([stats(0)], [100] * 101).cost_usd["api"]
    assert found.low == 0.0
    assert found.likely == pytest.approx(1.0)
    assert found.high >= 2.5


def test_a_line_alone_at_its_length_makes_no_endless_range() -> None:
    tried = [stats(number, cost_usd=0.01 + number * 1e-5) for number in range(9)] + [stats(9, cost_usd=0.5)]
    found = foretold(tried, [100] * 9 + [5_000] + [100] * 90 + [5_000] * 10).cost_usd["api"]
    assert found.likely == pytest.approx(90 * 0.01004 + 10 * 0.5)
    assert found.high < 1.1 * found.likely


def _held(length: Callable[[random.Random], int], cost: Callable[[random.Random, int], float]) -> int:
    held = 0
    for seed in range(100):
        chance = random.Random(seed)
        lengths = [length(chance) for _ in range(500)]
        costs = [cost(chance, one) for one in lengths]
        first = chosen(lengths, 30)
        rest = set(range(500)) - set(first)
        order = [*first, *sorted(rest)]
        tried = [stats(number, cost_usd=costs[one]) for number, one in enumerate(first)]
        found = foretold(tried, [lengths[one] for one in order]).cost_usd["api"]
        held += found.low <= sum(costs[one] for one in rest) <= found.high
    return held


def test_what_failed_costs_what_is_known_of_it_and_has_no_tokens() -> None:
    tried = [stats(number) for number in range(6)]
    failed = {"kind": LineEnd.FAILED, "cause": "refused", "cost_usd": None, "input_tokens": 0, "output_tokens": 0}
    tried += [stats(number, **failed) for number in range(6, 10)]
    found = foretold(tried, [100] * 20)
    assert found.failed == 4
    assert near(found.cost_usd["api"], 0.06)


def test_an_answer_of_unknown_cost_makes_all_of_it_unknown() -> None:
    found = foretold([stats(number, cost_usd=0.01 if number else None) for number in range(10)], [100] * 20)
    assert found.cost_usd == {}


def test_lines_that_came_at_half_the_price_tell_the_whole_one() -> None:
    found = foretold([stats(number, way="batches", cost_usd=0.005) for number in range(10)], [100] * 20)
    assert near(found.cost_usd["api"], 0.1)
    assert near(found.cost_usd["batches"], 0.05)


@pytest.mark.parametrize("by_batches", [1, 10])
def test_no_time_is_told_where_lines_waited_in_message_batches(by_batches: int) -> None:
    tried = [
        stats(number, **({"way": "batches", "run_seconds": 9000.0} if number < by_batches else {}))
        for number in range(10)
    ]
    assert foretold(tried, [100] * 20).seconds is None


def test_lines_that_may_be_too_long_are_counted_by_the_tokens_that_a_byte_had() -> None:
    tried = [stats(number, input_tokens=50) for number in range(10)]
    found = foretold(tried, [100] * 10 + [1_000, 10_000, 30_000], context_tokens=4_000)
    assert (found.longest_bytes, found.longest_tokens, found.too_long) == (30_000, 15_000, 2)


def test_nothing_is_told_without_a_line_that_ran_or_a_line_that_is_left() -> None:
    assert forecast.of([stats(0, run_seconds=None)], [100] * 5, ways=(), workers=1, context_tokens=1) is None
    assert forecast.of([stats(0)], [100], ways=(), workers=1, context_tokens=1) is None


#: one line wrote a head of a cent for a quarter more, the others read it for a tenth
WROTE = {"cost_usd": 0.0145, "cache_saved_usd": -0.0025}
READ = {"cost_usd": 0.003, "cache_saved_usd": 0.009}


def test_what_the_prompt_cache_saves_is_foretold_by_the_lines_that_read() -> None:
    """The line that wrote the head did so for all: the rest is as cheap as those that read it."""
    tried = [stats(number, **(READ if number else WROTE)) for number in range(10)]
    found = foretold(tried, [100] * 50, saves_in_parts=True)
    assert near(found.cost_usd["api"], 40 * 0.003)
    assert near(found.cache_saved_usd["api"], 40 * 0.009)
    assert near(found.cost_usd["batches"], 20 * 0.003)
    assert near(found.cache_saved_usd["batches"], 20 * 0.009)


def test_message_batches_that_read_nothing_cost_half_of_all_of_it() -> None:
    """Too few lines are left for a first part."""
    found = foretold([stats(number, **(READ if number else WROTE)) for number in range(10)], [100] * 20)
    assert near(found.cost_usd["batches"], 5 * 0.012)
    assert list(found.cache_saved_usd) == ["api"]


def test_where_nobody_read_each_line_writes() -> None:
    """The rest will do so, too."""
    found = foretold([stats(number, **WROTE) for number in range(10)], [100] * 20)
    assert near(found.cost_usd["api"], 10 * 0.0145)
