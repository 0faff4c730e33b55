"""The figures as a short table, ratios first, and as JSON."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from bench.figures import QUANTILES, Figures, Rate, mean_mb, quantile
from bench.sizes import CLIENTS, SLOW_MODEL_MS

if TYPE_CHECKING:
    from collections.abc import Iterator

Row = tuple[str, str, str]


def text(figures: Figures, described: dict[str, str], workers: int) -> str:
    """What is printed."""
    return "\n".join(
        [
            *section("Ratios", [*_ratios(figures, workers)]),
            *section("Absolutes", [*_absolutes(figures, workers)]),
            *section("CPU per request, ms", [*_cpu(figures)]),
            *section("Bytes added to a request", [*_added(figures)]),
            *section("Memory of a worker, MiB", [*_memory(figures)]),
            *section("Measured on", [(name, value, "") for name, value in described.items()]),
        ]
    )


def as_json(figures: Figures, described: dict[str, str], workers: int, *, is_quick: bool) -> dict[str, Any]:
    """Everything, each sample included."""
    return {
        "quick": is_quick,
        "workers": workers,
        "clients": CLIENTS,
        "measured_on": described,
        "ratios": figures.ratios(),
        "added_ms": {
            f"pause {pause} ms": {f"p{percent}": latency.added_ms(percent) for percent in QUANTILES}
            for pause, latency in figures.latency.items()
        },
        "body_adds_ms": {
            f"pause {pause} ms": {f"p{percent}": latency.body_adds_ms(percent) for percent in QUANTILES}
            for pause, latency in figures.latency.items()
        },
        "samples": asdict(figures),
    }


def _ratios(figures: Figures, workers: int) -> Iterator[Row]:
    found = figures.ratios()
    at_once, _ = figures.best_fresh()
    yield (
        "latency, 1 client: process per request / gateway",
        f"{found['latency_of_process_per_request']:.1f} x",
        "aim 8",
    )
    yield (
        f"throughput, {CLIENTS} clients: gateway / process per request",
        f"{found['throughput_over_process_per_request']:.1f} x",
        f"aim 12; against the faster of the two, {at_once} processes at once",
    )
    yield (
        f"share of {workers} bare loops with /clear",
        f"{found['share_of_bare_loops_clear']:.2f}",
        "aim 0.9; model answers at once",
    )
    yield (
        f"share of {workers} bare loops with our rewind",
        f"{found['share_of_bare_loops_rewind']:.2f}",
        "model answers at once",
    )
    yield (
        f"share of {workers} bare loops with our rewind",
        f"{found['share_of_bare_loops_rewind_slow_model']:.2f}",
        f"model takes {SLOW_MODEL_MS:.0f} ms",
    )


def _absolutes(figures: Figures, workers: int) -> Iterator[Row]:
    yield "", "p50 /   p95 /   p99", ""
    for pause, latency in figures.latency.items():
        count = f"{len(latency.gateway_ms)} each, in turns"
        added = " / ".join(f"{latency.added_ms(percent):5.1f}" for percent in QUANTILES)
        yield f"the gateway adds, both asked {_pace(pause)}, ms", added, "aim 10 / - / 30"
        yield "    one turn through the gateway", _quantiles(latency.gateway_ms), count
        yield "    one bare warm turn", _quantiles(latency.bare_ms), count
        yield "    the same by the request's body", _quantiles(latency.by_body_ms), "aim 3 more at p50"
    yield (
        "one turn with a process of its own",
        f"{quantile(figures.fresh_answer_ms, 50):.0f} ms",
        f"p50 of {len(figures.fresh_answer_ms)}; {quantile(figures.fresh_whole_ms, 50):.0f} until it is gone",
    )
    yield f"gateway, {CLIENTS} clients, {workers} workers", *_rate(figures.gateway)
    yield f"{workers} bare loops, /clear", *_rate(figures.bare_clear)
    yield f"{workers} bare loops, rewind", *_rate(figures.bare_rewind)
    for at_once, rate in figures.fresh.items():
        yield f"process per request, {at_once} at once", *_rate(rate)
    yield f"gateway, model takes {SLOW_MODEL_MS:.0f} ms", *_rate(figures.slow_gateway)
    yield f"{workers} bare loops, model takes {SLOW_MODEL_MS:.0f} ms", *_rate(figures.slow_bare)


def _cpu(figures: Figures) -> Iterator[Row]:
    kinds = ("api", "redis", "worker", "claude")
    spent = ", ".join(f"{kind} {figures.gateway.cpu_ms(kind):.1f}" for kind in kinds)
    yield "gateway", f"{figures.gateway.cpu_ms(*kinds):.1f}", f"{spent}; {CLIENTS} clients"
    for name, rate in (("bare loop, /clear", figures.bare_clear), ("bare loop, rewind", figures.bare_rewind)):
        yield name, f"{rate.cpu_ms():.1f}", f"python {rate.cpu_ms('python'):.1f}, claude {rate.cpu_ms('claude'):.1f}"


def _added(figures: Figures) -> Iterator[Row]:
    for row in figures.added_bytes:
        yield f"{row.way}, {row.login}", f"{row.system + row.messages}", f"system {row.system}, messages {row.messages}"


def _memory(figures: Figures) -> Iterator[Row]:
    for name, rows in (("idle", figures.memory_idle), ("afterwards", figures.memory_after)):
        python, claude = mean_mb(rows)
        turns = "/".join(str(row.turns) for row in rows)
        yield name, f"{python + claude:.0f}", f"python {python:.0f}, claude {claude:.0f}; its process' turns: {turns}"


def _pace(pause_ms: int) -> str:
    return f"after {pause_ms} ms of rest" if pause_ms else "without a rest"


def _quantiles(values: list[float]) -> str:
    return " / ".join(f"{quantile(values, percent):5.1f}" for percent in QUANTILES)


def _rate(rate: Rate) -> tuple[str, str]:
    return f"{rate.per_second:.1f} /s", f"{rate.requests} in {rate.seconds:.0f} s"


def section(title: str, rows: list[Row]) -> list[str]:
    """A titled part, with an empty line at its end."""
    return [title, *(f"  {name:<56} {value:>22}  {note}".rstrip() for name, value, note in rows), ""]
