"""The programs that are compared, as children that end with the benchmark, however that ends."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ops.supervisor import child

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

ROOT = Path(__file__).resolve().parents[1]
_END_SECONDS = 20.0


class BenchError(Exception):
    """Something that is to be measured does not run. The message says what it said."""


def environment(home: Path, **more: str) -> dict[str, str]:
    """As empty as a user's first shell: no login of this machine matters, and no proxy."""
    kept = {name: os.environ[name] for name in ("PATH", "LANG", "TMPDIR") if name in os.environ}
    return {**kept, "HOME": str(home), "PYTHONPATH": str(ROOT), "NO_PROXY": "127.0.0.1", **more}


def start(
    module: str, arguments: Sequence[str], env: Mapping[str, str], log: Path, **pipes: Any
) -> subprocess.Popen[str]:
    """`python -m module arguments`. A session of its own: Ctrl-C is for us, who end it in good order."""
    argv = child.command([sys.executable, "-P", "-m", module, *arguments], signal=signal.SIGTERM)
    with log.open("a") as errors:
        return subprocess.Popen(
            argv, env=dict(env), cwd=log.parent, stderr=errors, text=True, start_new_session=True, **pipes
        )


def end(process: subprocess.Popen[str]) -> None:
    """SIGTERM and, should that not do, SIGKILL to its whole session."""
    process.terminate()
    try:
        process.wait(_END_SECONDS)
    except subprocess.TimeoutExpired:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


class BareChild:
    """A running `bench.bare`."""

    def __init__(self, directory: Path, simulator_url: str, reset: str | None) -> None:
        directory.mkdir(parents=True)
        self._log = directory / "log"
        env = environment(directory, ANTHROPIC_BASE_URL=simulator_url, ANTHROPIC_API_KEY="offline-no-real-key")
        arguments = ["--directory", str(directory), *(["--reset", reset] if reset else [])]
        self._process = start("bench.bare", arguments, env, self._log, stdin=subprocess.PIPE, stdout=subprocess.PIPE)

    @property
    def pid(self) -> int:
        """The Python process; Claude's are its children."""
        return self._process.pid

    def send(self, **order: Any) -> None:
        """Give an order; `receive` has what came of it."""
        assert self._process.stdin is not None  # noqa: S101 - it is a pipe
        self._process.stdin.write(json.dumps(order) + "\n")
        self._process.stdin.flush()

    def receive(self) -> dict[str, Any]:
        """The answer to the oldest order that has none (the first is to the start). Raises `BenchError`."""
        assert self._process.stdout is not None  # noqa: S101 - it is a pipe
        line = self._process.stdout.readline()
        if not line:
            raise BenchError(f"a bare loop ended:\n{self._log.read_text()[-2000:]}")
        return dict(json.loads(line))

    def ask(self, **order: Any) -> dict[str, Any]:
        """`send` and `receive`."""
        self.send(**order)
        return self.receive()

    def close(self) -> None:
        """The end of its input is its end."""
        assert self._process.stdin is not None  # noqa: S101 - it is a pipe
        with suppress(BrokenPipeError):
            self._process.stdin.close()
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(_END_SECONDS)
        end(self._process)
