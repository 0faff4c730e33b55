"""Work that is due again and again, beside the supervisor's own."""

from __future__ import annotations

import logging
import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

log = logging.getLogger(__name__)


class Periodic:
    """Calls `work` every so many seconds in a thread of its own. An exception is logged, once in a row, never fatal."""

    def __init__(self, name: str, seconds: float, work: Callable[[], object]) -> None:
        self._name = name
        self._seconds = seconds
        self._work = work
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    def stop(self, seconds: float) -> None:
        """No further call; a running one is waited for at most so long."""
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
