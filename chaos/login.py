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
#: calls of Message Batches that need a login; what they have taken is answered whatever becomes of it
_CALLS = ("create", "retrieve", "list", "results")
_LIMITED: dict[str, Any] = {
    "respond": {"usage_limit": {"status": "rejected", "resets_in_seconds": 900}},
    "match": {"header": {"x-api-key": None}},
}


def _refused(**match: Any) -> list[dict[str, Any]]:
    respond = {"error": {"status": 401, "message": "invalid x-api-key"}}
    matches: list[dict[str, Any]] = [{"batched": False}, *({"batches": call} for call in _CALLS)]
    return [{"respond": respond, "match": {**match, **one}} for one in matches]


class Login:
    """The login of all machines: each has a simulator of its own, which may be away."""

    def __init__(self, simulators: Sequence[Callable[[], SimulatorControl]], *, has_ways: bool = False) -> None:
        """`has_ways`: each way has a login of its own, and they go bad in turn: a limit, a key that is refused, all of them."""
        self._simulators = simulators
        # A subscription's token comes as a bearer's, a key in a header of its own.
        of_a_key = _refused(header={"authorization": None})
        self._faults = itertools.cycle([[_LIMITED, RULE], [*of_a_key, RULE], _refused()] if has_ways else [_refused()])
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
                control = simulator()
                # One without is new: whoever watches it has to see that.
                if control.rules():
                    control.set_rules(rules)
                    found = True
        return found
