"""Messages are sent by a process that ends when nothing is left: what sends them takes 34 MB, some seconds a night.

A thread of each delivering process looks whether there are any. No ticket of RQ's says so: one that RQ takes for running, after a
connection that broke, would have to be found and cleared away before another could.
"""

from __future__ import annotations

import logging
import subprocess
import sys
import threading
import time

from app.connection import AWAY, connect
from app.notices.outbox import NoticeOutbox

log = logging.getLogger(__name__)

#: how often it is looked, seconds
LOOK_SECONDS = 2.0
#: the process gives itself less
_SECONDS = 300.0
#: after a process that failed, seconds
_PAUSE_SECONDS = 10.0
_MODULE = "workers.notices"


def watch(redis_url: str) -> None:
    """From now on messages that are due are sent, one process at a time."""
    threading.Thread(target=_watch, args=(redis_url,), name="notices", daemon=True).start()


def _watch(redis_url: str) -> None:
    with connect(redis_url) as connection:
        box = NoticeOutbox(connection)
        while True:
            time.sleep(LOOK_SECONDS)
            try:
                if box.is_due():
                    _send()
            except AWAY:
                continue
            except Exception:
                log.exception("[NOTIFY] can't send messages; they are tried again")


def _send() -> None:
    done = subprocess.run(
        [sys.executable, "-P", "-m", _MODULE], stdin=subprocess.DEVNULL, timeout=_SECONDS, check=False
    )
    if done.returncode:
        log.warning("[NOTIFY] what sends messages ended with %d; they are tried again", done.returncode)
        time.sleep(_PAUSE_SECONDS)
