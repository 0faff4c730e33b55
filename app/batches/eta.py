"""When a batch will be done: at the pace that it has had so far in the time in which its lines could run."""

from __future__ import annotations

from typing import TYPE_CHECKING

from app import window
from app.batches.record import BatchStatus

if TYPE_CHECKING:
    from collections.abc import Iterator

    from app.batches.record import BatchRecord

#: fewer lines make no pace
MIN_ENDED = 3
#: further ahead nothing is foretold, seconds
HORIZON_SECONDS = 14 * 86400
#: openings and closings of the window that are looked at
_MAX_CHANGES = 60


def done_at(record: BatchRecord, worked: float, batch_window: str, now: float, opens_at: float | None) -> float | None:
    """Seconds since the epoch; None while nobody can tell.

    `worked`: seconds since its start in which its lines could run. `batch_window`: that of the settings, for a batch that has
    none of its own. `opens_at`: when the gate opens; `now` for an open one, None when nobody knows.
    """
    ended = record.ran
    if record.status is not BatchStatus.IN_PROGRESS or ended < MIN_ENDED or opens_at is None or worked <= 0:
        return None
    left = (record.total - record.ended) * worked / ended
    for since, until in _openings(record.window or batch_window, max(now, opens_at), now + HORIZON_SECONDS):
        if since + left <= until:
            return since + left
        left -= until - since
    return None


def open_seconds(hours: str, since: float, until: float) -> float:
    """How long lines may run between those two, by their hours (`app.window`); empty: always."""
    return sum(end - begin for begin, end in _openings(hours, since, until))


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
