"""`python -m workers.lane --name NAME`: the lane of this process's storage, once no other process is."""

from __future__ import annotations

import logging
import os
import signal
import sys
import threading
from typing import TYPE_CHECKING

from app import clock
from app.batches.leadership import Leadership, NotLeader, Role
from app.batches.parts.steps import PartSteps
from app.batches.storage import open_storage
from app.connection import AWAY, connect
from app.login import engine_settings
from app.settings import SettingsError
from app.ways import Way
from workers.lane.api import BatchesApi
from workers.lane.lane import Lane
from workers.start import start

if TYPE_CHECKING:
    from app.settings import Settings

log = logging.getLogger(__name__)

#: how often the lease is renewed, and parts are looked at, seconds
BEAT_SECONDS = 1.0
LOOK_SECONDS = 0.25
#: the exit status of a lane that is none any more: it ends at once, whatever it is doing
LOST = 3


def main(argv: list[str] | None = None) -> int:
    """Work until told to stop. 0 after a stop; 1, with the reason, for wrong settings."""
    _, settings, connection = start("lane", argv)
    step = settings.step(Way.BATCHES)
    if step is None:
        sys.exit("NIGHTSHIFT_WAYS does not name `batches`.")
    stopping = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stopping.set())
    try:
        api = BatchesApi(engine_settings(settings, step))
    except SettingsError as error:
        sys.exit(str(error))
    leadership = Leadership(connection, open_storage(settings), Role.LANE)
    while not stopping.is_set():
        try:
            if leadership.hold():
                break
        except (*AWAY, OSError) as error:
            log.warning("[LANE] waits: %s", error)
        stopping.wait(BEAT_SECONDS)
    log.info("[LANE] started")
    threading.Thread(target=_beat, args=(leadership, stopping), name="beat", daemon=True).start()
    _work(settings, api, leadership, stopping)
    api.close()
    leadership.close()
    log.info("[LANE] stopped")
    return 0


def _work(settings: Settings, api: BatchesApi, leadership: Leadership, stopping: threading.Event) -> None:
    # A client of its own: the other thread's is used while this one is in the middle of a step.
    with connect(settings.redis_url or "") as own:
        lane = Lane(own, settings, api, PartSteps(own, leadership))
        while not stopping.is_set():
            try:
                clock.refresh(own)
                moved = lane.run_once(leadership)
            except AWAY as error:
                log.warning("[LANE] waits for Redis (%s: %s)", type(error).__name__, error)
                moved = False
            except NotLeader as error:
                log.warning("[LANE] %s", error)
                moved = False
            if not moved:
                stopping.wait(LOOK_SECONDS)


def _beat(leadership: Leadership, stopping: threading.Event) -> None:
    """Renew the lease. A lane that has lost it to another ends at once: it may be in the middle of sending."""
    while not stopping.wait(BEAT_SECONDS):
        try:
            is_held = leadership.hold()
        except (*AWAY, OSError) as error:
            log.warning("[LANE] can't renew its lease: %s", error)
            continue
        if not is_held:
            log.warning("[LANE] another process is the lane by now")
            os._exit(LOST)


if __name__ == "__main__":
    sys.exit(main())
