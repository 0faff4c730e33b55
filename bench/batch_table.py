"""A batch's figures as a short table, ratios first."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from bench.batch import IN_QUEUE, KINDS
from bench.hands import HANDS
from bench.peaks import REDIS_DATA
from bench.table import section

if TYPE_CHECKING:
    from bench.table import Row


def text(found: dict[str, Any]) -> str:
    """What is printed."""
    return "\n".join(
        [
            *section("Against RQ's enqueue_many", _ratios(found)),
            *section(f"A batch of {found['lines']:,} lines, {found['file_mb']:.0f} MiB", _times(found)),
            *section("Memory, MiB", _memory(found)),
            *section("Measured on", [(name, value, "") for name, value in found["measured_on"].items()]),
        ]
    )


def ratios(found: dict[str, Any]) -> dict[str, float]:
    """What depends little on the machine: times, and what Redis holds, over those of `enqueue_many`."""
    batch, plain = found["batch"], found["enqueue_many"]
    return {
        "until_validated": (batch["upload_s"] + batch["validate_s"]) / plain["s"],
        "feed_and_collect": batch["feed_and_collect_s"] / plain["s"],
        "redis_data": grown(found, REDIS_DATA) / plain["redis_mb"],
    }


def grown(found: dict[str, Any], kind: str) -> float:
    """The peak above what it was before, MiB."""
    memory = found["memory_mb"]
    return float(memory["peak"][kind] - memory["before"][kind])


def _ratios(found: dict[str, Any]) -> list[Row]:
    shown = ratios(found)
    return [
        ("time, uploaded and validated", f"{shown['until_validated']:.2f} x", ""),
        ("time, fed, answered and collected", f"{shown['feed_and_collect']:.2f} x", "enqueue_many runs nothing"),
        ("memory of Redis' data", f"{shown['redis_data']:.3f} x", ""),
    ]


def _times(found: dict[str, Any]) -> list[Row]:
    batch, plain, lines = found["batch"], found["enqueue_many"], found["lines"]
    through = batch["feed_and_collect_s"]
    played = f"{lines / through:.0f} lines/s; {HANDS} played workers, {IN_QUEUE} lines in flight"
    return [
        ("uploaded", f"{batch['upload_s']:.1f} s", ""),
        ("validated", f"{batch['validate_s']:.1f} s", f"{lines / batch['validate_s']:.0f} lines/s"),
        ("fed, answered at once and collected", f"{through:.1f} s", played),
        ("enqueue_many of the same requests", f"{plain['s']:.1f} s", f"{lines / plain['s']:.0f} lines/s"),
    ]


def _memory(found: dict[str, Any]) -> list[Row]:
    memory = found["memory_mb"]
    rows = [
        (kind, f"+{grown(found, kind):.1f}", f"{memory['before'][kind]:.0f} before, {memory['peak'][kind]:.0f} at most")
        for kind in (*KINDS, REDIS_DATA)
    ]
    return [*rows, ("redis data, enqueue_many", f"+{found['enqueue_many']['redis_mb']:.1f}", "")]
