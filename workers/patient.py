"""What all our RQ workers have in common: patience with Redis, and nothing of RQ's own recovery."""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING, Any

from rq import SimpleWorker

from app import clock
from app.connection import REFUSING

if TYPE_CHECKING:
    from rq import Queue
    from rq.job import Job

log = logging.getLogger(__name__)


class PatientWorker(SimpleWorker):
    """Waits for Redis for as long as it is away or takes no writes, and is back soon after it."""

    max_connection_wait_time = 2.0
    log_result_lifespan = False

    def heartbeat(self, timeout: int | None = None, pipeline: Any = None) -> None:
        """RQ's, before each wait for the queue; and a look at Redis' clock."""
        clock.refresh(self.connection)
        super().heartbeat(timeout, pipeline)

    @property
    def should_run_maintenance_tasks(self) -> bool:
        """Never: RQ's recovery would fail jobs that ours brings back (`app.jobs.recovery`)."""
        return False

    def dequeue_job_and_maintain_ttl(
        self, timeout: int | None, max_idle_time: int | None = None
    ) -> tuple[Job, Queue] | None:
        """The next job. RQ waits for a server that is away; one that takes no writes makes it quit."""
        while True:
            try:
                return super().dequeue_job_and_maintain_ttl(timeout, max_idle_time)
            except REFUSING as error:
                log.warning("worker %s: waits for Redis (%s: %s)", self.name, type(error).__name__, error)
                time.sleep(self.max_connection_wait_time)
