"""A simulator as a child process, for tests, benchmarks and anything else that ends with its ``with`` block."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from simulator.client import SimulatorControl

#: Seconds that the process gets to end by itself before it is killed.
END_SECONDS = 5


@dataclass(frozen=True)
class RunningSimulator:
    """A simulator that listens: its address for ``ANTHROPIC_BASE_URL``, its control side and its process."""

    base_url: str
    control: SimulatorControl
    process: subprocess.Popen[str]


@contextmanager
def running_simulator(*arguments: str) -> Iterator[RunningSimulator]:
    """Start ``python -m simulator`` with ``arguments``, on a free port unless they name one, and end it afterwards.

    Raises:
        RuntimeError: It ended before it listened; what it said went to stderr.
    """
    with _start(arguments) as process:
        try:
            first_line = process.stdout.readline() if process.stdout else ""
            if not first_line:
                raise RuntimeError(f"the simulator did not start; it ended with {process.wait()}")
            base_url = first_line.split()[-1]
            yield RunningSimulator(base_url, SimulatorControl(base_url), process)
        finally:
            _end(process)


def _start(arguments: tuple[str, ...]) -> subprocess.Popen[str]:
    root = Path(__file__).resolve().parents[1]
    paths = [str(root), *filter(None, [os.environ.get("PYTHONPATH")])]
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(paths)}
    command = [sys.executable, "-m", "simulator", *arguments]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=env)


def _end(process: subprocess.Popen[str]) -> None:
    process.terminate()
    try:
        process.wait(END_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
