"""Whether a request that comes now would be answered, and why not."""

from __future__ import annotations

from typing import TYPE_CHECKING

from app import errors
from app.error_codes import ErrorCode
from app.gate import Cause

if TYPE_CHECKING:
    from app.errors import ErrorReply
    from app.vitals import Vitals

#: advice to whoever asks for readiness, seconds
READY_RETRY_SECONDS = 2.0


def unready(vitals: Vitals, lease_seconds: float) -> ErrorReply | None:
    """None while a worker can serve, else the error that says why none can."""
    alive = [row for row in vitals.workers if row.is_alive(lease_seconds)]
    # Past its time the next request is the probe that tells whether the login works again.
    if any(closed.cause is Cause.LOGIN and not closed.may_be_probed for closed in vitals.closed):
        return _not_ready("Claude's login does not work: the workers wait for a working one.", ErrorCode.LOGIN_REQUIRED)
    if any(row.state.is_serving for row in alive):
        return None
    if not alive:
        return _not_ready("No worker is running.", ErrorCode.NO_WORKER)
    states = ", ".join(sorted({str(row.state) for row in alive}))
    return _not_ready(f"No worker can serve: {states}.", ErrorCode.NO_WORKER_READY)


def warnings(vitals: Vitals) -> list[str]:
    """What will not be done though requests are answered, for people."""
    if vitals.feeder is None:
        return ["Nobody does the batches' work: start `nightshift up`, or `nightshift worker` in containers."]
    return []


def _not_ready(message: str, code: ErrorCode) -> ErrorReply:
    return errors.unavailable(message, code, READY_RETRY_SECONDS)
