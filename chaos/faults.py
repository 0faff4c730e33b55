"""Which faults come, and when: drawn from a seed, so that a run can be had again."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

#: STOP lasts longer than a lease, then comes CONT
SIGNALS: Mapping[str, int] = {"KILL": 3, "STOP": 2, "TERM": 2}
CUT, JUMP, BAD = "CUT", "JUMP", "BAD"
#: how often each part is hit, in relation to the others
TARGETS = {
    "worker": 6,
    "claude": 5,
    "connection": 6,
    "redis": 3,
    "api": 2,
    "callbacks": 3,
    "lane": 3,
    "supervisor": 1,
    "second machine": 2,
    "clock": 4,
    "login": 1,
    "fork server": 2,
}
#: what befalls those that are no processes
_HOW: Mapping[str, Mapping[str, int]] = {"connection": {CUT: 1}, "clock": {JUMP: 1}, "login": {BAD: 1}}
#: from one fault to the next, seconds
GAP_SECONDS = (0.3, 3.0)


class Fault(NamedTuple):
    """One fault. `choice` says which of several processes, connections or clocks it hits."""

    wait_seconds: float
    target: str
    #: of `SIGNALS`, or what befalls a connection, a clock, the login
    signal: str
    choice: int

    @property
    def name(self) -> str:
        """As the table has it."""
        return _name(self.target, self.signal)


def names() -> list[str]:
    """Every fault there is."""
    return [_name(target, signal) for target, signal in _all()]


def drawn(seed: int) -> Iterator[Fault]:
    """Faults without end. The first ones are one of each kind, in some order: a short run has them all."""
    chance = random.Random(seed)
    first = _all()
    chance.shuffle(first)
    while True:
        wait = chance.uniform(*GAP_SECONDS)
        if first:
            target, signal = first.pop()
        else:
            (target,) = chance.choices(list(TARGETS), list(TARGETS.values()))
            how = _HOW.get(target, SIGNALS)
            (signal,) = chance.choices(list(how), list(how.values()))
        yield Fault(wait, target, signal, chance.randrange(1_000_000))


def _all() -> list[tuple[str, str]]:
    return [(target, signal) for target in TARGETS for signal in _HOW.get(target, SIGNALS)]


def _name(target: str, signal: str) -> str:
    return f"{target} {signal}"
