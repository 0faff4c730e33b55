"""Messages are sent by a process that ends when nothing is left: what sends them takes 34 MB, some seconds a night."""

from __future__ import annotations

import logging
import subprocess
import sys
import threading

log = logging.getLogger(__name__)

#: it gives itself less
_SECONDS = 300.0
_MODULE = "workers.notices"
_is_sending = threading.Lock()


def start() -> None:
    """Start one and return; nothing where one runs."""
    if _is_sending.acquire(blocking=False):
        threading.Thread(target=_run, name="notices", daemon=True).start()


def _run() -> None:
    try:
        done = subprocess.run(
            [sys.executable, "-P", "-m", _MODULE], stdin=subprocess.DEVNULL, timeout=_SECONDS, check=False
        )
        if done.returncode:
            log.error("[NOTIFY] what sends messages ended with %d; they are tried again", done.returncode)
    except Exception:
        log.exception("[NOTIFY] can't send messages; they are tried again")
    finally:
        _is_sending.release()
