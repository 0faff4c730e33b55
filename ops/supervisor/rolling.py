"""A restart that nobody notices: each process has a successor before it is asked to drain.

One after another, so that there is never more than one process too many. A new one that does not begin ends the restart,
and the old ones go on.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable

    from ops.supervisor.process import ProcessSpec, Running

_POLL_SECONDS = 0.05


class Keeper(Protocol):
    """What is needed of the supervisor."""

    @property
    def stopping(self) -> bool:
        """Whether somebody asked to stop."""

    def launch(self, stage: list[Running], spec: ProcessSpec, failures: int = 0) -> Running:
        """Start a process of a stage."""

    def load_anew(self) -> None:
        """See to it that what is forked from now on has the code that is on the disk now."""

    def tend(self, seconds: float) -> None:
        """Look after all processes, then sleep so long at most."""


def roll(keeper: Keeper, stages: list[list[Running]], say: Callable[[str], None]) -> None:
    """Replace all processes that can be. Returns when the last has been asked to drain, or at the first that can't be replaced."""
    say("Restarting: each process finishes what it has begun, and a new one takes its place ...")
    is_loaded = False
    for stage in stages:
        # One that drains since the last restart has its successor.
        for old in [one for one in stage if one.spec.drain_signal is not None and not one.is_draining]:
            if old.spec.preload and not is_loaded:
                keeper.load_anew()
                is_loaded = True
            if not _replace(keeper, stage, old, say):
                return
    say("Restarted.")


def _replace(keeper: Keeper, stage: list[Running], old: Running, say: Callable[[str], None]) -> bool:
    spec = old.spec.renew(old.spec) if old.spec.renew else old.spec
    # From here on it is not started again if it ends by itself: it has a successor.
    old.is_draining = True
    new = keeper.launch(stage, spec)
    if not _begins(keeper, new):
        if keeper.stopping:
            return False
        say(f"The new {spec.name} did not begin; the lines above say why. The old processes go on.")
        new.kill()
        if old in stage:
            old.is_draining = False
            stage.remove(new)
        else:
            new.is_ready = True  # tended like the rest: started again, since nobody else is there
        return False
    new.is_ready = True
    old.ask_to_drain()
    while old in stage and not spec.drains_alone and not keeper.stopping:
        keeper.tend(_POLL_SECONDS)
    return not keeper.stopping


def _begins(keeper: Keeper, new: Running) -> bool:
    """Whether it does what it is for, within its time."""
    give_up = time.monotonic() + new.spec.ready_seconds
    while not keeper.stopping and new.ended() is None and time.monotonic() < give_up:
        if new.spec.is_serving is None or new.spec.is_serving():
            return True
        keeper.tend(_POLL_SECONDS)
    return False
