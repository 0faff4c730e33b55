"""What a trial foretells of a batch against what the batch then takes: cost and time, for three files of the same number of lines."""

from __future__ import annotations

import json
import random
import time
from dataclasses import dataclass
from statistics import median
from typing import TYPE_CHECKING, Any

from app.batches.output import LineEnd
from app.batches.report import forecast
from app.batches.report.line_stats import LineStats
from app.batches.trial import chosen
from app.prices import cost_usd
from app.ways import Way
from bench.batch import wait_until
from bench.gateway import Gateway
from bench.run import say
from bench.table import section
from simulator.client import SimulatorControl

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from bench.gateway import Client

LINES = 2000
#: lines that are tried
TRIED = 20
#: answers take far longer than the machine's own work for them, as Claude's do: else the machine would be measured
WORKERS = 16
LATENCY_MS, TOKENS_PER_SECOND = 600, 250
MODEL = "claude-haiku-4-5"
#: files that are held against their forecasts without a server, by the same prices and times
SEEDS = 50
COST_AIM, TIME_AIM = 0.10, 0.20
_WORDS = "Say what this review is about, and whether its writer would buy it again. "


@dataclass(frozen=True)
class Measured:
    """Of one file: what was foretold and what it took, US dollars and seconds."""

    file: str
    cost: tuple[float, float]
    cost_range: tuple[float, float]
    seconds: tuple[float, float]


def run(directory: Path) -> list[Measured]:
    """Each file, tried, then continued. Raises `BenchError`."""
    gateway = Gateway(directory / "gateway", WORKERS, {"NIGHTSHIFT_WAYS": "api"})
    found = []
    try:
        gateway.wait()
        client = gateway.client()
        SimulatorControl(gateway.simulator_url).set_rules(_RULES)
        for name, make in FILES.items():
            source = directory / f"{name}.jsonl"
            source.write_text("".join(f"{json.dumps(line)}\n" for line in _numbered(make(random.Random(1)))))
            say(f"{name}, {TRIED} of {LINES} tried")
            found.append(_measure(client, source, name))
        client.close()
    finally:
        gateway.close()
    return found


def _measure(client: Client, source: Path, name: str) -> Measured:
    batch_id = client.create_batch(client.upload(source), {"try": str(TRIED)})
    held = wait_until(client, batch_id, lambda batch: batch["nightshift"]["waiting_for"] == "tried")
    foretold = client.get(f"/v1/batches/{batch_id}/report")[1]["forecast"]
    started = time.monotonic()
    client.post(f"/v1/batches/{batch_id}/continue")
    ended = wait_until(client, batch_id, lambda batch: batch["status"] == "completed")
    took = time.monotonic() - started
    cost = foretold["cost_usd"]["api"]
    spent = ended["nightshift"]["cost_usd"] - held["nightshift"]["cost_usd"]
    return Measured(name, (cost["likely"], spent), (cost["low"], cost["high"]), (foretold["seconds"]["likely"], took))


def text(found: list[Measured]) -> str:
    """The table."""
    rows = []
    for one in found:
        cost = one.cost[0] / one.cost[1] - 1
        seconds = one.seconds[0] / one.seconds[1] - 1
        low, high = (edge / one.cost[1] - 1 for edge in one.cost_range)
        rows.append(
            (
                f"{one.file}, {TRIED} of {LINES} tried",
                f"cost {cost:+.1%}",
                f"range {low:+.0%} to {high:+.0%}; time {seconds:+.1%}; took {one.seconds[1]:.1f} s, ${one.cost[1]:.4f}",
            )
        )
    rows.extend((f"{name}, {SEEDS} files without a server", *_spread(name)) for name in FILES)
    aims = f"cost within {COST_AIM:.0%}, time within {TIME_AIM:.0%}"
    return "\n".join(section(f"Forecast against what it took (aims: {aims})", rows))


def _spread(name: str) -> tuple[str, str]:
    """How far forecasts are off over many files, by what the simulator is known to answer."""
    costs, times, held = [], [], 0
    for seed in range(SEEDS):
        bodies = list(FILES[name](random.Random(seed)))
        lengths = [len(json.dumps(line)) + 1 for line in _numbered(iter(bodies))]
        first = chosen(lengths, TRIED)
        rest = sorted(set(range(LINES)) - set(first))
        stats = [_stats(number, bodies[one]) for number, one in enumerate([*first, *rest])]
        found = forecast.of(
            stats[:TRIED],
            [lengths[one] for one in (*first, *rest)],
            ways=[Way.API],
            workers=1,
            context_tokens=200_000,
        )
        if found is None or found.seconds is None:
            continue
        cost = sum(line.cost_usd or 0.0 for line in stats[TRIED:])
        costs.append(abs(found.cost_usd["api"].likely / cost - 1))
        held += found.cost_usd["api"].low <= cost <= found.cost_usd["api"].high
        times.append(abs(found.seconds.likely / sum(line.run_seconds or 0.0 for line in stats[TRIED:]) - 1))
    within = sum(one <= COST_AIM for one in costs) / SEEDS
    in_time = sum(one <= TIME_AIM for one in times) / SEEDS
    details = f"median off {median(costs):.1%}; in the range {held / SEEDS:.0%}; time within its aim {in_time:.0%}"
    return f"within {within:.0%}", details


def _stats(number: int, body: dict[str, Any]) -> LineStats:
    """What a line comes to by the rules: four characters are a token, a message is one more."""
    prompt = body["messages"][0]["content"]
    read = 1 + -(-len(prompt) // 4)
    is_refused = prompt.startswith("[refused]")
    words = 0 if is_refused else next(count for mark, count in _MARKS.items() if mark in prompt)
    written = -(-5 * words // 4)
    usd = cost_usd(MODEL, {"input_tokens": read, "output_tokens": written})
    return LineStats(
        number=number,
        ended_at=0.0,
        queued_seconds=0.0,
        run_seconds=LATENCY_MS / 1000 + written / TOKENS_PER_SECOND,
        worker="",
        attempts=1,
        input_tokens=0 if is_refused else read,
        output_tokens=written,
        cost_usd=None if is_refused else usd,
        kind=LineEnd.FAILED if is_refused else LineEnd.COMPLETED,
        cause="",
    )


def _numbered(bodies: Iterator[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    for number, body in enumerate(bodies):
        yield {"custom_id": f"r{number}", "method": "POST", "url": "/v1/chat/completions", "body": body}


def _body(prompt: str) -> dict[str, Any]:
    return {"model": MODEL, "messages": [{"role": "user", "content": prompt}]}


def _short(chance: random.Random) -> Iterator[dict[str, Any]]:
    """Reviews of some hundred characters, answers of one sentence to three, whatever the review."""
    for _ in range(LINES):
        yield _body(f"{chance.choice(list(_MARKS))} {_WORDS}" + "x" * chance.randrange(20, 400))


def _long_tailed(chance: random.Random) -> Iterator[dict[str, Any]]:
    """Most are short, some have tens of thousands of characters; long ones get long answers more often."""
    brief, plain, detailed = _MARKS
    for _ in range(LINES):
        length = min(60_000, int(chance.lognormvariate(6.0, 1.4)))
        mark = detailed if chance.random() < min(0.9, length / 20_000) else chance.choice((brief, plain))
        yield _body(f"{mark} {_WORDS}" + "x" * length)


def _failing(chance: random.Random) -> Iterator[dict[str, Any]]:
    """Of the short ones each twelfth is refused by the API."""
    for number, body in enumerate(_short(chance)):
        if number % 12 == 5:
            body["messages"][0]["content"] = "[refused] " + body["messages"][0]["content"]
        yield body


#: how many words a prompt's answer has, by what the prompt says
_MARKS = {"[brief]": 15, "[plain]": 30, "[detailed]": 60}


def _answer(mark: str, words: int) -> dict[str, Any]:
    return {
        "match": {"contains": mark},
        "times": None,
        "respond": {"repeat_text": {"unit": "word ", "count": words}},
        "latency_ms": LATENCY_MS,
        "tokens_per_second": TOKENS_PER_SECOND,
    }


_REFUSED: dict[str, Any] = {
    "match": {"contains": "[refused]"},
    "times": None,
    "respond": {"error": {"status": 400, "message": "This request is refused."}},
    "latency_ms": LATENCY_MS,
}
#: now and then the API is overloaded
_OVERLOADED: dict[str, Any] = {
    "match": {},
    "times": None,
    "probability": 0.03,
    "seed": 5,
    "respond": {"error": {"status": 529}},
    "latency_ms": LATENCY_MS,
}
_RULES: list[dict[str, Any]] = [_REFUSED, _OVERLOADED, *(_answer(mark, words) for mark, words in _MARKS.items())]
FILES: dict[str, Callable[[random.Random], Iterator[dict[str, Any]]]] = {
    "short": _short,
    "long-tailed": _long_tailed,
    "with failures": _failing,
}
