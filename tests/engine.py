"""An engine without any process: what a worker's tests ask in Claude's place."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, Any

from app.messages.answer import Answer, TextDelta
from app.messages.failure import FailureKind, TurnFailed
from app.ways import Way
from workers.engine import EngineStatus

if TYPE_CHECKING:
    from app.messages import MessagesRequest


def answer(text: str, **fields: Any) -> Answer:
    known: dict[str, Any] = {"usage": {"input_tokens": 3, "output_tokens": 2}, "cost_usd": 0.25, "model": "claude-x"}
    return Answer(text=text, stop_reason="end_turn", **(known | fields))


class ScriptedEngine:
    """Gives each question the next of `turns`; one that has none left waits for an interrupt, or its deadline."""

    way = Way.CLI

    def __init__(self, *turns: Answer | TurnFailed, login: TurnFailed | None = None, login_kind: str = "") -> None:
        self.turns, self.login, self._login_kind = [*turns], login, login_kind
        self.asked: list[MessagesRequest] = []
        self.logins_checked = 0
        self.interrupt, self.close, self._is_interrupted = self._set, self._set, threading.Event()

    def start(self) -> None: ...

    def ask(self, request: MessagesRequest, deadline: float, on_delta: Any = None, **_: Any) -> Answer:
        self.asked.append(request)
        if not self.turns:
            is_ended = self._is_interrupted.wait(deadline - time.monotonic())
            raise TurnFailed(FailureKind.INTERRUPTED if is_ended else FailureKind.DEADLINE, "no answer")
        turn = self.turns.pop(0)
        if isinstance(turn, TurnFailed):
            raise turn
        if on_delta is not None:
            on_delta(TextDelta(turn.text, turn.model))
        return turn

    def check_login(self, *, timeout_seconds: float) -> TurnFailed | None:
        assert timeout_seconds > 0
        self.logins_checked += 1
        return self.login

    def status(self) -> EngineStatus:
        count = len(self.asked)
        return EngineStatus("idle", "", 0.0, None, count, count, 0, login=self._login_kind or None)

    def is_ready(self) -> bool:
        return True

    def _set(self) -> None:
        self._is_interrupted.set()
