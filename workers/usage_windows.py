"""What closes the gate for the sake of a subscription's usage windows: one is used up, or our share of it is.

It is tried now and then before the reset, since limits are raised and reset early.
"""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING

from app import clock
from app.gate import Cause

if TYPE_CHECKING:
    from collections.abc import Iterable

    from app.messages.answer import Window
    from app.messages.failure import TurnFailed
    from workers.run import Run

log = logging.getLogger(__name__)

#: clocks differ: a probe right at the reset would meet the limit once more, seconds
RESET_MARGIN_SECONDS = 1.0
#: how long a limit lasts when Claude does not say, until the next probe, seconds
UNKNOWN_LIMIT_SECONDS = 300.0


def wait_for_reset(run: Run, failure: TurnFailed) -> None:
    """A window is used up: all workers wait for its reset."""
    until = failure.resets_at or clock.now() + UNKNOWN_LIMIT_SECONDS
    run.gate.close(Cause.USAGE_LIMIT, until, failure.message, failure.limit_type or "", probe_at=_probe_at(run, until))
    _closed(run, Cause.USAGE_LIMIT, failure.limit_type or "", until)


def leave_the_rest(run: Run, windows: Iterable[Window]) -> bool:
    """After an answer: as much of a window is used as the setting allows, so all wait for its reset. Whether it is so."""
    share, now = run.settings.stop_at_utilization, clock.now()
    used = [window for window in windows if share and window.utilization >= share and window.resets_at > now]
    if not used:
        return False
    last = max(used, key=lambda window: window.resets_at)
    reason = (
        f"{last.utilization:.0%} of the {last.name.replace('_', '-')} window is used,"
        f" NIGHTSHIFT_STOP_AT_UTILIZATION={share:g}"
    )
    worker, until = run.lease.worker, last.resets_at
    if run.gate.stop_at_share(worker, until, reason, last.name, probe_at=_probe_at(run, until)):
        _closed(run, Cause.UTILIZATION, last.name, until)
    return True


def _probe_at(run: Run, until: float) -> float:
    return min(until + RESET_MARGIN_SECONDS, clock.now() + run.settings.limit_probe_seconds)


def _closed(run: Run, cause: Cause, limit: str, until: float) -> None:
    if run.settings.resume == "manual":
        run.gate.pause(reason=f"{cause} until {time.ctime(until)}; NIGHTSHIFT_RESUME=manual: resume by hand")
    log.warning("[LIMIT] cause=%s limit=%s until=%s job=%s", cause, limit, time.ctime(until), run.record.id)
