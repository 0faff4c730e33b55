"""When something is said: a pure function of how a batch is, and what was said of it."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field, replace
from enum import StrEnum
from types import MappingProxyType
from typing import TYPE_CHECKING, NamedTuple

from app.batches.record import Hold
from app.gate import Cause

if TYPE_CHECKING:
    from collections.abc import Mapping

    from app.batches.record import BatchRecord

#: the same hold of the same batch is not said again for so long: a gate that opens and closes is one piece of news, seconds
AGAIN_SECONDS = 3600.0
#: so many failures at least make many
FEW_FAILURES = 5
#: how long a hold has to last before it is said, seconds; what is not here nobody needs to know
SETTLED: Mapping[str, float] = MappingProxyType(
    {
        Hold.TRIED: 0.0,
        Hold.BUDGET: 0.0,
        Hold.SHARE: 30.0,
        Hold.KEY_BUDGET: 30.0,
        Hold.HOUSE_BUDGET: 30.0,
        Hold.FILES_ELSEWHERE: 120.0,
        Hold.FILES_UNUSABLE: 120.0,
        Hold.NO_FEEDER: 120.0,
        Hold.NO_LANE: 120.0,
        Hold.NO_WORKERS: 300.0,
        Cause.USAGE_LIMIT: 30.0,
        Cause.UTILIZATION: 30.0,
        Cause.SPENDING: 30.0,
        Cause.LOGIN: 30.0,
        # These end by themselves, mostly within minutes.
        Cause.OVERLOAD: 900.0,
        Cause.RATE_LIMIT: 900.0,
    }
)
#: those that hold all batches alike: said once for all of them to the operator
SHARED = frozenset(
    {
        *(Hold.HOUSE_BUDGET, Hold.NO_FEEDER, Hold.NO_LANE, Hold.NO_WORKERS),
        *(Cause.USAGE_LIMIT, Cause.UTILIZATION, Cause.SPENDING, Cause.LOGIN, Cause.OVERLOAD, Cause.RATE_LIMIT),
    }
)


class Kind(StrEnum):
    """What is said."""

    ENDED = "ended"
    HELD = "held"
    FAILING = "failing"
    DIGEST = "digest"
    TEST = "test"


class Wait(NamedTuple):
    """Why a batch does not go on. `until`: seconds since the epoch, None: nobody knows."""

    code: str
    until: float | None = None


@dataclass(frozen=True)
class Said:
    """What was said of a batch, or of a hold that all share. Times are seconds since the epoch."""

    ended: bool = False
    failing: bool = False
    #: the present hold, since when it was seen, and whether it was said
    hold: str = ""
    since: float = 0.0
    held: bool = False
    #: when each hold was said last
    at: Mapping[str, float] = field(default_factory=dict)

    @classmethod
    def from_json(cls, text: str | bytes | None) -> Said:
        """Nothing, where nothing is stored."""
        return cls(**json.loads(text)) if text else cls()

    def to_json(self) -> str:
        """The inverse."""
        return json.dumps(asdict(self))


def of_hold(said: Said, wait: Wait | None, now: float) -> tuple[Said, bool]:
    """What was said afterwards, and whether this hold is to be said now."""
    code = wait.code if wait is not None and wait.code in SETTLED else ""
    if code != said.hold:
        said = replace(said, hold=code, since=now, held=False)
    if not code or said.held or now - said.since < SETTLED[code]:
        return said, False
    is_news = now - said.at.get(code, 0.0) >= AGAIN_SECONDS
    return replace(said, held=True, at={**said.at, code: now} if is_news else said.at), is_news


def of_batch(
    said: Said, record: BatchRecord, wait: Wait | None, now: float, failed_share: float
) -> tuple[Said, list[Kind]]:
    """The same for all that may be said of a batch. `failed_share`: of the lines that have ended, 0 to 1; 0: never."""
    if record.status.is_final:
        return replace(said, ended=True), [] if said.ended else [Kind.ENDED]
    kinds = []
    if (
        failed_share
        and not said.failing
        and record.failed >= FEW_FAILURES
        and record.failed > failed_share * record.ended
    ):
        said, kinds = replace(said, failing=True), [Kind.FAILING]
    said, is_news = of_hold(said, wait, now)
    return said, [*kinds, Kind.HELD] if is_news else kinds
