"""Budgets of keys and of the house: how they are written, and what is left of them.

A key's is `AMOUNT/day` or `AMOUNT/month` (of UTC), the house's may be `AMOUNT/night`, too; an amount is US dollars, or tokens read and written.
The house's may also be a share of one of a subscription's usage windows in each night, `40%five_hour`; a batch may have such a share, too.
What was used is counted by `app.spending`. A cost that nobody knows is none: a budget in dollars is used up by the first answer without one,
unless another budget beside it counts tokens.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import TYPE_CHECKING

from app import window
from app.usage_shares import WINDOWS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from app.spending import Sums

DAY, MONTH, NIGHT, BATCH = "day", "month", "night", "batch"
#: periods of a key's budget, and of the house's
OF_KEYS, OF_HOUSE = (DAY, MONTH), (NIGHT, DAY, MONTH)
_BUDGET = re.compile(r"\$?(\d{1,12}(?:\.\d{1,6})?)\s*(usd|tokens?)?\s*/\s*([a-z]+)", re.IGNORECASE)
_SHARE = re.compile(r"(\d{1,3}(?:\.\d{1,3})?)\s*%\s*([a-z_]+)")
#: dollars, and tokens
_MOST = {True: 1e9, False: 1e12}
_IN_WORDS = {DAY: "a day", MONTH: "a month", NIGHT: "a night", BATCH: "since it was made"}


class BudgetError(ValueError):
    """It is none: the rest of a sentence that begins with its name."""


@dataclass(frozen=True)
class Budget:
    """How much may be used in each of its periods."""

    #: US dollars, or tokens
    amount: float
    period: str
    is_usd: bool = True
    #: the usage window of which `amount` is a share, 0 to 1; empty: it is none
    window: str = ""

    def __str__(self) -> str:
        """As it is written."""
        if self.window:
            return f"{100 * self.amount:g}%{self.window}"
        number = f"{self.amount:.6f}".rstrip("0").rstrip(".")
        return f"{number}{'' if self.is_usd else 'tokens'}/{self.period}"

    @property
    def in_words(self) -> str:
        """`$50 a month`, `2,000,000 tokens a day`, `40% of the window five_hour a night`."""
        if self.window:
            return f"{100 * self.amount:g}% of the window {self.window} {_IN_WORDS[self.period]}"
        return f"{amount(self.amount, is_usd=self.is_usd)} {_IN_WORDS[self.period]}"

    def used(self, sums: Sums) -> float:
        """What of its amount these are."""
        return sums.micro_usd / 1_000_000 if self.is_usd else sums.tokens


@dataclass(frozen=True)
class Standing:
    """A budget in its present period."""

    budget: Budget
    sums: Sums
    #: when the period ends, seconds since the epoch
    until: float
    #: whether tokens are counted beside it, where nobody knows what they cost
    has_tokens: bool = False
    #: of a usage window, what more of it is used than when the night began, whoever used it
    share: float = 0.0

    @property
    def used(self) -> float:
        """US dollars, or tokens, or a share."""
        return self.share if self.budget.window else self.budget.used(self.sums)

    @property
    def left(self) -> float:
        """The same; below 0 where more was used."""
        return self.budget.amount - self.used

    @property
    def is_unpriced(self) -> bool:
        """Whether it can't be kept, since nobody knows what was spent."""
        return self.budget.is_usd and self.sums.unpriced > 0 and not self.has_tokens

    @property
    def is_used_up(self) -> bool:
        """Whether nothing more may begin."""
        return self.is_unpriced or self.left <= 0

    @property
    def in_words(self) -> str:
        """What was used of it, as the end of a sentence about whose it is: `has spent $12.30 of its $50 a month`."""
        if self.is_unpriced:
            number = self.sums.unpriced
            return (
                f"has had {number:,} answer{'' if number == 1 else 's'} whose cost nobody knows,"
                f" so that its {self.budget.in_words} can't be kept"
            )
        if self.budget.window:
            return f"has used {100 * self.share:.0f}% of its {self.budget.in_words}"
        verb = "spent" if self.budget.is_usd else "used"
        return f"has {verb} {amount(self.used, is_usd=self.budget.is_usd)} of its {self.budget.in_words}"

    @property
    def resets(self) -> str:
        """When it begins anew, for people."""
        return f"{datetime.fromtimestamp(self.until, UTC):%Y-%m-%d %H:%M} UTC"


@lru_cache(maxsize=1024)
def read_share(text: str) -> Budget:
    """The share of a usage window that a batch may use, such as `30%five_hour`. Raises `BudgetError`, which says what it takes."""
    if (found := _share_of(text, BATCH)) is None:
        raise BudgetError(f"takes a share of a usage window ({', '.join(WINDOWS)}), such as 30%{WINDOWS[0]}")
    return found


@lru_cache(maxsize=1024)
def read(text: str, periods: tuple[str, ...] = OF_KEYS) -> tuple[Budget, ...]:
    """The budgets that a text names, with commas between. Raises `BudgetError`, which says what it takes."""
    found = tuple(_read(part.strip(), periods) for part in text.split(","))
    if len({(one.period, one.is_usd, one.window) for one in found}) < len(found):
        raise BudgetError(f"gives one amount twice; {_takes(periods)}")
    return found


def read_house(text: str) -> tuple[Budget, ...]:
    """The same of `NIGHTSHIFT_BUDGET`."""
    return read(text, OF_HOUSE)


def spell(budgets: Iterable[Budget]) -> str:
    """The inverse of `read`."""
    return ",".join(map(str, budgets))


def _read(text: str, periods: tuple[str, ...]) -> Budget:
    if NIGHT in periods and (share := _share_of(text, NIGHT)):
        return share
    found = _BUDGET.fullmatch(text)
    if found is None or found[3].lower() not in periods:
        raise BudgetError(_takes(periods))
    is_usd = not (found[2] or "").lower().startswith("token")
    number = float(found[1])
    if text.startswith("$") and not is_usd:
        raise BudgetError(_takes(periods))
    if not is_usd and number != int(number):
        raise BudgetError(f"takes whole tokens; {_takes(periods)}")
    if not 0 < number <= _MOST[is_usd]:
        raise BudgetError(f"takes an amount above 0; {_takes(periods)}")
    return Budget(number, found[3].lower(), is_usd)


def _share_of(text: str, period: str) -> Budget | None:
    found = _SHARE.fullmatch(text.strip())
    if found is None or found[2] not in WINDOWS or not 0 < float(found[1]) <= 100:
        return None
    return Budget(float(found[1]) / 100, period, is_usd=False, window=found[2])


def _takes(periods: tuple[str, ...]) -> str:
    *first, last = periods
    share = f" or a share of a usage window ({', '.join(WINDOWS)}) in each night, such as 40%{WINDOWS[0]},"
    return (
        f"takes US dollars or tokens a {', '.join(first)} or {last}, such as 20/{first[0]} or 2000000tokens/{last},"
        f"{share if NIGHT in periods else ''} or several with commas between"
    )


def standings(
    budgets: Sequence[Budget], sums: Callable[[Budget], Sums], now: float, night_ends: float = 0.0
) -> list[Standing]:
    """Each of these with what `sums` says was used in its present period. `night_ends`: of `night`."""
    has_tokens = any(not (one.is_usd or one.window) for one in budgets)
    return [
        Standing(one, sums(one), night_ends if one.period == NIGHT else end_of(one.period, now), has_tokens)
        for one in budgets
    ]


def used_up(found: Iterable[Standing]) -> Standing | None:
    """That which is used up, and lasts longest; None: none is."""
    return max((one for one in found if one.is_used_up), key=lambda one: one.until, default=None)


@dataclass(frozen=True)
class Night:
    """The night that a moment is in. Seconds since the epoch."""

    begins: float
    ends: float


def night_of(hours: str, now: float) -> Night:
    """From one opening of `NIGHTSHIFT_BATCH_WINDOW` to the next; without one from noon to noon, by this machine's time zone."""
    return _night_of(hours, now - now % 60)


@lru_cache(maxsize=64)
def _night_of(hours: str, minute: float) -> Night:
    if not hours:
        begins = _noon(minute)
        return Night(begins, _noon(begins + 36 * 3600))
    found = window.parse(hours)
    ends = found.next_change(minute)
    return Night(found.opened_at(minute), found.next_change(ends) if found.is_open(minute) else ends)


def _noon(at: float) -> float:
    """The last noon by then, local time."""
    here = datetime.fromtimestamp(at, UTC).astimezone()
    noon = here.replace(hour=12, minute=0, second=0, microsecond=0, tzinfo=None)
    if here.hour < 12:
        noon -= timedelta(days=1)
    return noon.astimezone().timestamp()


def beginning_of(period: str, now: float) -> float:
    """When the day or month of UTC began that `now` is in, seconds since the epoch."""
    begins = datetime.fromtimestamp(now, UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    return (begins if period == "day" else begins.replace(day=1)).timestamp()


def end_of(period: str, now: float) -> float:
    """The same of its end."""
    begins = datetime.fromtimestamp(beginning_of("day", now), UTC)
    if period == "day":
        return (begins + timedelta(days=1)).timestamp()
    return (begins.replace(day=1) + timedelta(days=32)).replace(day=1).timestamp()


def amount(value: float, *, is_usd: bool) -> str:
    """`$12.30`, `$0.0042`, `2,000,000 tokens`."""
    if not is_usd:
        return f"{value:,.0f} tokens"
    cents = f"{value:,.2f}"
    return f"${cents.removesuffix('.00') if value >= 1 else cents if value >= 0.1 or not value else f'{value:.4f}'}"
