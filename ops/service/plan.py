"""What is to run, whoever runs it; and how the programs of the system are asked."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from ops.supervisor.errors import StackError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

_SECONDS = 60.0


@dataclass(frozen=True)
class Plan:
    """A service. All paths are absolute."""

    #: what it runs
    command: Sequence[str]
    #: its settings and its login, in a file that nobody else can read
    environment_file: Path
    data_dir: Path
    home: Path


class Manager(Protocol):
    """Who runs it. Methods raise `StackError`, whose message is for the user."""

    @property
    def path(self) -> Path:
        """Where its definition is."""

    @property
    def definition(self) -> str:
        """What it is given. No setting is in it."""

    def check(self) -> None:
        """That it can be asked here."""

    def is_active(self) -> bool:
        """Whether the service runs, or is started again and again."""

    def start(self, *, is_changed: bool) -> None:
        """Start it now and at each login or boot; again, if it runs and `is_changed`."""

    def stop(self) -> None:
        """Stop it, and forget it. Its definition is still there."""

    def forgotten(self) -> None:
        """Its definition has been removed."""

    def hints(self) -> list[str]:
        """What the user should know when it is installed."""

    def status_command(self) -> Sequence[str]:
        """What shows how it is."""

    def logs_command(self, lines: int, *, follow: bool) -> Sequence[str]:
        """What shows what it has said."""


def ask(*argv: str) -> subprocess.CompletedProcess[str]:
    """Run a program of the system to its end. Raises `StackError` where there is none of that name."""
    try:
        return subprocess.run(argv, capture_output=True, text=True, check=False, timeout=_SECONDS)
    except FileNotFoundError:
        raise StackError(f"{argv[0]} is not on this machine, so that nothing can be installed here.") from None
    except subprocess.TimeoutExpired:
        raise StackError(f"{' '.join(argv)} did not end within {_SECONDS:.0f} s.") from None


def must(*argv: str) -> None:
    """As `ask`. Raises `StackError` with what it said when it failed."""
    done = ask(*argv)
    if done.returncode:
        said = (done.stderr or done.stdout).strip()
        raise StackError(f"`{' '.join(argv)}` failed: {said or f'exit status {done.returncode}'}")
