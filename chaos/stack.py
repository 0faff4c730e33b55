"""The whole product as a user starts it: `nightshift up`, mostly `--offline`, as processes of its own, on a private data dir.

For the chaos runs and, with more to talk to it by, for the acceptance tests.
"""

from __future__ import annotations

import itertools
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import urllib.error
import urllib.request
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil

from app.connection import connect
from chaos.until import PATIENCE_SECONDS, wait_until
from ops.supervisor import redis_server
from simulator.client import SimulatorControl

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Self

    from redis import Redis

ROOT = Path(__file__).resolve().parents[1]
#: from a start until a worker can serve, on a busy machine, seconds
READY_SECONDS = 180.0
_FIRST_PORT, _PORTS = 10_000, 100
_next_port = itertools.count()


@dataclass(frozen=True)
class Reply:
    """An HTTP answer, its body read as JSON where it is JSON."""

    status: int
    headers: Mapping[str, str]
    body: Any


@dataclass
class Stack:
    """A started `nightshift up`; `stop` or `kill` ends it, `start` starts it again on the same data dir."""

    settings: dict[str, str] = field(default_factory=dict)
    workers: int = 2
    directory: Path = field(default_factory=lambda: Path(tempfile.mkdtemp(prefix="nightshift-")))
    port: int = 0
    #: an installed `nightshift` that is to run instead of this tree's
    program: Path | None = None
    #: Claude's answers are simulated by the stack itself; else the settings say where Claude is
    offline: bool = True
    #: what `http` sends as the key; empty: none
    key: str = ""
    process: subprocess.Popen[bytes] | None = None

    def start(self) -> Self:
        """Until a worker can serve."""
        # Clients that want other versions of things than the product live in an environment of their own.
        python = os.environ.get("NIGHTSHIFT_TEST_PYTHON", sys.executable)
        command = [str(self.program)] if self.program else [python, "-m", "ops.cli.main"]
        argv = [*command, "up", "--data-dir", str(self.data_dir), *["--offline"][: self.offline]]
        argv += ["--workers", str(self.workers), "--port", str(self._own_port())]
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                argv,
                cwd=self.directory if self.program else ROOT,
                env=self._environment(),
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        wait_until(self._is_ready, "a stack that is ready", READY_SECONDS)
        return self

    def stop(self, number: int = signal.SIGTERM) -> int:
        """Until it has ended; its exit status."""
        self._started.send_signal(number)
        return int(self._started.wait(PATIENCE_SECONDS))

    def kill_everything(self) -> None:
        """SIGKILL to all processes at once, as a power cut would."""
        for process in [psutil.Process(self._started.pid), *self.processes()]:
            try:
                process.kill()
            except psutil.NoSuchProcess:
                continue
        self._started.wait(PATIENCE_SECONDS)

    def processes(self) -> list[psutil.Process]:
        """All descendants."""
        try:
            return psutil.Process(self._started.pid).children(recursive=True)
        except psutil.NoSuchProcess:
            return []

    def worker_processes(self) -> list[psutil.Process]:
        """The chat workers."""
        return [p for p in self.processes() if "workers.chat_worker" in command_of(p)]

    def claude_processes(self) -> list[psutil.Process]:
        """The Claude processes."""
        return [p for p in self.processes() if "_bundled/claude" in command_of(p)]

    @property
    def _started(self) -> subprocess.Popen[bytes]:
        if self.process is None:
            raise AssertionError("the stack was never started")
        return self.process

    # -- talking to it ---------------------------------------------------------------------------------------------

    @property
    def data_dir(self) -> Path:
        """Private to this stack."""
        return self.directory / "data"

    @property
    def log(self) -> Path:
        """What its processes say."""
        return self.directory / "log"

    @property
    def url(self) -> str:
        """Of the API."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def simulator(self) -> SimulatorControl:
        """The control side of the simulated Messages API."""
        return SimulatorControl(f"http://127.0.0.1:{(self.data_dir / 'simulator.port').read_text().strip()}")

    @property
    def redis(self) -> Redis:
        """The embedded server."""
        return connect(redis_server.place(self.data_dir).url)

    def http(
        self,
        method: str,
        path: str,
        body: Any = None,
        headers: Mapping[str, str] | None = None,
        timeout: float = PATIENCE_SECONDS,
    ) -> Reply:
        """A plain request; error statuses are answers too."""
        data = json.dumps(body).encode() if body is not None else None
        key = {"Authorization": f"Bearer {self.key}"} if self.key else {}
        sent = {"Content-Type": "application/json", **key, **(headers or {})}
        request = urllib.request.Request(self.url + path, data, sent, method=method)  # noqa: S310 - ours, http
        try:
            with urllib.request.urlopen(request, timeout=timeout) as response:  # noqa: S310 - ours, http
                return _reply(response.status, response.headers, response.read())
        except urllib.error.HTTPError as error:
            return _reply(error.code, error.headers, error.read())

    def _is_ready(self) -> bool:
        if self._started.poll() is not None:
            raise AssertionError(f"the start failed:\n{self.log.read_text()[-4000:]}")
        try:
            return self.http("GET", "/health/ready").status == 200
        except OSError:
            return False

    def _own_port(self) -> int:
        """The same at each start."""
        self.port = self.port or free_port()
        return self.port

    def _environment(self) -> dict[str, str]:
        # As empty as a user's first shell: whatever login the machine has must not matter.
        kept = {name: os.environ[name] for name in ("PATH", "LANG", "TMPDIR") if name in os.environ}
        ours = {} if self.program else {"PYTHONPATH": str(ROOT)}
        return {**kept, "HOME": str(self.directory), **ours, **self.settings}


def free_port() -> int:
    """One that nothing listens on now, and that nobody else who asks for one is given until then.

    It is below those that the system gives away itself: between this look and the listening it might give them to others. Each
    process has a hundred of its own, each at a time.
    """
    for _ in range(_PORTS):
        port = _FIRST_PORT + os.getpid() % 200 * _PORTS + next(_next_port) % _PORTS
        with socket.socket() as found, suppress(OSError):
            found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            found.bind(("127.0.0.1", port))
            return port
    raise AssertionError("no port is free")


def command_of(process: psutil.Process) -> str:
    """Its command line; empty for one that has ended."""
    try:
        return " ".join(process.cmdline())
    except psutil.Error:
        return ""


def _reply(status: int, headers: Any, data: bytes) -> Reply:
    try:
        body = json.loads(data)
    except ValueError:
        body = data.decode(errors="replace")
    return Reply(status, headers, body)
