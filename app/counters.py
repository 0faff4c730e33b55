"""What has happened so far, counted for all processes in one Redis hash, `nightshift:counters`.

Each count is raised in the very step that makes it true, so it is exact whatever restarts or dies, and it never
falls. All are whole numbers, which add up exactly: milliseconds, millionths of a dollar. The hash has no end of life; its fields are
few, since each label is one of a known set (`app.tally`).
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import Mapping

    from redis import Redis
    from redis.client import Pipeline

KEY = "nightshift:counters"

#: a label of what is none of a known set: a model that we do not know, an error or a kind of job that only newer code knows
OTHER = "other"

#: jobs that ended; labels: endpoint, model, outcome
REQUESTS = "requests"
#: labels: kind, model. The kinds do not overlap
TOKENS = "tokens"
#: millionths of a dollar; label: model
COST = "cost"
#: jobs that Claude was asked for, or an answer was there to; label: the way (`app.ways`), or `cache`
WAYS = "ways"
#: jobs that ended, tokens, millionths of a dollar; label: the key that they were made with
KEY_REQUESTS, KEY_TOKENS, KEY_COST = "key_requests", "key_tokens", "key_cost"
#: Claude processes that were replaced; label: reason
RESTARTS = "restarts"
#: attempts to deliver an event; label: `delivered`, `retry` (another follows) or `undelivered` (none does)
CALLBACKS = "callbacks"
#: milliseconds that the gate was closed, for closings that are not remembered one by one any more; label: cause
CLOSED = "closed"

#: histograms of milliseconds; label: endpoint
QUEUE = "queue"
RUN = "run"
FIRST_TOKEN = "first_token"  # noqa: S105 - of an answer
#: upper bounds of their buckets, seconds
BOUNDS = (0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1800.0, 3600.0, 10800.0, 28800.0)
_INFINITE = "+Inf"

#: KEYS hashes; ARGV for each of them its seconds to keep (0: no end), how many fields, and each field with what is added to it
_COUNT = """
local at = 1
for _, key in ipairs(KEYS) do
  local is_new = false
  for i = at + 2, at + 2 * ARGV[at + 1], 2 do
    if redis.call('HINCRBY', key, ARGV[i], ARGV[i + 1]) == tonumber(ARGV[i + 1]) then is_new = true end
  end
  if is_new and ARGV[at] ~= '0' then redis.call('EXPIRE', key, ARGV[at]) end
  at = at + 2 + 2 * ARGV[at + 1]
end
"""

#: what was counted, by name and labels
Counts = dict[tuple[str, ...], int]


class Counting(Protocol):
    """What counts can be put on: a pipeline, or what adds them up first."""

    def hincrby(self, name: str, key: str, amount: int = 1, /) -> Any:
        """Redis' command."""

    def expire(self, name: str, time: int, /) -> Any:
        """The same."""


class Sums:
    """What is counted in one step, added up; `put` has it in one command."""

    def __init__(self) -> None:
        self._counts: dict[str, Counter[str]] = {}
        self._ttls: dict[str, int] = {}

    def hincrby(self, name: str, key: str, amount: int = 1, /) -> None:
        """As a pipeline's."""
        self._counts.setdefault(name, Counter())[key] += amount

    def expire(self, name: str, time: int, /) -> None:
        """The same; from the first count of a field on."""
        self._ttls[name] = time

    def put(self, pipe: Pipeline) -> None:
        """Put the command on the caller's pipeline."""
        if not self._counts:
            return
        given: list[Any] = []
        for name, fields in self._counts.items():
            given += [self._ttls.get(name, 0), len(fields)]
            for pair in fields.items():
                given += pair
        pipe.eval(_COUNT, len(self._counts), *self._counts, *given)


def field(name: str, *labels: str) -> str:
    """How the hash names it."""
    return "|".join((name, *labels))


def add(pipe: Counting, name: str, *labels: str, by: int = 1) -> None:
    """Put the command that counts on the caller's pipeline."""
    if by:
        pipe.hincrby(KEY, field(name, *labels), by)


def observe(pipe: Counting, name: str, label: str, seconds: float) -> None:
    """Put the commands that add a value to a histogram on the caller's pipeline."""
    seconds = max(0.0, seconds)
    bound = next((str(bound) for bound in BOUNDS if seconds <= bound), _INFINITE)
    add(pipe, name, label, bound)
    add(pipe, name, label, "sum", by=round(seconds * 1000))


def read(reader: Redis | Pipeline) -> Counts:
    """All that was counted. On a pipeline, give its reply to `counts_of`."""
    found: Any = reader.hgetall(KEY)
    return counts_of(found)


def counts_of(reply: Mapping[bytes, bytes]) -> Counts:
    """The counts in the hash."""
    return {tuple(name.decode().split("|")): int(value) for name, value in reply.items()}


def histogram(counts: Counts, name: str, label: str) -> tuple[list[tuple[str, float]], float]:
    """([(upper bound, how many up to it)], sum in seconds), the last bound being `+Inf`."""
    buckets, total = [], 0
    for bound in (*map(str, BOUNDS), _INFINITE):
        total += counts.get((name, label, bound), 0)
        buckets.append((bound, float(total)))
    return buckets, counts.get((name, label, "sum"), 0) / 1000
