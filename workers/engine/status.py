"""What an engine says of itself."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Mapping

State = Literal["starting", "idle", "busy", "recycling", "unavailable", "closed"]


@dataclass(frozen=True)
class Recycle:
    """One Claude process replaced by another, or ended; memory in MiB, counts over the engine's life."""

    #: a `RecycleReason`
    reason: str
    #: turns of the process that went
    turns: int
    rss_before_mb: float
    #: 0: nothing came in its place
    rss_after_mb: float
    restarts: int
    errors: int

    def line(self) -> str:
        """The log's one line."""
        return (
            f"[RESTART] reason={self.reason} turns={self.turns} rss_before_mb={self.rss_before_mb:.1f}"
            f" rss_after_mb={self.rss_after_mb:.1f} delta_mb={self.rss_after_mb - self.rss_before_mb:+.1f}"
            f" restarts={self.restarts} errors={self.errors}"
        )


@dataclass(frozen=True)
class EngineStatus:
    """A snapshot; taking it costs nothing and never waits."""

    state: State
    #: why it is `unavailable` or what it is `recycling` for; empty otherwise
    reason: str
    #: epoch seconds since when the state is what it is
    since: float
    #: the Claude process that gets the next request; None: there is none
    pid: int | None
    #: turns of this process
    turns: int
    #: turns of all processes so far
    turns_total: int
    #: turns that ended in a `TurnFailed`
    errors: int
    #: how many processes were replaced, by reason
    restarts: Mapping[str, int] = field(default_factory=dict)
    #: resident memory of all Claude processes and what is below them, MiB, measured every second or so
    rss_mb: float = 0.0
    #: resident memory of this Python process, MiB
    python_rss_mb: float = 0.0
    cli_version: str | None = None
    #: kind of the login in use (`api_key`, ...); None: there is none
    login: str | None = None
