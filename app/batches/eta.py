"""When a batch will be done: at the pace that it has had so far in the time in which its lines could run."""

from __future__ import annotations

from typing import TYPE_CHECKING

from app import window
from app.batches.record import BatchStatus

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from app.batches.record import BatchRecord
    from app.wait_log import Closing

#: fewer lines make no pace
MIN_ENDED = 3
#: further ahead nothing is foretold, seconds
HORIZON_SECONDS = 14 * 86400
#: openings and closings of the window that are looked at
_MAX_CHANGES = 60


def done_at(
    record: BatchRecord, waits: Iterable[Closing], batch_window: str, now: float, opens_at: float | None
) -> float | None:
    """Seconds since the epoch; None while nobody can tell.

    `waits`: the gate's closings since the batch began. `batch_window`: that of the settings, for a batch that has none of
    its own. `opens_at`: when the gate opens; `now` for an open one, None when nobody knows.
    """
    ended = record.completed + record.failed
    if record.status is not BatchStatus.IN_PROGRESS or record.in_progress_at is None or ended < MIN_ENDED:
        return None
    if opens_at is None:
        return None
    hours = record.window or batch_window
    worked = worked_seconds(hours, waits, record.in_progress_at, now)
    if worked <= 0:
        return None
    left = (record.total - ended - record.unrun) * worked / ended
    for since, until in _openings(hours, max(now, opens_at), now + HORIZON_SECONDS):
        if since + left <= until:
            return since + left
        left -= until - since
    return None


def worked_seconds(hours: str, waits: Iterable[Closing], since: float, until: float) -> float:
    """Of that time the seconds in which lines could run."""
    closed = sorted((wait.since, wait.until) for wait in waits)
    total = 0.0
    for opened, shut in _openings(hours, since, until):
        total += shut - opened
        reached = opened
        for begin, end in closed:
            begin, end = max(begin, reached), min(end, shut)  # noqa: PLW2901 - the part within
            if end > begin:
                total -= end - begin
                reached = end
    return total


def _openings(hours: str, since: float, until: float) -> Iterator[tuple[float, float]]:
    """The times between those two at which the window is open."""
    if not hours:
        if until > since:
            yield since, until
        return
    parsed = window.parse(hours)
    for _ in range(_MAX_CHANGES):
        if since >= until:
            return
        change = parsed.next_change(since)
        if parsed.is_open(since):
            yield since, min(change, until)
        since = change
