"""The whole product as a user starts it: `nightshift up --offline` as processes of its own, on a private data dir."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import urllib.error
import urllib.request
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil
from openai import OpenAI
from redis import Redis

from simulator.client import SimulatorControl
from tests.redis_server import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

ROOT = Path(__file__).parents[2]


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
    process: subprocess.Popen[bytes] | None = None

    def start(self) -> Stack:
        """Until a worker can serve."""
        argv = [sys.executable, "-m", "app.cli.main", "up", "--offline", "--data-dir", str(self.data_dir)]
        argv += ["--workers", str(self.workers), "--port", str(self.port or _free_port(self))]
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                argv, cwd=ROOT, env=self._environment(), stdout=log, stderr=log, start_new_session=True
            )
        wait_until(self._is_ready, "a stack that is ready", 60)
        return self

    def stop(self, number: int = signal.SIGTERM) -> int:
        """Until it has ended; its exit status."""
        assert self.process is not None
        self.process.send_signal(number)
        return int(self.process.wait(30))

    def kill_everything(self) -> None:
        """SIGKILL to all processes at once, as a power cut would."""
        assert self.process is not None
        for process in [psutil.Process(self.process.pid), *self.processes()]:
            try:
                process.kill()
            except psutil.NoSuchProcess:
                continue
        self.process.wait(10)

    def processes(self) -> list[psutil.Process]:
        """All descendants."""
        assert self.process is not None
        try:
            return psutil.Process(self.process.pid).children(recursive=True)
        except psutil.NoSuchProcess:
            return []

    def worker_processes(self) -> list[psutil.Process]:
        """The chat workers."""
        return [p for p in self.processes() if "workers.chat_worker" in _command(p)]

    def claude_processes(self) -> list[psutil.Process]:
        """The Claude processes."""
        return [p for p in self.processes() if "_bundled/claude" in _command(p) or p.name() == "claude"]

    # -- talking to it ---------------------------------------------------------------------------------------------

    @property
    def data_dir(self) -> Path:
        return self.directory / "data"

    @property
    def log(self) -> Path:
        return self.directory / "log"

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def simulator(self) -> SimulatorControl:
        return SimulatorControl(f"http://127.0.0.1:{(self.data_dir / 'simulator.port').read_text().strip()}")

    @property
    def redis(self) -> Redis:
        """The embedded server."""
        worker = next(p for p in self.processes() if "workers.chat_worker" in _command(p))
        return Redis.from_url(worker.environ()["REDIS_URL"])

    def client(self, **options: Any) -> OpenAI:
        """OpenAI's own client."""
        return OpenAI(base_url=f"{self.url}/v1", api_key="unused", **{"max_retries": 0, **options})

    def ask(self, prompt: str, **fields: Any) -> str:
        """One prompt, one answer."""
        message: Any = {"role": "user", "content": prompt}
        answer = self.client().chat.completions.create(model="sonnet", messages=[message], **fields)
        return str(answer.choices[0].message.content)

    def http(
        self, method: str, path: str, body: Any = None, headers: Mapping[str, str] | None = None, timeout: float = 60
    ) -> Reply:
        """A plain request; error statuses are answers too."""
        data = json.dumps(body).encode() if body is not None else None
        sent = {"Content-Type": "application/json", **(headers or {})}
        request = urllib.request.Request(self.url + path, data, sent, method=method)
        try:
            with urllib.request.urlopen(request, timeout=timeout) as response:
                return _reply(response.status, response.headers, response.read())
        except urllib.error.HTTPError as error:
            return _reply(error.code, error.headers, error.read())

    def submit(self, prompt: str, **fields: Any) -> str:
        """One prompt into the queue; the job's id."""
        body = {"model": "sonnet", "messages": [{"role": "user", "content": prompt}], **fields}
        reply = self.http("POST", "/v1/chat/completions", body, {"Prefer": "respond-async"})
        assert reply.status == 202, reply.body
        return str(reply.body["id"])

    def job(self, job_id: str) -> dict[str, Any]:
        """The job object."""
        reply = self.http("GET", f"/v1/jobs/{job_id}")
        assert reply.status == 200, reply.body
        return dict(reply.body)

    def wait_for(self, job_id: str, *statuses: str, timeout: float = 30) -> dict[str, Any]:
        """The job object once it has one of these statuses (by default: once it has ended)."""
        wanted = statuses or ("completed", "failed", "cancelled")
        wait_until(lambda: self.job(job_id)["status"] in wanted, f"{job_id} {' or '.join(wanted)}", timeout)
        return self.job(job_id)

    def asked(self, containing: str = "") -> list[dict[str, Any]]:
        """The bodies of the Messages API's requests that contain a text."""
        return [entry["body"] for entry in self.simulator.requests(containing) if entry["path"].startswith("/v1/messages")]

    def _is_ready(self) -> bool:
        assert self.process is not None
        assert self.process.poll() is None, f"the start failed:\n{self.log.read_text()}"
        try:
            return self.http("GET", "/health/ready").status == 200
        except OSError:
            return False

    def _environment(self) -> dict[str, str]:
        # As empty as a user's first shell: whatever login the machine has must not matter.
        kept = {name: os.environ[name] for name in ("PATH", "LANG", "TMPDIR") if name in os.environ}
        return {**kept, "HOME": str(self.directory), "PYTHONPATH": str(ROOT), **self.settings}


def _free_port(stack: Stack) -> int:
    import socket

    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        stack.port = found.getsockname()[1]
    return stack.port


def _command(process: psutil.Process) -> str:
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


def running(stack: Stack) -> Iterator[Stack]:
    """Start it, hand it out, and end it; afterwards none of its processes may be left."""
    stack.start()
    try:
        yield stack
    finally:
        family = stack.processes()
        if stack.process is not None and stack.process.poll() is None:
            stack.stop()
        _, left = psutil.wait_procs(family, timeout=10)
        for process in left:
            process.kill()
        assert not left, f"left running: {left}"
