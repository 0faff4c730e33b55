"""Clocks of machines that are wrong and jump: what a process with one is started with, and how it is set."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

_SHIM = Path(__file__).with_name("shifted")
#: how far a clock is from Redis' after a jump, seconds: two machines are up to a minute apart
STEPS_SECONDS = (-30.0, -5.0, 0.0, 0.0, 5.0, 30.0)


@dataclass(frozen=True)
class MachineClock:
    """The clock of one machine. `path` holds how far it is ahead."""

    path: Path

    def set(self, ahead_seconds: float) -> None:
        """From now on it is so far ahead (below 0: behind)."""
        draft = self.path.with_suffix(".draft")
        draft.write_text(str(ahead_seconds))
        draft.replace(self.path)

    def environment(self, python_path: str = "") -> dict[str, str]:
        """The variables of this machine's Python processes, which may have a PYTHONPATH already."""
        paths = [str(_SHIM), *filter(None, [python_path])]
        return {"SHIFTED_CLOCK": str(self.path), "PYTHONPATH": os.pathsep.join(paths)}


def jump(clocks: Sequence[MachineClock], choice: int) -> str:
    """Set one of them, as `choice` says; what was done, for the story."""
    clock = clocks[choice % len(clocks)]
    ahead = STEPS_SECONDS[choice // len(clocks) % len(STEPS_SECONDS)]
    clock.set(ahead)
    return f"{clock.path.name} {ahead:+g} s"
