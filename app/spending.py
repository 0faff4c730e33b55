"""What each way to Claude, each key and the whole house have spent, by the costs that are known.

It is counted in the step that publishes an outcome: once for each answer, whoever dies or repeats what. Ways and keys are counted by day and
month of UTC, `nightshift:spent:NAME:PERIOD`; the house by quarters of an hour, in one hash a day, so that a night may begin at any of them.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from typing import TYPE_CHECKING

from app import budgets, clock, used_windows
from app.budgets import Standing
from app.ids import OWNER
from app.ways import Way

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from redis import Redis

    from app.budgets import Budget
    from app.counters import Counting
    from app.outcome import Outcome
    from app.usage import Used
    from app.used_windows import UsedWindow

PREFIX = "nightshift:spent:"
#: how long what was spent in a day or month is kept after its first answer, seconds
_KEEP_SECONDS = {"day": 3 * 86400, "month": 33 * 86400}
_FORMATS = {"day": "%Y-%m-%d", "month": "%Y-%m"}
#: fields of the hash: millionths of a dollar; answers whose cost nobody knows; tokens read and written
_MICRO_USD, _UNPRICED, _TOKENS = "micro_usd", "unpriced", "tokens"
_HOUSE = "house"
#: what of the house is counted together, and how long a day of it is kept, seconds
_QUARTER, _KEEP_HOUSE_SECONDS = 900, 33 * 86400


@dataclass(frozen=True)
class Sums:
    """What was used in some time."""

    micro_usd: int = 0
    #: read and written
    tokens: int = 0
    #: answers whose cost nobody knows: no part of `micro_usd`
    unpriced: int = 0

    def __add__(self, other: Sums) -> Sums:
        return Sums(self.micro_usd + other.micro_usd, self.tokens + other.tokens, self.unpriced + other.unpriced)

    def __bool__(self) -> bool:
        return bool(self.micro_usd or self.tokens or self.unpriced)


def count(pipe: Counting, outcome: Outcome, now: float) -> None:
    """Put on the pipeline of a job's last step what its answer cost. Nothing for a job that Claude was not asked for."""
    if outcome.way in [*Way]:
        add(pipe, Way(outcome.way), outcome.cost_usd, now, is_answer=outcome.body is not None)


def add(pipe: Counting, way: Way, usd: float | None, now: float, *, is_answer: bool = True) -> None:
    """The same of one answer, or of a failure that was paid for (`is_answer`: no). None: its cost is not known."""
    if usd is not None:
        _put(pipe, way, Sums(micro_usd=round(usd * 1_000_000)), now)
    elif is_answer:
        _put(pipe, way, Sums(unpriced=1), now)


def count_used(pipe: Counting, owner: str, used: Used, now: float) -> None:
    """Put on the pipeline of a job's last step what it used, for its key and for the house. `owner`: the key's name."""
    _count(pipe, owner, Sums(used.cost_micros, used.tokens, used.unpriced), now)


def count_paid(pipe: Counting, owner: str, usd: float, now: float) -> None:
    """The same of what was paid for an answer that nobody gets."""
    _count(pipe, owner, Sums(micro_usd=round(usd * 1_000_000)), now)


def _count(pipe: Counting, owner: str, sums: Sums, now: float) -> None:
    if not sums:
        return
    if owner != OWNER:
        _put(pipe, _name_of(owner), sums, now)
    key, quarter = _house_key(now), int(now % 86400 // _QUARTER)
    for field, number in _fields(sums):
        pipe.hincrby(key, f"{quarter}:{field}", number)
    pipe.expire(key, _KEEP_HOUSE_SECONDS)


def _put(pipe: Counting, name: str, sums: Sums, now: float) -> None:
    if not sums:
        return
    for period, seconds in _KEEP_SECONDS.items():
        key = _key(name, period, now)
        for field, number in _fields(sums):
            pipe.hincrby(key, field, number)
        pipe.expire(key, seconds)


def _fields(sums: Sums) -> list[tuple[str, int]]:
    found = ((_MICRO_USD, sums.micro_usd), (_TOKENS, sums.tokens), (_UNPRICED, sums.unpriced))
    return [(field, number) for field, number in found if number]


def reading(name: str, period: str, now: float) -> tuple[str, ...]:
    """The command that reads what a way, or a key (`_name_of`), has used in the present `day` or `month`; `sums_of` has its reply."""
    return _reading_on(name, period, now // 86400)


@lru_cache(maxsize=2048)
def _reading_on(name: str, period: str, day: float) -> tuple[str, ...]:
    return ("HMGET", _key(name, period, day * 86400), _MICRO_USD, _TOKENS, _UNPRICED)


def sums_of(reply: Sequence[bytes | None]) -> Sums:
    """What the reply to `reading` says."""
    return Sums(*(int(number or 0) for number in reply))


def of_house(connection: Redis, since: float, now: float, past: dict[float, Sums] | None = None) -> Sums:
    """What all keys and the operator have used since then, or since the beginning of that quarter of an hour; not more than 32 days.

    `past`: remembers days that are over, for one who asks again and again with one `since`.
    """
    past = {} if past is None else past
    first = since - since % _QUARTER
    days = [first - first % 86400 + 86400 * number for number in range(32)]
    asked = [day for day in days if day <= now and day not in past]
    pipe = connection.pipeline(transaction=False)
    for day in asked:
        pipe.hgetall(_house_key(day))
    found = {day: _since(counted, day, first) for day, counted in zip(asked, pipe.execute(), strict=True)}
    total = sum((*found.values(), *past.values()), start=Sums())
    # What ended in its last second is counted by then.
    past.update({day: sums for day, sums in found.items() if now > day + 86400 + _QUARTER})
    return total


def _since(found: Mapping[bytes, bytes], day: float, first: float) -> Sums:
    totals = dict.fromkeys((_MICRO_USD, _TOKENS, _UNPRICED), 0)
    for name, number in found.items():
        quarter, _, field = name.decode().partition(":")
        if field in totals and day + int(quarter) * _QUARTER >= first:
            totals[field] += int(number)
    return Sums(totals[_MICRO_USD], totals[_TOKENS], totals[_UNPRICED])


def _key(name: str, period: str, now: float) -> str:
    return f"{PREFIX}{name}:{datetime.fromtimestamp(now, UTC).strftime(_FORMATS[period])}"


def _house_key(now: float) -> str:
    return _key(_HOUSE, "day", now)


def _name_of(owner: str) -> str:
    return f"key:{owner}"


def of_key(budget: Sequence[Budget], replies: Iterable[Sequence[bytes | None]], now: float) -> list[Standing]:
    """A key's budgets. `replies`: to `readings` of them, in their order."""
    found = dict(zip(budget, map(sums_of, replies), strict=True))
    return budgets.standings(budget, found.__getitem__, now)


def readings(owner: str, budget: Sequence[Budget], now: float) -> list[tuple[str, ...]]:
    """The commands that read what a key has used, one for each of its budgets."""
    return [reading(_name_of(owner), one.period, now) for one in budget]


def may_be_used_up(budget: Sequence[Budget], replies: Iterable[Sequence[bytes | None]]) -> bool:
    """Whether `of_key` has to be asked: for each request that is accepted this one is enough."""
    for one, (micro_usd, tokens, unpriced) in zip(budget, replies, strict=True):
        used = int(micro_usd or 0) / 1_000_000 if one.is_usd else int(tokens or 0)
        if used >= one.amount or (unpriced and one.is_usd):
            return True
    return False


class House:
    """What all keys and the operator have used. For one who asks again and again."""

    def __init__(self, connection: Redis, budget: Sequence[Budget], hours: str, *, notes: bool = False) -> None:
        """`hours`: `NIGHTSHIFT_BATCH_WINDOW`. `notes`: whether this one writes down how much of usage windows is used when a night begins."""
        self._notes = notes
        self._connection = connection
        self._budget = budget
        self._hours = hours
        #: days that are over, by the beginning of the time that is asked for
        self._past: dict[float, dict[float, Sums]] = {}

    def standings(self) -> list[Standing]:
        """Its budgets in their present periods."""
        if not self._budget:
            return []
        now = clock.now()
        night = budgets.night_of(self._hours, now)
        begins = {one: _begins(one, night, now) for one in self._budget if not one.window}
        self._past = {since: self._past.get(since, {}) for since in begins.values()}

        def used(one: Budget) -> Sums:
            since = begins[one]
            return of_house(self._connection, since, now, self._past[since])

        amounts = [one for one in self._budget if not one.window]
        found = budgets.standings(amounts, used, now, night.ends)
        shares = [one for one in self._budget if one.window]
        return [*found, *self._shares(shares, night)] if shares else found

    def _shares(self, shares: Sequence[Budget], night: budgets.Night) -> Iterator[Standing]:
        seen = {one.name: one for one in used_windows.read(self._connection, Way.CLI)}
        at_begin = used_windows.at_begin(self._connection, night.begins, seen, notes=self._notes)
        for budget in shares:
            yield _share(budget, seen, at_begin, night.ends)


def of_batch(
    connection: Redis, share: Budget, batch_id: str, made_at: float, until: float, *, notes: bool = False
) -> Standing:
    """What more of a usage window is used than when a batch began, whoever used it. `notes`: as `House`; `until`: the batch's end."""
    seen = {one.name: one for one in used_windows.read(connection, Way.CLI)}
    at_begin = used_windows.at_begin(connection, made_at, seen, notes=notes, batch_id=batch_id)
    return _share(share, seen, at_begin, until)


def _share(
    budget: Budget, seen: Mapping[str, UsedWindow], at_begin: Mapping[str, UsedWindow], until: float
) -> Standing:
    one, begun = seen.get(budget.window), at_begin.get(budget.window)
    if one is None or begun is None:
        # No answer has said how much of it is used since then.
        return Standing(budget, Sums(), until)
    # Of a window that began anew since then all use counts.
    share = one.utilization - (begun.utilization if begun.resets_at == one.resets_at else 0.0)
    return Standing(budget, Sums(), min(one.resets_at, until), share=round(max(0.0, share), 6))


def _begins(one: Budget, night: budgets.Night, now: float) -> float:
    return night.begins if one.period == budgets.NIGHT else budgets.beginning_of(one.period, now)
