"""Nightshift as a user starts it, `nightshift up --offline`, and clients that ask it."""

from __future__ import annotations

import http.client
import json
import os
import re
import threading
import time
import tomllib
from contextlib import suppress
from itertools import chain
from typing import TYPE_CHECKING, Any

from bench.children import BenchError, end, environment, start
from bench.sizes import PROMPT
from ops.supervisor import redis_server

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

_BOUNDARY = "nightshift-bench"
_PIECE_BYTES = 256 * 1024
_START_SECONDS = 90.0
_TIMEOUT_SECONDS = 120.0


class Client:
    """A client that keeps its connection. One thread each."""

    def __init__(self, port: int) -> None:
        self._connection = http.client.HTTPConnection("127.0.0.1", port, timeout=_TIMEOUT_SECONDS)

    def ask(self, model: str = "sonnet") -> float:
        """One completion; milliseconds from the request's first byte to the answer's last."""
        wanted = json.dumps({"model": model, "messages": [{"role": "user", "content": PROMPT}]}).encode()
        started = time.perf_counter()
        status, body = self._send("POST", "/v1/chat/completions", wanted)
        spent = 1000 * (time.perf_counter() - started)
        if status != 200:
            raise BenchError(f"the gateway answered {status}: {body[:500]!r}")
        return spent

    def ask_in_turn(self, count: int, pause_ms: float) -> list[float]:
        """Several, one after the other, with a pause before each."""
        found = []
        for _ in range(count):
            time.sleep(pause_ms / 1000)
            found.append(self.ask())
        return found

    def get(self, path: str) -> tuple[int, Any]:
        """Status and JSON."""
        status, body = self._send("GET", path, None)
        return status, json.loads(body)

    def post(self, path: str) -> None:
        """Nothing, to that address. Raises `BenchError` when it is refused."""
        status, body = self._send("POST", path, b"{}")
        if status != 200:
            raise BenchError(f"the gateway answered {status}: {body[:500]!r}")

    def upload(self, path: Path) -> str:
        """OpenAI's lines as a file for a batch, read from the disk while it is sent; its id."""
        head = (
            f'--{_BOUNDARY}\r\nContent-Disposition: form-data; name="purpose"\r\n\r\nbatch\r\n--{_BOUNDARY}\r\n'
            f'Content-Disposition: form-data; name="file"; filename="{path.name}"\r\n\r\n'
        ).encode()
        tail = f"\r\n--{_BOUNDARY}--\r\n".encode()
        headers = {
            "Content-Type": f"multipart/form-data; boundary={_BOUNDARY}",
            "Content-Length": str(len(head) + path.stat().st_size + len(tail)),
        }
        with path.open("rb") as file:
            pieces = iter(lambda: file.read(_PIECE_BYTES), b"")
            self._connection.request("POST", "/v1/files", chain([head], pieces, [tail]), headers)
            return self._made()

    def create_batch(self, file_id: str, metadata: Mapping[str, str] | None = None) -> str:
        """A batch of that file; its id."""
        wanted = {
            "input_file_id": file_id,
            "endpoint": "/v1/chat/completions",
            "completion_window": "24h",
            "metadata": dict(metadata or {}),
        }
        headers = {"Content-Type": "application/json"}
        self._connection.request("POST", "/v1/batches", json.dumps(wanted).encode(), headers)
        return self._made()

    def _made(self) -> str:
        response = self._connection.getresponse()
        body = response.read()
        if response.status != 200:
            raise BenchError(f"the gateway answered {response.status}: {body[:500]!r}")
        return str(json.loads(body)["id"])

    def submit(self, prompt: str) -> str:
        """One that nobody waits for; its job's id."""
        wanted = {"model": "sonnet", "messages": [{"role": "user", "content": prompt}]}
        headers = {"Content-Type": "application/json", "Prefer": "respond-async"}
        self._connection.request("POST", "/v1/chat/completions", json.dumps(wanted), headers)
        response = self._connection.getresponse()
        body = response.read()
        if response.status != 202:
            raise BenchError(f"the gateway answered {response.status}: {body[:500]!r}")
        return str(json.loads(body)["id"])

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()

    def _send(self, method: str, path: str, body: bytes | None) -> tuple[int, bytes]:
        self._connection.request(method, path, body, {"Content-Type": "application/json"})
        response = self._connection.getresponse()
        return response.status, response.read()


def _command(root: Path) -> str:
    """The module of a checkout's `nightshift` command."""
    scripts = tomllib.loads((root / "pyproject.toml").read_text())["project"]["scripts"]
    return str(scripts["nightshift"]).partition(":")[0]


class Gateway:
    """A running Nightshift."""

    def __init__(
        self,
        directory: Path,
        workers: int,
        settings: Mapping[str, str] | None = None,
        *,
        api: str = "",
        root: Path | None = None,
        before: Path | None = None,
    ) -> None:
        """`api`: the address of a simulator that others ask, too; empty: it starts its own. `root`: another checkout, to be run instead.

        `before`: where Python looks for modules before that.
        """
        directory.mkdir(parents=True)
        self.workers = workers
        self._data_dir = directory / "data"
        self._log = directory / "log"
        arguments = ["up", "--port", "0", "--workers", str(workers), "--data-dir", str(self._data_dir)]
        login = {"ANTHROPIC_BASE_URL": api, "ANTHROPIC_API_KEY": "bench"} if api else {}
        if not api:
            arguments.append("--offline")
        with (directory / "screen").open("w") as screen:
            env = environment(directory, **login, **(settings or {}))
            module = "ops.cli.main"
            if root is not None:
                env["PYTHONPATH"], module = str(root), _command(root)
            if before is not None:
                env["PYTHONPATH"] = f"{before}{os.pathsep}{env['PYTHONPATH']}"
            self._process = start(module, arguments, env, self._log, stdout=screen)
        self._screen = directory / "screen"

    @property
    def pid(self) -> int:
        """The supervisor, above all other processes."""
        return self._process.pid

    @property
    def redis_url(self) -> str:
        """The embedded server."""
        return redis_server.place(self._data_dir).url

    @property
    def simulator_url(self) -> str:
        """The Messages API that its Claude processes ask."""
        return f"http://127.0.0.1:{(self._data_dir / 'simulator.port').read_text().strip()}"

    def wait(self) -> None:
        """Until all workers are idle. Raises `BenchError`."""
        give_up = time.monotonic() + _START_SECONDS
        while not self._is_ready():
            if self._process.poll() is not None or time.monotonic() > give_up:
                raise BenchError(f"Nightshift did not start:\n{self._log.read_text()[-2000:]}")
            time.sleep(0.1)

    @property
    def url(self) -> str:
        """The API's."""
        return f"http://127.0.0.1:{self._port()}"

    def client(self) -> Client:
        """A new client."""
        return Client(self._port())

    def rows(self) -> list[dict[str, Any]]:
        """What /health tells of each worker."""
        client = self.client()
        try:
            return list(client.get("/health")[1]["workers"])
        finally:
            client.close()

    def ask_for(self, clients: int, seconds: float) -> list[float]:
        """See the function of that name."""
        return ask_for(self.client, clients, seconds)

    def close(self) -> None:
        """Stop it; it leaves no process."""
        end(self._process)

    def _port(self) -> int:
        """As the screen says it; 0 while there is no screen."""
        found = re.search(r"^ +API +http://127\.0\.0\.1:(\d+)/", self._screen.read_text(), re.MULTILINE)
        return int(found[1]) if found else 0

    def _is_ready(self) -> bool:
        if not self._port():
            return False
        with suppress(OSError, KeyError, ValueError):
            rows = self.rows()
            return len(rows) == self.workers and all(row["state"] == "idle" for row in rows)
        return False


def ask_for(client: Callable[[], Client], clients: int, seconds: float) -> list[float]:
    """When each answer came while so many clients asked without a pause, seconds since the start, in order.

    The last ones are later than `seconds`: each client ends with an answer. Raises `BenchError`.
    """
    times: list[float] = []
    failures: list[BaseException] = []
    started = time.perf_counter()

    def ask_on() -> None:
        one = client()
        try:
            while time.perf_counter() - started < seconds:
                one.ask()
                times.append(time.perf_counter() - started)
        except (BenchError, OSError, http.client.HTTPException) as error:
            failures.append(error)
        finally:
            one.close()

    threads = [threading.Thread(target=ask_on) for _ in range(clients)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failures:
        raise BenchError(f"a client failed: {failures[0]}") from failures[0]
    return sorted(times)
