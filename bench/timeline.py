"""One chat request from the API's door and back: when each part of the way begins, how long it takes, and each round trip to Redis.

One client asks again and again, with a rest between; each row is the median of those requests. What is watched costs a little more than
what is not: each mark and round trip is written to a file, some 30 microseconds.
"""

from __future__ import annotations

import json
import time
from collections import defaultdict
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any

from app.connection import connect
from bench.gateway import Gateway
from bench.machine import describe
from bench.run import say
from bench.table import section

if TYPE_CHECKING:
    from collections.abc import Iterator

    from bench.table import Row

#: what is marked: a function by its label. One that a checkout does not have is left out
MARKS = {
    "flask.app:Flask.wsgi_app": "API: the whole request",
    "api.openai.submission:read": "API: reads and checks it",
    "api.openai.submission:submit": "API: puts it into the queue",
    "api.waiting:Waiting.wait": "API: waits for the outcome",
    "workers.claude_worker:ClaudeWorker.execute_job": "worker: the whole job",
    "workers.claude_worker:ClaudeWorker.check_for_suspension": "worker: looks at the gate",
    "workers.claude_worker:ClaudeWorker.dequeue_job_and_maintain_ttl": "worker: waits for a ticket",
    "workers.admission:Admission.admit": "worker: chooses the way",
    "app.jobs.transitions:claim": "worker: claims the job",
    "app.jobs.store:Jobs.request": "worker: reads the request",
    "workers.asking:ask": "worker: asks Claude",
    "app.jobs.transitions:publish": "worker: publishes the outcome",
}
_WHOLE = "API: the whole request"
_WAITS = "worker: waits for a ticket"
REQUESTS = 200
_WARM_UP = 20
_PROBE = Path(__file__).parent / "probe"
#: so that the worker is back at the queue before the next one, seconds
_REST_SECONDS = 0.03


@dataclass
class Step:
    """One part of the way, or one round trip of it; milliseconds, one number a request that had it."""

    label: str
    #: those of a round trip; empty for a part
    commands: tuple[str, ...] = ()
    begins: list[float] = field(default_factory=list)
    takes: list[float] = field(default_factory=list)
    cpu: list[float] = field(default_factory=list)


@dataclass
class Timeline:
    """Of one gateway. `steps` in the order in which they begin."""

    name: str
    requests: int
    steps: list[Step]
    client_ms: list[float]
    #: that Redis ran for one request, those in scripts included, and what they took of its CPU, microseconds
    commands: float = 0.0
    redis_us: float = 0.0

    def trips(self, part: str) -> float:
        """Round trips a request of `API` or `worker`; those once a second count as often as they were made."""
        return sum(len(one.takes) for one in self._trips(part)) / self.requests

    def sent(self, part: str) -> float:
        """Commands that it sends for a request."""
        return sum(len(one.commands) * len(one.takes) for one in self._trips(part)) / self.requests

    def cpu_ms(self, label: str) -> float:
        """CPU of the thread that has this part, a request."""
        return sum(sum(one.cpu) for one in self.steps if one.label == label and not one.commands) / self.requests

    def _trips(self, part: str) -> list[Step]:
        return [one for one in self.steps if one.commands and one.label.startswith(part)]


def run(directory: Path, way: str, against: Path | None) -> tuple[list[Timeline], dict[str, str]]:
    """The other checkout's first, if there is one. Raises `BenchError`."""
    found, described = [], {}
    for number, root in enumerate([*([against] if against else []), None]):
        name = root.name if root is not None else "this checkout"
        say(f"asking {name}")
        with ExitStack() as stack:
            notes = directory / f"notes-{number}"
            notes.mkdir()
            settings = {
                "NIGHTSHIFT_WAYS": way,
                "NIGHTSHIFT_BENCH_NOTES": str(notes),
                "NIGHTSHIFT_BENCH_MARKS": json.dumps(MARKS),
            }
            gateway = Gateway(directory / f"gateway-{number}", 1, settings, root=root, before=_PROBE)
            stack.callback(gateway.close)
            gateway.wait()
            found.append(_ask(name, gateway, notes))
            described = describe(gateway.client().get("/health")[1])
    return found, described


def text(found: list[Timeline], described: dict[str, str]) -> str:
    """What is printed."""
    last = found[-1]
    title = "begins after, takes, CPU of its thread (medians, ms)"
    return "\n".join(
        [
            *section(f"One request, {title}", [*_rows(last)]),
            *section("Of each request", [row for one in found for row in _sums(one)]),
            *section("Measured on", [(name, value, "") for name, value in described.items()]),
        ]
    )


def _ask(name: str, gateway: Gateway, notes: Path) -> Timeline:
    client = gateway.client()
    client.ask_in_turn(_WARM_UP, 0)
    with connect(gateway.redis_url) as redis:
        # What maintenance, beats and outlook do in the same time is no request's: it is measured alone, and taken off.
        idle = _used(redis, lambda: time.sleep(_REST_SECONDS * REQUESTS))
        spans: list[tuple[float, float]] = []

        def ask() -> None:
            for _ in range(REQUESTS):
                time.sleep(_REST_SECONDS)
                began = time.monotonic()
                client.ask()
                spans.append((began, time.monotonic()))
            time.sleep(_REST_SECONDS)

        began = time.monotonic()
        used = _used(redis, ask)
        longer = (time.monotonic() - began) / (_REST_SECONDS * REQUESTS)
    client.close()
    steps = _steps(_notes(notes), spans)
    found = Timeline(name, REQUESTS, steps, [1000 * (ended - began) for began, ended in spans])
    found.commands, found.redis_us = (
        (one - without * longer) / REQUESTS for one, without in zip(used, idle, strict=True)
    )
    return found


def _used(redis: Any, do: Any) -> tuple[float, float]:
    """Commands, and microseconds that Redis spent in them, while something is done."""
    redis.config_resetstat()
    do()
    rows = redis.info("commandstats").values()
    return sum(row["calls"] for row in rows), sum(row["usec"] for row in rows)


def _notes(directory: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for file in sorted(directory.iterdir()) for line in file.read_text().splitlines()]


def _steps(notes: list[dict[str, Any]], spans: list[tuple[float, float]]) -> list[Step]:
    steps: dict[tuple[Any, ...], Step] = {}
    ordered = iter(sorted(notes, key=lambda note: float(note["began"])))
    note = next(ordered, None)
    ends = [begin for begin, _ in spans[1:]] + [spans[-1][1] + _REST_SECONDS]
    for (begin, _), end in zip(spans, ends, strict=True):
        seen: dict[tuple[Any, ...], int] = defaultdict(int)
        while note is not None and note["began"] < end:
            key = (note["label"], *note.get("commands", ()))
            # The same trip twice in one part: two steps.
            seen[key] += 1
            if note["began"] >= begin:
                step = steps.setdefault((*key, seen[key]), Step(note["label"], key[1:]))
                step.begins.append(1000 * (note["began"] - begin))
                step.takes.append(1000 * (note["ended"] - note["began"]))
                step.cpu.append(1000 * note.get("cpu", 0.0))
            note = next(ordered, None)
    return sorted(steps.values(), key=lambda step: median(step.begins))


def _rows(found: Timeline) -> Iterator[Row]:
    for step in found.steps:
        often = len(step.takes) / found.requests
        # What happens now and then is no part of a request's way.
        if often < 0.5:
            continue
        times = f"{median(step.begins):6.1f} {median(step.takes):6.2f}"
        if step.commands:
            first, *_ = step.commands
            more = f" + {len(step.commands) - 1}" if len(step.commands) > 1 else ""
            whose = step.label.partition(":")[0]
            yield f"    {whose} and Redis: {first}{more}", f"{times} {'':6}", f"x {often:.1f}" if often != 1 else ""
        else:
            yield step.label, f"{times} {median(step.cpu):6.2f}", ""


def _sums(found: Timeline) -> Iterator[Row]:
    yield f"{found.name}: the client waits", f"{median(found.client_ms):.1f} ms", "p50"
    for part in ("API", "worker"):
        yield f"{found.name}: round trips, {part}", f"{found.trips(part):.1f}", f"{found.sent(part):.0f} commands sent"
    spent = ", ".join(f"{label} {found.cpu_ms(label):.2f}" for label in (_WHOLE, "worker: the whole job"))
    yield f"{found.name}: CPU of the threads, ms", "", spent
    ran = f"{found.redis_us:.0f} us of its CPU, scripts' included"
    yield f"{found.name}: commands that Redis ran", f"{found.commands:.0f}", ran
