"""The engine that drives Claude's CLI: a request in the CLI's words, and its answer in the client's."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import TYPE_CHECKING

from app import price_file
from app.prices import LIST, cache_saved_usd, cost_usd, price_of
from app.ways import Way
from workers.claude.dialect import to_cli
from workers.claude.invoker import ClaudeInvoker
from workers.engine import NO_HEADERS
from workers.models import aliases_of, model_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path
    from typing import Self

    from app.messages.answer import Answer, Delta
    from app.messages.failure import TurnFailed
    from app.messages.request import MessagesRequest
    from app.prices import Price
    from app.settings import Settings
    from workers.engine import EngineStatus, Recycle


class CliEngine:
    """An `Engine` (`workers.engine`) with one `ClaudeInvoker`."""

    way = Way.CLI

    def __init__(
        self,
        settings: Settings,
        *,
        name: str,
        work_dir: Path | None = None,
        on_recycle: Callable[[Recycle], None] | None = None,
    ) -> None:
        """As `ClaudeInvoker`."""
        #: the user's own go before the list prices that the CLI reckons by
        self._own_prices: Mapping[str, Price] = price_file.read(settings.prices) if settings.prices is not None else {}
        self._aliases = aliases_of(settings.claude_environment)
        self._invoker = ClaudeInvoker(settings, name=name, work_dir=work_dir, on_recycle=on_recycle)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def start(self) -> None:
        """End what an earlier run left, and begin to connect."""
        self._invoker.start()

    def ask(
        self,
        request: MessagesRequest,
        deadline: float,
        on_delta: Callable[[Delta], None] | None = None,
        *,
        headers: Mapping[str, str] = NO_HEADERS,
    ) -> Answer:
        """See `Engine.ask`; pieces come from the event loop's thread."""
        asked = to_cli(request)
        prompt = replace(asked.prompt, headers="\n".join(f"{name}: {value}" for name, value in headers.items()))
        on_piece = None if on_delta is None else lambda piece: on_delta(asked.delta(piece))
        seconds = deadline - time.monotonic()
        answer = asked.answer(self._invoker.ask(prompt, asked.profile, timeout_seconds=seconds, on_event=on_piece))
        return self._priced(answer, model_of(request, self._aliases))

    def _priced(self, answer: Answer, model: str) -> Answer:
        prices = self._own_prices if price_of(model, self._own_prices) else LIST
        cost = cost_usd(model, answer.usage, prices=prices)
        if answer.cost_usd is not None and prices is LIST:
            cost = answer.cost_usd
        # Where the CLI says nothing it was ended before it could, at an answer's `max_tokens`; or it knows no price.
        return replace(answer, cost_usd=cost, cache_saved_usd=cache_saved_usd(model, answer.usage, prices=prices))

    def check_login(self, *, timeout_seconds: float) -> TurnFailed | None:
        """By a request that the API refuses."""
        return self._invoker.check_login(timeout_seconds=timeout_seconds)

    def interrupt(self) -> None:
        """End the running turn."""
        self._invoker.interrupt()

    def status(self) -> EngineStatus:
        """The invoker's."""
        return self._invoker.status()

    def is_ready(self) -> bool:
        """Whether a process is there to take a question, or as good as there."""
        return self._invoker.is_ready()

    def close(self) -> None:
        """End every process and wait for it."""
        self._invoker.close()
