"""All that a run breaks: two machines on one Redis, their clocks, and the login of both."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

import psutil

from chaos.clocks import MachineClock
from chaos.login import Login
from chaos.second import SecondMachine
from chaos.stack import ROOT, Stack

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path


@dataclass(frozen=True)
class Machines:
    """Made by `on`, and started with `start`."""

    first: Stack
    second: SecondMachine
    clocks: Sequence[MachineClock]
    login: Login

    @classmethod
    def on(cls, directory: Path, settings: Mapping[str, str], workers: int) -> Self:
        """Everything of them is in the directory."""
        clocks = [MachineClock(directory / name) for name in ("first-clock", "second-clock")]
        first = Stack({**settings, **clocks[0].environment(str(ROOT))}, workers, directory)
        second = SecondMachine(first, clocks[1])
        login = Login(
            [lambda: first.simulator, lambda: second.simulator], has_ways="," in settings.get("NIGHTSHIFT_WAYS", "")
        )
        return cls(first, second, clocks, login)

    def start(self) -> None:
        """Until both answer."""
        self.first.start()
        self.second.start()

    def kill(self) -> None:
        """At once, whatever state they are in."""
        self.second.kill()
        with suppress(psutil.Error):
            if self.first.process is not None and self.first.process.poll() is None:
                self.first.kill_everything()
