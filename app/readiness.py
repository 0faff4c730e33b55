"""Whether a request that comes now would be answered, and why not."""

from __future__ import annotations

from typing import TYPE_CHECKING

from app import clock, errors
from app.error_codes import ErrorCode
from app.gate import Cause
from app.worker_status import WorkerState

if TYPE_CHECKING:
    from collections.abc import Sequence

    from app.errors import ErrorReply
    from app.vitals import Vitals
    from app.worker_status import WorkerStatus

#: advice to whoever asks for readiness, seconds
READY_RETRY_SECONDS = 2.0
#: what a worker will not get out of by itself, or nobody knows when
_STUCK = frozenset({WorkerState.UNAVAILABLE, WorkerState.WAITING_FOR_LOGIN})


def unready(vitals: Vitals, lease_seconds: float) -> ErrorReply | None:
    """None while a worker can serve, else the error that says why none can."""
    alive = [row for row in vitals.workers if row.is_alive(lease_seconds)]
    are_starting = all(row.state is WorkerState.STARTING for row in alive)
    for closed in vitals.closed:
        # Workers that start may have another login.
        if closed.cause is Cause.LOGIN and not are_starting:
            return errors.login_required(closed.reason)
    if any(row.state.is_serving for row in alive):
        return None
    return nobody_serves(alive) or _not_ready(f"No worker can serve: {_states(alive)}.", ErrorCode.NO_WORKER_READY)


def nobody_serves(alive: Sequence[WorkerStatus]) -> ErrorReply | None:
    """Why no request will be served for all that is known, whatever the gate says; None while a worker serves or may do so soon."""
    if not alive:
        said = "No worker is running. Start one: 'nightshift up', or 'nightshift worker' beside this API."
        return _not_ready(said, ErrorCode.NO_WORKER)
    if any(row.state not in _STUCK for row in alive):
        return None
    if all(row.state is WorkerState.WAITING_FOR_LOGIN for row in alive):
        return errors.login_required("no worker's is taken")
    reasons = "; ".join(sorted({row.reason for row in alive if row.state is WorkerState.UNAVAILABLE and row.reason}))
    said = f"No worker can serve: {_states(alive)}{f' ({reasons})' if reasons else ''}."
    return _not_ready(said, ErrorCode.NO_WORKER_READY)


def _states(rows: Sequence[WorkerStatus]) -> str:
    return ", ".join(sorted({str(row.state) for row in rows}))


def warnings(vitals: Vitals) -> list[str]:
    """What will not be done though requests are answered, for people."""
    found = []
    if not vitals.feeders:
        found.append(
            "Nobody does the batches' work: start `nightshift up`, or `nightshift api` or `worker` in containers."
        )
    off = {host: skew for host, skew in vitals.skews.items() if clock.is_off(skew)}
    return [*found, *(f"The clock of {host} is {clock.words(skew)}: have it set by NTP." for host, skew in off.items())]


def _not_ready(message: str, code: ErrorCode) -> ErrorReply:
    return errors.unavailable(message, code, READY_RETRY_SECONDS)
