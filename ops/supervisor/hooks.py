"""Where the supervisor meets the jobs: what it does when a worker dies, and what it calls again and again, each in a thread of its own.

The only module here that knows of jobs. What runs in such a thread may raise: it is logged.
"""

from __future__ import annotations

import logging
import threading
from typing import TYPE_CHECKING

from app.connection import AWAY, connect, patiently

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from app.settings import Settings
    from app.supervisors import Part


log = logging.getLogger(__name__)


class Periodic:
    """Calls `work` periodically in a thread of its own. An exception is logged, once if it repeats, and never fatal."""

    def __init__(self, name: str, seconds: float, work: Callable[[], object]) -> None:
        self._name = name
        self._seconds = seconds
        self._work = work
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    def stop(self, seconds: float) -> None:
        """Make no further call; wait at most that long for a running one."""
        self._end.set()
        self._thread.join(seconds)

    def _run(self) -> None:
        failing = ""
        while not self._end.wait(self._seconds):
            try:
                self._work()
            except Exception as error:
                if repr(error) != failing:
                    log.exception("%s failed; it is tried again every %g s", self._name, self._seconds)
                failing = repr(error)
            else:
                if failing:
                    log.info("%s works again", self._name)
                failing = ""


#: how often batches are looked at when they have nothing to do, seconds
BATCH_SECONDS = 0.25
#: how often leases, retries, deadlines and the outbox are looked at, seconds
MAINTENANCE_SECONDS = 1.0
#: how often it is looked whether the machine has to stay awake, seconds
AWAKE_SECONDS = 5.0
#: how long a dead worker's jobs are tried to be requeued while Redis is away, seconds
RELEASE_SECONDS = 30.0


def release_worker(settings: Settings, worker_name: str) -> None:
    """The process of this RQ worker has ended, asked for or not: its jobs go back to the queue at once.

    They do as soon as Redis is there, when both died together; later than that the end of the lease brings them back.
    """
    from app.jobs.recovery import release_worker as release  # noqa: PLC0415 - a command that is refused needs no queue

    with connect(_url(settings)) as connection:
        patiently(lambda: release(connection, settings, worker_name), RELEASE_SECONDS)


def is_registered(settings: Settings, worker_name: str) -> bool:
    """Whether this RQ worker has begun to work. False while Redis is away."""
    with connect(_url(settings), timeout_seconds=1.0) as connection:
        try:
            return bool(connection.exists(f"rq:worker:{worker_name}"))
        except AWAY:
            return False


def maintenance(settings: Settings, part: Part) -> Sequence[tuple[str, float, Callable[[], object]]]:
    """(name, seconds, work): what the supervisor calls again and again, each in a thread of its own."""
    from app.maintenance import Maintenance  # noqa: PLC0415 - as above

    return [("maintenance", MAINTENANCE_SECONDS, Maintenance(connect(_url(settings)), settings, part).run_once)]


def batches(settings: Settings) -> Sequence[tuple[str, float, Callable[[], object]]]:
    """The same for the work of the batches whose files are in this data dir."""
    from app.batches.feeder import Feeder  # noqa: PLC0415 - as above

    return [("batches", BATCH_SECONDS, Feeder(connect(_url(settings)), settings).run_once)]


def keeping_awake(
    settings: Settings, started: Callable[[int], None]
) -> Sequence[tuple[str, float, Callable[[], object]]]:
    """The same for keeping the machine awake, if that is wanted. `started`: is told each process that is started for it."""
    if not settings.keep_awake:
        return []
    from app.batches.record import Hold  # noqa: PLC0415 - as above
    from app.batches.store import Batches  # noqa: PLC0415 - as above
    from ops.supervisor.awake import Awake, program  # noqa: PLC0415 - most have no use for it

    batches = Batches(connect(_url(settings)), settings)

    def is_wanted() -> bool:
        """A batch that waits for its hours or for a limit goes on by itself; one that waits for somebody's word does not."""
        return any(record.held not in (Hold.TRIED, Hold.BUDGET) for record in batches.active())

    return [("keeping awake", AWAKE_SECONDS, Awake(is_wanted, started, program()).run_once)]


def _url(settings: Settings) -> str:
    if settings.redis_url is None:
        raise ValueError("the settings name no Redis; the supervisor fills in the embedded one's address")
    return settings.redis_url
