"""The way to Redis goes wrong all the while: requests and replies of every process are lost, or come late.

A proxy takes the place of the embedded server's socket. Each server that is started anew takes it back; then the proxy does so again.
"""

from __future__ import annotations

import contextlib
import threading
from collections import Counter
from typing import TYPE_CHECKING

from redis import Redis
from redis.exceptions import RedisError

from chaos.lossy import AtRandom, Kind, LossyProxy
from ops.supervisor import redis_server

if TYPE_CHECKING:
    from pathlib import Path

    from chaos.ledger import Ledger
    from chaos.stack import Stack

#: of the requests, of which there are a hundred a second and more
SHARES = {Kind.LOST_REQUEST: 0.002, Kind.LOST_REPLY: 0.004, Kind.LATE_REQUEST: 0.002, Kind.LATE_REPLY: 0.002}
#: silence or delay, seconds: shorter than a lease
MOST_SECONDS = 1.5
_LOOK_SECONDS = 0.02


class RedisWire:
    """`start` with the clients, `heal` before the checks, `close` after the stop."""

    def __init__(self, stack: Stack, ledger: Ledger, *, seed: int) -> None:
        self._socket = redis_server.place(stack.data_dir).socket
        self._behind = self._socket.with_name("redis-behind.sock")
        self._ledger = ledger
        self._plan = AtRandom(seed, SHARES, MOST_SECONDS)
        self._proxy: LossyProxy | None = None
        self._own = (-1, -1)
        self._is_ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name="redis-wire", daemon=True)

    @property
    def times(self) -> Counter[str]:
        """How often each fault came."""
        return Counter({name(kind): self._plan.times[kind] for kind in Kind})

    def start(self) -> None:
        """From now on, for the connections that are there, too: they are broken once."""
        self._thread.start()

    def heal(self) -> None:
        """All comes through from now on."""
        self._ledger.note("redis' wire is whole")
        self._plan.shares = {}

    def close(self) -> None:
        """Nothing is left of it."""
        self._is_ended.set()
        self._thread.join(10)
        if self._proxy is not None:
            self._proxy.__exit__(None, None, None)
        self._behind.unlink(missing_ok=True)

    def _run(self) -> None:
        while not self._is_ended.wait(_LOOK_SECONDS):
            with contextlib.suppress(OSError):
                if _identity(self._socket) != self._own:
                    self._step_between()

    def _step_between(self) -> None:
        before, listening = self._proxy, self._socket.with_name("redis-lossy.sock")
        self._proxy = LossyProxy(f"unix://{self._behind}", listening)
        self._proxy.plan = self._plan
        self._proxy.__enter__()
        self._own = _identity(listening)
        self._socket.rename(self._behind)
        listening.rename(self._socket)
        if before is not None:
            before.__exit__(None, None, None)
        # Who was quicker talks to the server itself: it comes again.
        with contextlib.suppress(RedisError), Redis(unix_socket_path=str(self._behind)) as redis:
            for kind in ("normal", "pubsub"):
                redis.client_kill_filter(_type=kind, skipme=True)


def _identity(path: Path) -> tuple[int, int]:
    """Of a file: its number alone may be its predecessor's."""
    found = path.stat()
    return found.st_ino, found.st_mtime_ns


def name(kind: Kind) -> str:
    """As the table has it."""
    return f"redis' {kind}"
