"""Which way a request takes to Claude: the first of the ladder that takes it and is not closed for it. Pure.

A closed way whose time to be tried has come is taken by one request, the probe; the others go on to the next way.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from app.jobs.record import JobKind, Tier
from app.scopes import family_of
from app.ways import LoginName, Step, Way

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence

    from app.gate import Closed, Closings
    from app.jobs.record import JobRecord


def steps_for(ladder: Sequence[Step], record: JobRecord) -> list[Step]:
    """Those that may take the request, in the ladder's order; none: the way that it asked for is off.

    Message Batches take lines of batches only. `flex` is taken by no way at the list price while there is a cheaper one.
    """
    is_line = record.kind == JobKind.BATCH_LINE
    found = [step for step in ladder if record.way in ("", step.way) and (is_line or step.way is not Way.BATCHES)]
    if record.service_tier == Tier.FLEX:
        return [step for step in found if _is_cheap(step)] or found
    return found


def choose(
    ladder: Sequence[Step],
    record: JobRecord,
    closings: Closings,
    *,
    out: Collection[str] = (),
    probes: Callable[[Way, str], bool] = lambda _way, _family: False,
) -> Way | None:
    """The way that the request takes now; None: it waits.

    `out`: ways that can't be used here whatever the gate says. `probes`: whether the request is the one that tries a closed way,
    of its family, whose time has come; asked at most once a way, in the ladder's order.
    """
    family = family_of(record.model)
    for step in steps_for(ladder, record):
        if step.way in out:
            continue
        closed = closings.holding(step.way, family)
        if closed is None or (closed.may_be_probed and probes(step.way, family)):
            return step.way
    return None


def held_by(ladder: Sequence[Step], record: JobRecord, closings: Closings) -> Closed | None:
    """What the request waits for: of what closes each of its ways, that which ends first. None: a way is open."""
    family = family_of(record.model)
    found = [closings.holding(step.way, family) for step in steps_for(ladder, record)]
    closed = [one for one in found if one is not None]
    return min(closed, key=lambda one: one.until, default=None) if len(closed) == len(found) else None


def _is_cheap(step: Step) -> bool:
    """Whether its requests cost less than the list price: half, or nothing."""
    return step.login == LoginName.SUBSCRIPTION or step.way is Way.BATCHES
