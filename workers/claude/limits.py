"""When a Claude process is recycled."""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from app.settings import Settings

#: How far limits are spread between processes, so that they don't all recycle at once.
JITTER = 0.1


@dataclass(frozen=True)
class Limits:
    """What one process may come to; each draws its own."""

    turns: int
    rss_mb: float
    idle_seconds: float

    @classmethod
    def draw(cls, settings: Settings) -> Self:
        """The settings' limits, a little more or less."""

        def around(value: float) -> float:
            return value * random.uniform(1 - JITTER, 1 + JITTER)

        idle = around(settings.max_idle_seconds) if settings.max_idle_seconds else float("inf")
        return cls(max(1, round(around(settings.max_turns))), around(settings.max_rss_mb), idle)
