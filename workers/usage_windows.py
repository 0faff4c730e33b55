"""What closes the gate for the sake of a subscription's usage windows: one is used up, or our share of it is.

It is tried now and then before the reset, since limits are raised and reset early.
"""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING

from app import clock, used_windows
from app.gate import Cause, Closed
from app.scopes import scope_of_limit

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from app.messages.answer import Window
    from app.messages.failure import TurnFailed
    from app.scopes import Scope
    from workers.run import Run

log = logging.getLogger(__name__)

#: clocks differ: a probe right at the reset would meet the limit once more, seconds
RESET_MARGIN_SECONDS = 1.0
#: how long a limit lasts when Claude does not say, until the next probe, seconds
UNKNOWN_LIMIT_SECONDS = 300.0
_noted: Sequence[Window] = ()


def wait_for_reset(run: Run, failure: TurnFailed) -> None:
    """A window is used up: the requests that it holds wait for its reset."""
    until, limit = failure.resets_at or clock.now() + UNKNOWN_LIMIT_SECONDS, failure.limit_type or ""
    scope = scope_of_limit(run.engine.way, limit)
    probe_at = _probe_at(run, until)
    if _others_go_on(run, scope, Closed(Cause.USAGE_LIMIT, clock.now(), until, probe_at, failure.message[:500], limit)):
        return
    run.gate(scope).close(Cause.USAGE_LIMIT, until, failure.message, limit, probe_at=probe_at)
    _closed(run, scope, Cause.USAGE_LIMIT, limit, until)


def take_in(run: Run, windows: Sequence[Window]) -> None:
    """After an answer: note how much of the windows is used, and leave the rest of those of which enough is."""
    global _noted  # noqa: PLW0603 - what this process has noted: most answers report nothing new
    if windows != _noted:
        reported = {window.name: (window.utilization, window.resets_at) for window in windows}
        used_windows.note(run.connection, run.engine.way, reported)
        _noted = windows
    _leave_the_rest(run, windows)


def _leave_the_rest(run: Run, windows: Iterable[Window]) -> None:
    """Where as much of a window is used as the setting allows, the requests that it holds wait for its reset."""
    shares, now = run.settings.stop_at_utilization, clock.now()
    used: dict[Scope, Window] = {}
    for window in sorted(windows, key=lambda window: window.resets_at):
        share = shares.of(window.name)
        if share and window.utilization >= share and window.resets_at > now:
            used[scope_of_limit(run.engine.way, window.name)] = window
    for scope, last in used.items():
        reason = (
            f"{last.utilization:.0%} of the {last.name.replace('_', '-')} window is used,"
            f" NIGHTSHIFT_STOP_AT_UTILIZATION={shares}"
        )
        worker, until = run.lease.worker, last.resets_at
        probe_at = _probe_at(run, until)
        if _others_go_on(run, scope, Closed(Cause.UTILIZATION, clock.now(), until, probe_at, reason, last.name)):
            continue
        if run.gate(scope).stop_at_share(worker, until, reason, last.name, probe_at=probe_at):
            _closed(run, scope, Cause.UTILIZATION, last.name, until)


def _others_go_on(run: Run, scope: Scope, closed: Closed) -> bool:
    """Whether the gate stays open, since another login serves what the scope has: this one's workers wait alone."""
    if run.limits is None or not run.limits.meet(run.connection, scope, closed):
        return False
    said = "[LIMIT] cause=%s scope=%s limit=%s until=%s job=%s: another login goes on"
    log.warning(said, closed.cause, scope, closed.limit, time.ctime(closed.until), run.record.id)
    return True


def _probe_at(run: Run, until: float) -> float:
    return min(until + RESET_MARGIN_SECONDS, clock.now() + run.settings.limit_probe_seconds)


def _closed(run: Run, scope: Scope, cause: Cause, limit: str, until: float) -> None:
    if run.settings.resume == "manual":
        run.gate(scope).pause(reason=f"{cause} until {time.ctime(until)}; NIGHTSHIFT_RESUME=manual: resume by hand")
    said = "[LIMIT] cause=%s scope=%s limit=%s until=%s job=%s"
    log.warning(said, cause, scope, limit, time.ctime(until), run.record.id)
