"""Whose line is next, simulated: 16 workers, a queue with four lines for each, and lines with a long tail of tokens.

Time is in tokens: a worker reads and writes one at each moment, so that its line takes as long as it has tokens.
"""

from __future__ import annotations

import heapq
import random
import zlib
from collections import Counter, deque
from dataclasses import dataclass, field
from itertools import pairwise
from typing import TYPE_CHECKING

import pytest

from app.batches.fairness import PATIENCE_SECONDS, REST_SECONDS, Claim, Fairness

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

WORKERS = 16
ROOM = 4 * WORKERS
#: what is expected of a line before any of its batch has ended
GUESS = 100.0


@dataclass
class Batch:
    """One batch, and what became of it."""

    name: str
    owner: str
    lines: Sequence[int]
    begins: float = 0.0
    #: whether it may start lines at a time
    is_open: Callable[[float], bool] = lambda _: True
    fed: int = 0
    near: int = 0
    served: int = 0
    ended: int = 0
    #: when its lines were fed, and how many tokens all had been served then
    fed_at: list[int] = field(default_factory=list)
    #: what all had been served when it ended
    ended_at: int = 0

    def claim(self, now: float) -> Claim:
        wanted = len(self.lines) - self.fed if self.is_open(now) else 0
        expected = self.served / self.ended if self.ended else GUESS
        return Claim(self.name, self.owner, self.served, self.near, expected, wanted)


@dataclass
class Night:
    """All workers, one queue."""

    batches: list[Batch]
    weights: Mapping[str, float] = field(default_factory=dict)
    fairness: Fairness = field(default_factory=Fairness)
    #: how often another process goes on, in lines; 0: never
    handed_over_after: int = 0
    now: float = 0.0
    served: Counter[str] = field(default_factory=Counter)
    lines: int = 0
    _started: int = 0
    _queue: deque[tuple[Batch, int]] = field(default_factory=deque)
    _running: list[tuple[float, int, Batch, int]] = field(default_factory=list)

    def run(self, until: Callable[[Night], bool] = lambda _: False) -> Night:
        """Until all has ended, or `until`."""
        self._feed()
        while self._running and not until(self):
            self.now, _, batch, tokens = heapq.heappop(self._running)
            batch.near -= 1
            batch.served += tokens
            batch.ended += 1
            self.served[batch.owner] += tokens
            self.lines += 1
            if batch.ended == len(batch.lines):
                batch.ended_at = self.served.total()
            if self.handed_over_after and self.lines % self.handed_over_after == 0:
                self.fairness = Fairness.from_json(self.fairness.to_json())
            self._feed()
        return self

    def _feed(self) -> None:
        there = [batch for batch in self.batches if batch.begins <= self.now and batch.ended < len(batch.lines)]
        room = ROOM - sum(batch.near for batch in there)
        claims = [batch.claim(self.now) for batch in there]
        given = self.fairness.share(claims, room, self.weights)
        # No worker is idle while anybody has a line.
        assert sum(given.values()) == min(room, sum(claim.wanted for claim in claims))
        for batch in there:
            for _ in range(given.get(batch.name, 0)):
                self._queue.append((batch, batch.lines[batch.fed]))
                batch.fed += 1
                batch.near += 1
                batch.fed_at.append(self.served.total())
        while self._queue and len(self._running) < WORKERS:
            batch, tokens = self._queue.popleft()
            self._started += 1
            heapq.heappush(self._running, (self.now + tokens, self._started, batch, tokens))


def long_tailed(count: int, typical: int, seed: int) -> list[int]:
    """Tokens of lines: half have fewer than `typical`, one of a hundred more than tenfold."""
    chosen = random.Random(seed)
    return [min(60 * typical, 1 + int(chosen.lognormvariate(0, 1.0) * typical)) for _ in range(count)]


def batch(name: str, owner: str, count: int, typical: int, *, begins: float = 0.0) -> Batch:
    """Its lines are always the same."""
    return Batch(name, owner, long_tailed(count, typical, zlib.crc32(name.encode())), begins)


def test_three_keys_of_10_and_1000_and_50000_lines() -> None:
    """The small ones end as soon as their shares let them, whatever waits besides; and nobody waits for long in between."""
    small, middle, huge = batch("s", "small", 10, 400), batch("m", "middle", 1_000, 200), batch("h", "huge", 50_000, 60)
    night = Night([huge, middle, small]).run()
    assert night.lines == 51_010
    for one, keys in ((small, 3), (middle, 2)):
        # Its share of all that was served; while its last line runs, the other workers go on.
        assert one.ended_at <= keys * sum(one.lines) + (WORKERS + keys) * max(one.lines) + ROOM * 100, one.name
    for one, keys in ((small, 3), (middle, 3), (huge, 3)):
        # A line that comes out large is made up for: the others get as much each, and what is in flight.
        waits = [after - before for before, after in pairwise(one.fed_at)]
        assert max(waits) <= 2 * keys * max(one.lines) + ROOM * 100, one.name
    assert huge.ended_at == sum(map(sum, (small.lines, middle.lines, huge.lines)))


def test_lines_of_one_size_take_turns() -> None:
    """Nobody waits for more lines than there are shares, and those in flight."""
    batches = [Batch(name, name, [50] * 2_000) for name in ("a", "b", "c")]
    night = Night(batches, {"c": 8}).run(lambda night: night.lines >= 2_000)
    for one in batches:
        waits = [after - before for before, after in pairwise(one.fed_at)]
        assert max(waits) <= 50 * (10 + ROOM)
    assert night.served["c"] == pytest.approx(8 * night.served["a"], rel=0.05)


@pytest.mark.parametrize("weights", [{}, {"b": 3, "c": 10}, {"a": 10, "b": 1, "c": 3}])
def test_shares_of_tokens_are_as_the_weights_while_all_have_lines(weights: dict[str, float]) -> None:
    """However many lines that is of each."""
    batches = [batch("a", "a", 30_000, 60), batch("b", "b", 30_000, 200), batch("c", "c", 30_000, 700)]
    night = Night(batches, weights).run(lambda night: night.lines >= 10_000)
    assert all(one.fed < len(one.lines) for one in batches)
    for one in batches:
        share = weights.get(one.owner, 1) / sum(weights.get(other.owner, 1) for other in batches)
        assert night.served[one.owner] / night.served.total() == pytest.approx(share, rel=0.04), one.owner


def test_ten_batches_of_a_key_are_one_share_and_share_that() -> None:
    many = [batch(f"many-{number}", "many", 5_000, 50 + 40 * number) for number in range(10)]
    one = batch("one", "one", 20_000, 100)
    night = Night([*many, one]).run(lambda night: night.lines >= 10_000)
    assert night.served["one"] / night.served.total() == pytest.approx(1 / 2, rel=0.03)
    for of_many in many:
        assert of_many.served / night.served["many"] == pytest.approx(1 / 10, rel=0.1)


def test_a_small_batch_passes_a_huge_one_of_the_same_key() -> None:
    huge, small = batch("huge", "a", 20_000, 100), batch("small", "a", 20, 100, begins=50_000)
    night = Night([huge, small])
    night.run(lambda night: night.now >= small.begins)
    before = night.served.total()
    night.run(lambda _: bool(small.ended_at))
    assert small.ended_at - before <= 2 * sum(small.lines) + (WORKERS + 2) * max(small.lines) + ROOM * 250


@pytest.mark.parametrize("first", ["early", "late"])
def test_who_comes_later_has_saved_nothing_and_pays_for_nothing(first: str) -> None:
    """From then on both have the same, whichever of them had all before."""
    early, late = batch("early", "early", 20_000, 100), batch("late", "late", 20_000, 100, begins=100_000)
    night = Night([early, late] if first == "early" else [late, early])
    night.run(lambda night: night.now >= late.begins)
    had = night.served["early"]
    assert had > 1_000_000
    night.run(lambda night: night.served["late"] >= 300_000)
    assert night.served["early"] - had == pytest.approx(night.served["late"], rel=0.05)


def test_who_has_nothing_to_send_for_a_while_leaves_it_to_the_others() -> None:
    """Its window is closed, say. Afterwards both have the same again."""
    steady = batch("steady", "steady", 30_000, 100)
    at_times = batch("at-times", "at times", 20_000, 100)
    at_times.is_open = lambda now: not 10_000 <= now < 60_000
    night = Night([steady, at_times]).run(lambda night: night.now >= 10_000)
    night.run(lambda night: night.now >= 60_000)
    had = night.served.copy()
    assert had["steady"] > 5 * had["at times"]
    night.run(lambda night: night.served["at times"] >= had["at times"] + 300_000)
    assert night.served["steady"] - had["steady"] == pytest.approx(300_000, rel=0.05)


def test_another_process_goes_on_as_if_it_were_the_same() -> None:
    def fed(handed_over_after: int) -> list[list[int]]:
        batches = [batch(name, name[0], 2_000, 40 * place) for place, name in enumerate(("a-1", "a-2", "b", "c"), 1)]
        weights = {"b": 2}
        Night(batches, weights, handed_over_after=handed_over_after).run()
        return [one.fed_at for one in batches]

    assert fed(7) == fed(0)


A = Claim("a", "ann", 0, 0, 10.0, 100)
B = Claim("b", "bob", 0, 0, 10.0, 100)


def test_what_is_in_flight_counts_as_large_as_it_is_expected_to_be() -> None:
    fairness = Fairness()
    assert fairness.share([A._replace(near=4), B], 4, {}) == {"b": 4}
    assert fairness.share([A._replace(near=4), B], 6, {}) == {"b": 5, "a": 1}
    assert fairness.share([A._replace(near=1, line_tokens=40), B], 4, {}) == {"b": 4}
    assert fairness.share([A._replace(near=8), B], 3, {"ann": 4}) == {"b": 2, "a": 1}


def test_the_next_line_of_an_owner_is_of_the_batch_that_has_had_least() -> None:
    fairness, other = Fairness(), Claim("a2", "ann", 0, 0, 10.0, 100)
    fairness.share([A, other], 0, {})
    assert fairness.share([A._replace(served=50), other], 4, {}) == {"a2": 4}
    assert fairness.share([A._replace(served=50), other._replace(near=5)], 2, {}) == {"a": 1, "a2": 1}


def test_what_a_batch_had_had_before_anybody_looked_is_over() -> None:
    assert Fairness().share([A._replace(served=10**9), B], 4, {}) == {"a": 2, "b": 2}


def test_once_nothing_is_left_all_are_equal() -> None:
    """What an owner had in flight when nobody else was there is not held against it later."""
    fairness = Fairness()
    fairness.share([A], 1, {})
    fairness.share([A._replace(served=10**6, wanted=0)], 1, {})
    fairness.share([], 1, {})
    assert fairness.share([A._replace(batch_id="a2"), B], 4, {}) == {"a2": 2, "b": 2}


def test_an_owner_pays_for_a_batch_that_has_ended() -> None:
    """One small batch after the other is no way past the others."""
    fairness = Fairness()
    fairness.share([A, B], 2, {})
    fairness.share([A._replace(served=1000, wanted=0), B], 1, {})
    fairness.share([B], 1, {})
    assert fairness.share([B, A._replace(batch_id="a2")], 4, {}) == {"b": 4}


def test_a_budget_that_is_good_for_no_whole_line_wants_none() -> None:
    assert Fairness().share([A._replace(wanted=0.5), B._replace(wanted=2)], 4, {}) == {"b": 2}


def test_a_batch_that_could_not_start_its_lines_leaves_them_to_others_for_a_while() -> None:
    fairness = Fairness()
    assert fairness.share([A, B], 4, {}, 100.0) == {"a": 2, "b": 2}
    fairness.rest("a", 100.0)
    assert fairness.share([A, B], 4, {}, 100.1) == {"b": 4}
    # Alone it is tried all the same.
    assert fairness.share([A], 4, {}, 100.2) == {"a": 4}
    later = B._replace(served=10**6)
    assert fairness.share([A, later], 4, {}, 100.3) == {"b": 4}
    # It has saved nothing up meanwhile.
    assert fairness.share([A, later], 4, {}, 100.0 + REST_SECONDS) == {"a": 2, "b": 2}


def test_a_batch_elsewhere_that_takes_nothing_does_not_stop_the_others() -> None:
    """Its process hangs, say. One that takes, slowly, is waited for."""
    fairness, hung = Fairness(), A._replace(is_elsewhere=True)
    served, got, rounds = 0, 0, 1000
    for number in range(rounds):
        given = fairness.share([hung, B._replace(near=4, served=served)], 4, {}, number / 10)
        got += given.get("b", 0)
        served += 40
    assert got >= rounds * 4 * 0.6
    slow = Fairness()
    for number in range(rounds):
        served = 10 * (number // 15)
        given = slow.share([hung._replace(served=served), B._replace(served=served)], 2, {}, number / 10)
        assert given.get("a")
    assert PATIENCE_SECONDS > 1.5
