"""Reads the simulator's log while it lives: what a model would have seen, one secret in each request."""

from __future__ import annotations

import json
import threading
from collections import Counter
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Protocol

from chaos.ledger import SECRET
from simulator.client import SimulatorControlError

if TYPE_CHECKING:
    from chaos.ledger import Ledger
    from simulator.client import SimulatorControl

_LOOK_SECONDS = 0.3
#: the log is emptied after so many entries: it keeps a bounded number of bytes
_EMPTY_AFTER = 1000
#: so slow that faults meet answers while they are written
RULE: dict[str, Any] = {"respond": {"echo": True}, "latency_ms": 100, "tokens_per_second": 60}


class Simulated(Protocol):
    """A machine with a simulator."""

    @property
    def simulator(self) -> SimulatorControl:
        """Its control side."""


class Witness:
    """A thread that outlives the simulators it looks at: each new one gets the rule, and is read from its beginning."""

    def __init__(self, machine: Simulated, ledger: Ledger) -> None:
        self.requests = 0
        #: of them, those in message batches
        self.batched = 0
        #: requests that were sent to a message batch once more
        self.twice: list[str] = []
        self._machine = machine
        self._ledger = ledger
        self._after = self._emptied = -1
        #: how often each request of a message batch came to this simulator: batch, line and answer
        self._batched: Counter[tuple[str, ...]] = Counter()
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._run, name="witness", daemon=True)

    def start(self) -> None:
        """Begin, with the rule in place."""
        self._look()
        self._thread.start()

    def stop(self) -> None:
        """After a last look."""
        self._end.set()
        self._thread.join(30)
        self._try()

    def _run(self) -> None:
        while not self._end.wait(_LOOK_SECONDS):
            self._try()

    def _try(self) -> None:
        # Away, or its port not written yet: it is killed with the supervisor.
        with suppress(SimulatorControlError, OSError, ValueError):
            self._look()

    def _look(self) -> None:
        simulator = self._machine.simulator
        if not simulator.rules():
            simulator.set_rules([RULE])
            self._after = self._emptied = -1
            # Another one, which knows of no message batch: what it is sent again is nothing twice.
            self._batched.clear()
        entries = simulator.requests(after=self._after)
        for entry in entries:
            self._after = entry["index"]
            if entry["path"].startswith("/v1/messages"):
                self._check(entry["body"])
            if entry["kind"] == "batched":
                self._note_batched(entry["path"].rpartition("/")[2])
        if self._after > self._emptied + _EMPTY_AFTER:
            simulator.clear_requests()
            self._emptied = self._after

    def _note_batched(self, request_id: str) -> None:
        batch, _part, number, choice = request_id.split("-")
        self.batched += 1
        self._batched[batch, number, choice] += 1
        if self._batched[batch, number, choice] > 1:
            self.twice.append(request_id)

    def _check(self, body: Any) -> None:
        found = set(SECRET.findall(json.dumps(body)))
        self.requests += bool(found)
        if len(found) > 1:
            self._ledger.complain(f"one request to the API has {len(found)} secrets: {sorted(found)}")
