"""A way to Claude as a worker sees it: a Messages API request goes in, an answer or a `TurnFailed` with its kind comes out.

This module has the protocol and what an engine says of itself. An implementation is a package: `workers/claude` drives Claude's
CLI, `workers/messages_api` asks the API itself.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING, Literal, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from app.messages.answer import Answer, Delta
    from app.messages.failure import TurnFailed
    from app.messages.request import MessagesRequest
    from app.ways import Way


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
    #: memory of this Python process, MiB, of what it shares with others its part (`app.memory`)
    python_rss_mb: float = 0.0
    cli_version: str | None = None
    #: kind of the login in use (`api_key`, ...); None: there is none
    login: str | None = None


#: no headers besides the engine's own
NO_HEADERS: Mapping[str, str] = MappingProxyType({})


class Engine(Protocol):
    """One question at a time.

    `ask` and `check_login` are for one thread at a time; `interrupt`, `status` and `is_ready` are for any thread at any
    time, and never wait. Nothing of one question is left when the next is asked.
    """

    @property
    def way(self) -> Way:
        """Which way its answers come."""

    def start(self) -> None:
        """Make ready; returns at once, and a second call does nothing."""

    def ask(
        self,
        request: MessagesRequest,
        deadline: float,
        on_delta: Callable[[Delta], None] | None = None,
        *,
        headers: Mapping[str, str] = NO_HEADERS,
    ) -> Answer:
        """The whole answer. Raises `TurnFailed`, and nothing else for what Claude or the network does.

        `deadline` is a time of `time.monotonic()` and covers the wait for a process or a connection as well. `on_delta` is
        called with each piece of text or of a call, from any thread, and must not block. `headers` go with the request to
        the API. Names of functions are the client's own, in the request, the pieces and the answer.
        """

    def check_login(self, *, timeout_seconds: float) -> TurnFailed | None:
        """Why a request would not reach a model, or None when it would; costs nothing.

        `kind` is `login` when the login is refused; any other says nothing about it.
        """

    def interrupt(self) -> None:
        """End the running `ask`, which raises `interrupted` within two seconds; nothing happens when none runs."""

    def status(self) -> EngineStatus:
        """What there is to report."""

    def is_ready(self) -> bool:
        """Whether a question would be asked at once, or nearly so."""

    def close(self) -> None:
        """End the running question and whatever was started for it, and wait for that. A second call does nothing."""
