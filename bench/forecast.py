"""What a trial foretells of a batch against what the batch then takes: cost and time, for three files of the same number of lines."""

from __future__ import annotations

import json
import random
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

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
TRIED = (20, 50, 100)
WORKERS = 2
_WORDS = "Say what this review is about, and whether its writer would buy it again. "


@dataclass(frozen=True)
class Measured:
    """Of one file and one number of tried lines: what was foretold and what it took, US dollars and seconds."""

    file: str
    tried: int
    cost: tuple[float, float]
    cost_range: tuple[float, float]
    seconds: tuple[float, float]


def run(directory: Path) -> list[Measured]:
    """Each file, tried with each number of lines, then continued. Raises `BenchError`."""
    gateway = Gateway(directory / "gateway", WORKERS, {"NIGHTSHIFT_WAYS": "api"})
    found = []
    try:
        gateway.wait()
        client = gateway.client()
        for name, (lines, rules) in FILES.items():
            SimulatorControl(gateway.simulator_url).set_rules(rules)
            source = directory / f"{name}.jsonl"
            source.write_text("".join(f"{json.dumps(line)}\n" for line in _numbered(lines())))
            for tried in TRIED:
                say(f"{name}, {tried} tried")
                found.append(_measure(client, source, name, tried))
        client.close()
    finally:
        gateway.close()
    return found


def _measure(client: Client, source: Path, name: str, tried: int) -> Measured:
    batch_id = client.create_batch(client.upload(source), {"try": str(tried)})
    held = wait_until(client, batch_id, lambda batch: batch["nightshift"]["waiting_for"] == "tried")
    forecast = client.get(f"/v1/batches/{batch_id}/report")[1]["forecast"]
    started = time.monotonic()
    client.post(f"/v1/batches/{batch_id}/continue")
    ended = wait_until(client, batch_id, lambda batch: batch["status"] == "completed")
    took = time.monotonic() - started
    cost = forecast["cost_usd"]["api"]
    spent = ended["nightshift"]["cost_usd"] - held["nightshift"]["cost_usd"]
    return Measured(
        name, tried, (cost["likely"], spent), (cost["low"], cost["high"]), (forecast["seconds"]["likely"], took)
    )


def text(found: list[Measured]) -> str:
    """The table."""
    rows = []
    for one in found:
        cost = one.cost[0] / one.cost[1] - 1
        seconds = one.seconds[0] / one.seconds[1] - 1
        low, high = (edge / one.cost[1] - 1 for edge in one.cost_range)
        rows.append(
            (
                f"{one.file}, {one.tried} of {LINES} tried",
                f"cost {cost:+.1%}",
                f"range {low:+.0%} to {high:+.0%}; time {seconds:+.1%}; took {one.seconds[1]:.1f} s, ${one.cost[1]:.4f}",
            )
        )
    return "\n".join(section("Forecast against what it took (aims: cost within 10 %, time within 20 %)", rows))


def _numbered(bodies: Iterator[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    for number, body in enumerate(bodies):
        yield {"custom_id": f"r{number}", "method": "POST", "url": "/v1/chat/completions", "body": body}


def _body(prompt: str) -> dict[str, Any]:
    return {"model": "claude-haiku-4-5", "messages": [{"role": "user", "content": prompt}]}


def _short() -> Iterator[dict[str, Any]]:
    """Reviews of some hundred characters, answers of a sentence or two."""
    chance = random.Random(1)
    for _ in range(LINES):
        yield _body(f"{chance.choice(_MARKS)} {_WORDS}" + "x" * chance.randrange(20, 400))


def _long_tailed() -> Iterator[dict[str, Any]]:
    """Most are short, some have tens of thousands of characters; long ones get long answers more often."""
    chance = random.Random(2)
    for _ in range(LINES):
        length = min(60_000, int(chance.lognormvariate(6.0, 1.4)))
        mark = _MARKS[2] if chance.random() < min(0.9, length / 20_000) else chance.choice(_MARKS[:2])
        yield _body(f"{mark} {_WORDS}" + "x" * length)


def _failing() -> Iterator[dict[str, Any]]:
    """Of the short ones each twelfth is refused by the API."""
    for number, body in enumerate(_short()):
        if number % 12 == 5:
            body["messages"][0]["content"] = "[refused] " + body["messages"][0]["content"]
        yield body


#: which answer a prompt gets, by the rules below
_MARKS = ("[brief]", "[plain]", "[detailed]")


def _answer(mark: str, words: int) -> dict[str, Any]:
    return {
        "match": {"contains": mark},
        "times": None,
        "respond": {"repeat_text": {"unit": "word ", "count": words}},
        "latency_ms": 20,
        "tokens_per_second": 5000,
    }


_ANSWERS = [_answer(_MARKS[0], 10), _answer(_MARKS[1], 40), _answer(_MARKS[2], 200)]
_REFUSED = {
    "match": {"contains": "[refused]"},
    "times": None,
    "respond": {"error": {"status": 400, "message": "This request is refused."}},
}
_OVERLOADED = {"match": {}, "times": None, "probability": 0.03, "seed": 5, "respond": {"error": {"status": 529}}}
FILES: dict[str, tuple[Callable[[], Iterator[dict[str, Any]]], list[dict[str, Any]]]] = {
    "short": (_short, _ANSWERS),
    "long-tailed": (_long_tailed, _ANSWERS),
    "with failures": (_failing, [_REFUSED, _OVERLOADED, *_ANSWERS]),
}
