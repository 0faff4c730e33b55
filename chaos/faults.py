"""Which faults come, and when: drawn from a seed, so that a run can be had again."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator

#: how often each part is hit, in relation to the others
TARGETS = {"worker": 6, "claude": 5, "connection": 6, "redis": 3, "api": 2, "callbacks": 3, "supervisor": 1}
#: STOP lasts longer than a lease, then comes CONT
SIGNALS = {"KILL": 3, "STOP": 2, "TERM": 2}
CUT = "CUT"
#: from one fault to the next, seconds
GAP_SECONDS = (0.3, 3.0)


class Fault(NamedTuple):
    """One fault. `choice` says which of several processes or connections it hits."""

    wait_seconds: float
    target: str
    #: of `SIGNALS`, or `CUT` for a connection
    signal: str
    choice: int

    @property
    def name(self) -> str:
        """As the table has it."""
        return f"{self.target} {self.signal}"


def names() -> list[str]:
    """Every fault there is."""
    return [f"{target} {signal}" for target in TARGETS for signal in (SIGNALS if target != "connection" else (CUT,))]


def drawn(seed: int) -> Iterator[Fault]:
    """Faults without end. The first ones are one of each kind, in some order: a short run has them all."""
    chance = random.Random(seed)
    first = [tuple(name.split()) for name in names()]
    chance.shuffle(first)
    while True:
        wait = chance.uniform(*GAP_SECONDS)
        if first:
            target, signal = first.pop()
        else:
            (target,) = chance.choices(list(TARGETS), list(TARGETS.values()))
            (signal,) = chance.choices(list(SIGNALS), list(SIGNALS.values())) if target != "connection" else (CUT,)
        yield Fault(wait, target, signal, chance.randrange(1_000_000))
