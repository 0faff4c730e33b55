"""What each key used, by day and model: requests, tokens, cost, counted in the step that ends a job.

One Redis hash for each day (UTC), `nightshift:usage:2026-11-28`, whose fields are `owner|model|what` and whose values are whole numbers:
tokens, millionths of a dollar. Its fields are few: keys and labels of models are bounded.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING, Any

from app.outcome import tokens

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from redis import Redis

    from app.counters import Counting
    from app.outcome import Outcome

PREFIX = "nightshift:usage:"
#: how long a day is remembered
KEEP_DAYS = 400


@dataclass(frozen=True, kw_only=True)
class Used:
    """Of one key, model and day. Tokens as OpenAI counts them: cached ones are part of the input."""

    requests: int = 0
    failed: int = 0
    input_tokens: int = 0
    cached_tokens: int = 0
    output_tokens: int = 0
    #: of the answers whose cost is known, millionths of a dollar
    cost_micros: int = 0
    #: answers whose cost nobody knows
    unpriced: int = 0

    @property
    def tokens(self) -> int:
        """Read and written."""
        return self.input_tokens + self.output_tokens


@dataclass(frozen=True)
class Row:
    """What was used by one key with one model on one day (UTC)."""

    day: date
    owner: str
    model: str
    used: Used


def of(outcome: Outcome) -> Used:
    """What a job used that ended so."""
    sent = (outcome.body or {}).get("usage") or {}
    micros = None if outcome.cost_usd is None else round(outcome.cost_usd * 1_000_000)
    return Used(
        requests=1,
        failed=int(outcome.error is not None),
        input_tokens=tokens(sent, "prompt_tokens"),
        cached_tokens=tokens(sent, "prompt_tokens", "cached_tokens"),
        output_tokens=tokens(sent, "completion_tokens"),
        cost_micros=micros or 0,
        unpriced=int(outcome.body is not None and micros is None),
    )


def add(pipe: Counting, owner: str, model: str, used: Used, now: float) -> None:
    """Put the commands that count on the caller's pipeline. `model`: `JobRecord.model_label`."""
    name = _key(day_of(now))
    for one in fields(used):
        if number := getattr(used, one.name):
            pipe.hincrby(name, f"{owner}|{model}|{one.name}", number)
    pipe.expire(name, KEEP_DAYS * 24 * 3600)


def read(connection: Redis, first: date, last: date, owner: str | None = None) -> Iterator[Row]:
    """Rows from `first` to `last`, both included, sorted by day, owner and model; of one owner, or of all."""
    days = [first + timedelta(days=number) for number in range((last - first).days + 1)]
    pipe = connection.pipeline(transaction=False)
    for day in days:
        pipe.hgetall(_key(day))
    for day, counted in zip(days, pipe.execute(), strict=True):
        yield from _rows(day, counted, owner)


def day_of(now: float) -> date:
    """The day (UTC) of a time in seconds since the epoch."""
    return datetime.fromtimestamp(now, UTC).date()


def _rows(day: date, counted: Mapping[bytes, bytes], owner: str | None) -> Iterator[Row]:
    found: dict[tuple[str, str], dict[str, Any]] = {}
    for name, value in counted.items():
        whose, model, what = name.decode().split("|")
        if owner is None or whose == owner:
            found.setdefault((whose, model), {})[what] = int(value)
    known = {one.name for one in fields(Used)}
    for (whose, model), numbers in sorted(found.items()):
        yield Row(day, whose, model, Used(**{name: number for name, number in numbers.items() if name in known}))


def _key(day: date) -> str:
    return PREFIX + day.isoformat()
