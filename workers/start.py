"""What all our worker processes have in common: how they begin, and patience with Redis, without RQ's own recovery."""

from __future__ import annotations

import argparse
import logging
import sys
import time
from typing import TYPE_CHECKING, Any

from rq import SimpleWorker
from rq.job import Job

from app import allocator, clock, logs, spans
from app.connection import REFUSING, connect
from app.jobs.tickets import TASK_PATH
from app.parent import die_with_parent
from app.settings import Settings, SettingsError
from app.webhooks.dispatch import DELIVER_TASK

if TYPE_CHECKING:
    from collections.abc import Callable

    from redis import Redis
    from rq import Queue


log = logging.getLogger(__name__)


class OwnTasks(Job):
    """RQ's job that calls no function but Nightshift's own.

    RQ imports and calls whatever function Redis names, as the task and as what follows it: whoever can write there could run anything
    where Claude's login is.
    """

    @property
    def func(self) -> Callable[..., Any]:
        """RQ's. Raises `PermissionError` for a function that is not ours."""
        if self.instance or self.func_name not in (TASK_PATH, DELIVER_TASK):
            raise PermissionError(f"the ticket {self.id} names a function that is not Nightshift's")
        found: Callable[..., Any] = super().func
        return found

    @property
    def success_callback(self) -> None:
        """RQ's: none."""

    @property
    def failure_callback(self) -> None:
        """RQ's: none."""

    @property
    def stopped_callback(self) -> None:
        """RQ's: none."""


class PatientWorker(SimpleWorker):
    """Waits for Redis for as long as it is away or takes no writes, and is back soon after it. It runs Nightshift's own tasks only."""

    job_class = OwnTasks
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


def start(program: str, argv: list[str] | None) -> tuple[str, Settings, Redis]:
    """The worker's name (`--name`), the settings, and its client for short commands.

    RQ has a client of its own: it waits for the queue by it, and changes its timeouts. Exits with 1 and the reason for wrong settings.
    """
    parser = argparse.ArgumentParser(prog=program)
    parser.add_argument("--name", required=True)
    name: str = parser.parse_args(argv).name
    die_with_parent()
    allocator.give_back_large_blocks()
    try:
        settings = Settings.from_environment()
    except SettingsError as error:
        sys.exit(str(error))
    logs.configure(settings, name, worker=name)
    spans.configure(settings, name)
    if settings.redis_url is None:
        sys.exit("REDIS_URL is not set: `nightshift up`, `worker` and `callbacks` set it for the processes they start.")
    return name, settings, connect(settings.redis_url)
