"""A login that goes bad and comes back, by the simulators' rules."""

from __future__ import annotations

import threading
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from chaos.witness import RULE
from simulator.client import SimulatorControlError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from simulator.client import SimulatorControl

#: how long it is bad, seconds
BAD_SECONDS = 6.0
_REFUSED: dict[str, Any] = {"respond": {"error": {"status": 401, "message": "invalid x-api-key"}}}


class Login:
    """The login of all machines: each has a simulator of its own, which may be away."""

    def __init__(self, simulators: Sequence[Callable[[], SimulatorControl]]) -> None:
        self._simulators = simulators
        self._timer: threading.Timer | None = None

    def go_bad(self) -> bool:
        """From now on for a while every request is refused. False: it is bad already, or nobody is there to refuse."""
        if self._timer is not None and self._timer.is_alive():
            return False
        if not self._set([_REFUSED]):
            return False
        self._timer = threading.Timer(BAD_SECONDS, self.come_back)
        self._timer.daemon = True
        self._timer.start()
        return True

    def come_back(self) -> None:
        """It works again. A simulator that was started anew meanwhile has no rule of ours."""
        if self._timer is not None:
            self._timer.cancel()
        self._set([RULE])

    def _set(self, rules: list[dict[str, Any]]) -> bool:
        found = False
        for simulator in self._simulators:
            with suppress(SimulatorControlError, OSError, ValueError):
                simulator().set_rules(rules)
                found = True
        return found
