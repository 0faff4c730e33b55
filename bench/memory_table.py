"""What a worker's memory came to, as a table and as a chart."""

from __future__ import annotations

from statistics import median
from typing import TYPE_CHECKING

from bench import chart
from bench.table import section

if TYPE_CHECKING:
    from collections.abc import Callable

    from bench.memory import Look

#: looks whose median is a beginning or an end
_LOOKS = 10


def text(looks: list[Look]) -> str:
    """What is printed."""
    title = f"One worker, {looks[-1].requests:,} requests, {len(looks)} recycles: begin / end, MiB"
    tree, python = _ends(looks, lambda one: one.tree_mb), _ends(looks, lambda one: one.python_mb)
    counts = [
        (name, f"{_ends(looks, read)[0]:.0f} / {_ends(looks, read)[1]:.0f}", "aim: no more")
        for name, read in (
            ("children", lambda one: one.children),
            ("descriptors", lambda one: one.descriptors),
            ("threads", lambda one: one.threads),
        )
    ]
    rows = [
        ("whole tree", f"{tree[0]:.1f} / {tree[1]:.1f}", f"{tree[1] / tree[0] - 1:+.1%}; aim +5 % at most"),
        ("its Python part", f"{python[0]:.1f} / {python[1]:.1f}", f"{python[1] - python[0]:+.1f}; aim +5 at most"),
        *counts,
    ]
    return "\n".join(section(title, rows))


def svg(looks: list[Look]) -> str:
    """The whole course."""
    series = {
        "whole tree": [one.tree_mb for one in looks],
        "Python part": [one.python_mb for one in looks],
    }
    title = f"Resident memory of one worker after each of {len(looks)} recycles, MiB"
    return chart.lines(title, "requests", [float(one.requests) for one in looks], series)


def _ends(looks: list[Look], read: Callable[[Look], float]) -> tuple[float, float]:
    """Medians: a fresh process has served some requests by the time the old one has left, now more, now fewer."""
    return median(map(read, looks[:_LOOKS])), median(map(read, looks[-_LOOKS:]))
