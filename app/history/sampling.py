"""Samples of what there is, taken by the maintenance.

Two Redis streams of JSON: one sample each ten seconds for six hours, and one each minute for eight days. They hold the counters as
they stood, and what happened between two samples is their difference when they are read: so nothing is lost when one is not
taken, and leaving out some changes no sum. Measured: 4 MB with two workers, 9 MB with eight; each stream is cut off at `MAX_BYTES`.
"""

from __future__ import annotations

import json
import secrets
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from app import clock, counters, worker_status
from app.connection import transaction
from app.gate import read_closings
from app.jobs.record import JobKind, Status, status_key
from app.tally import CANCELLED, COMPLETED, INPUT_KINDS, OUTPUT_KINDS

if TYPE_CHECKING:
    from collections.abc import Mapping

    from redis import Redis

#: how long all of history is kept, seconds: a week, and the day on which somebody looks back at it
KEEP_SECONDS = 8 * 86400
#: how often a sample is taken, seconds
SAMPLE_SECONDS = 10
#: a stream's samples, about
MAX_BYTES = 4 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class WorkerSample:
    """A worker at one moment. Memory is resident, in MiB."""

    #: the Claude process and its children
    rss_mb: float
    #: the worker itself
    python_rss_mb: float
    #: requests that all processes of this worker have answered
    turns_total: int
    #: as in `app.worker_status.WorkerState`
    state: str


@dataclass(frozen=True, slots=True)
class Sample:
    """One moment, and what ended since the sample before it."""

    #: seconds since the epoch
    at: float
    #: jobs that wait, and that run
    queued: int
    in_progress: int
    #: jobs that ended since the sample before; cancelled ones are neither
    completed: int
    failed: int
    #: of these, what Claude read and wrote; tokens of the cache are input, thoughts are output
    input_tokens: int
    output_tokens: int
    cost_usd: float
    #: why no job is taken, as in `app.gate.Cause`; empty while jobs are
    gate: str
    #: by name
    workers: Mapping[str, WorkerSample]


@dataclass(frozen=True, slots=True)
class Ended:
    """Jobs that ended in a time, and what they took; cancelled ones count in neither number."""

    completed: int
    #: by the error's code
    failed: Mapping[str, int]
    input_tokens: int
    output_tokens: int
    cost_usd: float


@dataclass(frozen=True, slots=True)
class _Series:
    key: str
    every_seconds: int
    keep_seconds: int


_FINE = _Series("nightshift:history:samples:fine", SAMPLE_SECONDS, 6 * 3600)
_COARSE = _Series("nightshift:history:samples:coarse", 60, KEEP_SECONDS)
_COUNTED = ("completed", "failed", "input_tokens", "output_tokens", "cost_microusd")
_OF_LINES = JobKind.BATCH_LINE.endpoint


def take_due(connection: Redis, now: float) -> bool:
    """Take the samples whose time has come, unless somebody else has. Whether it is time for rarer work, each minute."""
    name = secrets.token_hex(8)
    due = [series for series in (_FINE, _COARSE) if _is_ours(connection, series, now, name)]
    if due:
        sample = json.dumps(_look(connection), separators=(",", ":"))
        for series in due:
            write(connection, series, sample)
    return _COARSE in due


def samples(connection: Redis, since: float, until: float, *, most: int = 1000) -> list[Sample]:
    """The samples of that time, in order, `most` at most: each then represents those before it that were left out."""
    fine = _read(connection, _FINE, since, until)
    coarse = _read(connection, _COARSE, since, fine[0][0] if fine else until)
    found = [entry for entry in coarse if not fine or entry[0] < fine[0][0]] + fine
    step = -(-len(found) // max(1, most))
    kept = found[::-1][:: max(1, step)][::-1]
    if not kept:
        return []
    entries = [json.loads(sample) for _, sample in kept]
    # Of the first one that there ever was it is not known since when its totals were counted.
    before = _last_before(connection, found[0][0]) or json.loads(found[0][1])
    return [
        _sample(at, entry, earlier)
        for (at, _), entry, earlier in zip(kept, entries, [before, *entries[:-1]], strict=True)
    ]


def ended_since(connection: Redis, since: float) -> Ended:
    """What ended from that second (that of the sample before it) until now, as it is counted now."""
    now = _totals(counters.read(connection))
    before = _last_before(connection, since) or {}
    if any(now[name] < before.get(name, 0) for name in _COUNTED):
        before = {}  # they were cleared
    ended = {name: now[name] - before.get(name, 0) for name in _COUNTED}
    earlier = before.get("causes", {})
    causes = {cause: number - earlier.get(cause, 0) for cause, number in now["causes"].items()}
    return Ended(
        ended["completed"],
        {cause: number for cause, number in causes.items() if number > 0},
        ended["input_tokens"],
        ended["output_tokens"],
        ended["cost_microusd"] / 1_000_000,
    )


def lines_per_minute(connection: Redis, since: float, now: float) -> float | None:
    """How many lines of batches ended a minute, from the sample before that second until now; None: there is none."""
    found = _entry_before(connection, since)
    before = {} if found is None else json.loads(found[1])
    # Older code did not write it down.
    if found is None or "lines" not in before:
        return None
    ended: int = _lines(counters.read(connection)) - before["lines"]
    return round(max(0, ended) * 60 / (now - found[0]), 1)


def write(connection: Redis, series: _Series, sample: str, entry_id: str = "*") -> None:
    """Append a sample, and let go of the oldest."""
    most = max(1, min(series.keep_seconds // series.every_seconds, MAX_BYTES // len(sample)))
    last: Any = connection.xrevrange(series.key, count=1)

    def change(pipe: Any) -> None:
        is_new = pipe.xrevrange(series.key, count=1) == last
        pipe.multi()
        # Else a try whose reply was lost has written it; or somebody else has, and one of that time will do.
        if is_new:
            pipe.xadd(series.key, {"sample": sample}, id=entry_id, maxlen=most)
            pipe.xtrim(series.key, minid=_id(clock.now() - series.keep_seconds))
            pipe.expire(series.key, series.keep_seconds)

    transaction(connection, series.key, change)


def _is_ours(connection: Redis, series: _Series, now: float, name: str) -> bool:
    """Whether this process, by a name of this try, is the one that takes the sample of this slot of time."""
    slot = f"{series.key}:{int(now // series.every_seconds)}"
    # A SET that is sent again, since its reply was lost, says no: so look whose it is.
    taken = connection.set(slot, name, nx=True, ex=2 * series.every_seconds)
    return bool(taken) or connection.get(slot) == name.encode()


def _look(connection: Redis) -> dict[str, Any]:
    pipe = connection.pipeline()
    pipe.zcard(status_key(Status.QUEUED))
    pipe.zcard(status_key(Status.IN_PROGRESS))
    pipe.hgetall(counters.KEY)
    queued, in_progress, counted = pipe.execute()
    closings = read_closings(connection)
    whole = (closed for scope, closed in closings.scopes.items() if not scope.family)
    closed = closings.pause or next(whole, None)
    return {
        "queued": queued,
        "in_progress": in_progress,
        "gate": closed.cause if closed else "",
        **_totals(counters.counts_of(counted)),
        "lines": _lines(counters.counts_of(counted)),
        "workers": {
            row.name: [row.rss_mb, row.python_rss_mb, row.turns_total, row.state]
            for row in worker_status.read_all(connection)
        },
    }


def _totals(counts: counters.Counts) -> dict[str, Any]:
    totals: dict[str, Any] = dict.fromkeys(_COUNTED, 0)
    causes = totals["causes"] = {}
    for (name, *labels), number in counts.items():
        match name, labels:
            case counters.REQUESTS, [_, _, outcome] if outcome == COMPLETED:
                totals["completed"] += number
            case counters.REQUESTS, [_, _, outcome] if outcome not in CANCELLED:
                totals["failed"] += number
                causes[outcome] = causes.get(outcome, 0) + number
            case counters.TOKENS, [kind, _] if kind in INPUT_KINDS:
                totals["input_tokens"] += number
            case counters.TOKENS, [kind, _] if kind in OUTPUT_KINDS:
                totals["output_tokens"] += number
            case counters.COST, _:
                totals["cost_microusd"] += number
    return totals


def _lines(counts: counters.Counts) -> int:
    """Lines of batches that ran and ended."""
    found = (
        labels for labels in counts if labels[:2] == (counters.REQUESTS, _OF_LINES) and labels[-1] not in CANCELLED
    )
    return sum(counts[labels] for labels in found)


def _sample(at: float, entry: Mapping[str, Any], before: Mapping[str, Any]) -> Sample:
    # Totals that went down were cleared: all that they count has come since.
    is_anew = any(entry[name] < before[name] for name in _COUNTED)
    ended = {name: entry[name] - (0 if is_anew else before[name]) for name in _COUNTED}
    cost_usd = ended.pop("cost_microusd") / 1_000_000
    workers = {name: WorkerSample(*values) for name, values in entry["workers"].items()}
    return Sample(
        at, entry["queued"], entry["in_progress"], **ended, cost_usd=cost_usd, gate=entry["gate"], workers=workers
    )


def _read(connection: Redis, series: _Series, since: float, until: float) -> list[tuple[float, bytes]]:
    """When each was taken, and its JSON."""
    found: Any = connection.xrange(series.key, min=_id(max(0.0, since)), max=_id(until) if until < 1e11 else "+")
    return [_entry(*one) for one in found]


def _last_before(connection: Redis, at: float) -> dict[str, Any] | None:
    """The sample before that time, if there still is one."""
    found = _entry_before(connection, at)
    return None if found is None else json.loads(found[1])


def _entry_before(connection: Redis, at: float) -> tuple[float, bytes] | None:
    """When it was taken, and its JSON."""
    found: list[tuple[float, bytes]] = []
    for series in (_FINE, _COARSE):
        reply: Any = connection.xrevrange(series.key, max=f"({_id(at)}-0", count=1)
        found += [_entry(*one) for one in reply]
    return max(found, default=None)


def _entry(entry_id: bytes, fields: Mapping[bytes, bytes]) -> tuple[float, bytes]:
    return int(entry_id.partition(b"-")[0]) / 1000, fields[b"sample"]


def _id(at: float) -> str:
    return str(round(at * 1000))
