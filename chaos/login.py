"""A login that goes bad and comes back, by the simulators' rules. Of several ways to Claude, one's login alone, or all of them."""

from __future__ import annotations

import itertools
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
#: a subscription's token comes as a bearer's, a key in a header of its own
_REFUSED_KEY = {**_REFUSED, "match": {"header": {"authorization": None}}}
_LIMITED: dict[str, Any] = {
    "respond": {"usage_limit": {"status": "rejected", "resets_in_seconds": 900}},
    "match": {"header": {"x-api-key": None}},
}


class Login:
    """The login of all machines: each has a simulator of its own, which may be away."""

    def __init__(self, simulators: Sequence[Callable[[], SimulatorControl]], *, has_ways: bool = False) -> None:
        """`has_ways`: each way has a login of its own, and they go bad in turn: a limit, a key that is refused, all of them."""
        self._simulators = simulators
        self._faults = itertools.cycle(
            [[_LIMITED, RULE], [_REFUSED_KEY, RULE], [_REFUSED]] if has_ways else [[_REFUSED]]
        )
        self._timer: threading.Timer | None = None

    def go_bad(self) -> bool:
        """From now on for a while requests are refused. False: it is bad already, or nobody is there to refuse."""
        if self._timer is not None and self._timer.is_alive():
            return False
        if not self._set(next(self._faults)):
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
