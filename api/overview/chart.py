"""The curves, twice: as SVG paths for the first paint and where no script runs, and as numbers for the page's chart library."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from api import figures

if TYPE_CHECKING:
    from collections.abc import Sequence

    from api.overview.past import Past, Step

#: height of the SVG's coordinates; its width is one unit a step
HEIGHT = 100
#: of a spark-line's, and its width
SPARK_HEIGHT, SPARK_WIDTH = 24, 96


class Chart:
    """Throughput and queue of the last hours."""

    def __init__(self, past: Past) -> None:
        self._past = past
        self.width = len(past.steps)
        self.height = HEIGHT
        self.most_ended = max(1, *(step.completed + step.failed for step in past.steps))
        self.most_queued = max(1, *(step.queued for step in past.steps))

    @property
    def each(self) -> str:
        """How long a step is: `10 min`."""
        return figures.duration(self._past.step_seconds)

    @property
    def hours(self) -> str:
        """How long all are: `12 h`."""
        return figures.duration(self._past.seconds)

    @property
    def ended(self) -> str:
        """What ended: bars that represent all."""
        return self._bars(step.completed + step.failed for step in self._past.steps)

    @property
    def completed(self) -> str:
        """Of it what was answered."""
        return self._bars(step.completed for step in self._past.steps)

    @property
    def queued(self) -> str:
        """What waited, as an area."""
        tops = (f"V{self._y(step.queued, self.most_queued)}h1" for step in self._past.steps)
        return f"M0 {HEIGHT}{''.join(tops)}V{HEIGHT}Z"

    @property
    def closings(self) -> list[tuple[float, float]]:
        """Left edge and width of each time in which no job was taken."""
        per_second = 1 / self._past.step_seconds
        return [
            (round((since - self._past.since) * per_second, 2), round((until - since) * per_second, 2))
            for _, since, until in self._past.closings
        ]

    @property
    def numbers(self) -> str:
        """JSON for the page's script."""
        steps: Sequence[Step] = self._past.steps
        return json.dumps(
            {
                "step": self._past.step_seconds,
                "since": [step.since for step in steps],
                "completed": [step.completed for step in steps],
                "failed": [step.failed for step in steps],
                "queued": [step.queued for step in steps],
                "closings": [[cause, round(since), round(until)] for cause, since, until in self._past.closings],
            }
        )

    def _bars(self, numbers: object) -> str:
        tops = [self._y(number, self.most_ended) for number in numbers]  # type: ignore[attr-defined]
        return "".join(f"M{x}.1 {HEIGHT}V{y}h.8V{HEIGHT}Z" for x, y in enumerate(tops) if y < HEIGHT)

    @staticmethod
    def _y(number: int, most: int) -> float:
        return round(HEIGHT * (1 - number / most), 1)


def spark(memory: Sequence[float]) -> str:
    """The points of an SVG polyline, from zero up to the highest."""
    if len(memory) < 2:
        memory = [*memory, *memory]
    top = max([1.0, *memory])
    step = SPARK_WIDTH / max(1, len(memory) - 1)
    # Half a line's width stays inside.
    room = SPARK_HEIGHT - 3
    return " ".join(f"{number * step:.1f},{1.5 + room * (1 - mb / top):.1f}" for number, mb in enumerate(memory))
