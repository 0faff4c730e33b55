"""What a worker needs of whatever asks Claude."""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from app.messages.answer import Answer, Delta
    from app.messages.failure import TurnFailed
    from app.messages.request import MessagesRequest
    from app.ways import Way
    from workers.engine.status import EngineStatus

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
