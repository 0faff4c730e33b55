"""One Claude process: asked turn by turn, wiped in between. Its launch and its end are `running_cli`'s."""

from __future__ import annotations

import asyncio
import logging
import time
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from app.login import CLOUDS
from app.messages.failure import FailureKind
from app.recycle_reason import RecycleReason
from workers.claude import cli
from workers.claude.dialect import windows_of
from workers.claude.failures import WORDS, UsageLimit, schema_refused
from workers.claude.profile import STAND_IN
from workers.claude.running_cli import RunningCli
from workers.claude.turn import SCHEMA_TOOL, SYNTHETIC_MODEL, Turn, TurnResult

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from app.login import Login
    from app.messages.answer import Answer, Delta
    from app.settings import Settings
    from workers.claude.profile import Profile, Prompt

logger = logging.getLogger(__name__)

#: How long the CLI has to end a turn that it was asked to end, before it is killed.
DRAIN_SECONDS = 1.5
#: How long the wiping of the conversation may take.
RESET_SECONDS = 3.0
#: How long a request's own parameters may take to be confirmed; some milliseconds are usual.
CONFIGURE_SECONDS = 10.0

#: Merged into a request, it has the API refuse it: 400, before a model sees it, so that it costs nothing.
REFUSED_BODY = '{"messages": []}'


_KINDS_OF_DEATH: Mapping[RecycleReason | None, FailureKind] = {
    RecycleReason.RSS_HARD: FailureKind.MEMORY,
    RecycleReason.GARBLED: FailureKind.GARBLED,
}


class ClaudeProcess(RunningCli):
    """A running CLI. `start()`, then `ask()` and `reset()` in turn, then `close()`."""

    def __init__(self, settings: Settings, login: Login | None, profile: Profile, work_dir: Path) -> None:
        super().__init__(settings, login, profile, work_dir)
        self.turns = 0
        #: what is merged into the API requests now: the body, the headers
        self._extras: tuple[str, str] | None = ("{}", "")
        self._refusing: asyncio.Task[None] | None = None
        self._turn: Turn | None = None
        self._last_uuid: str | None = None
        #: nothing of any turn is in the conversation
        self._is_clean = True
        self._cost_before = 0.0
        self._limit: UsageLimit | None = None
        self._limit_uuid: str | None = None
        self._interrupted = False

    async def ask(
        self,
        prompt: Prompt,
        body: str,
        deadline: float,
        on_delta: Callable[[Delta], None] | None,
    ) -> Answer:
        """Run one turn until `deadline` (`time.monotonic()`), with `body` (`Prompt.in_body`). Raises `TurnFailed`."""
        has_schema = self.profile.schema is not None
        turn = Turn(str(uuid4()), on_delta, may_call_again=has_schema, max_tokens=prompt.max_tokens)
        self.turns += 1
        self._turn, self._last_uuid, self._interrupted = turn, turn.uuid, False
        self._is_clean = False
        self._refusing = None
        self._bytes = 0
        self._changed.clear()
        sending = asyncio.create_task(self._send(prompt, body, turn.uuid))
        try:
            ended_by = await self._wait(turn, deadline)
            if ended_by is not None:
                await self._end_turn(turn)
                if self.defect == RecycleReason.SCHEMA_REFUSED:
                    raise schema_refused()
                raise turn.failed(ended_by, self._words(ended_by))
            return self._conclude(turn)
        finally:
            self._turn = None
            self.last_used = time.monotonic()
            if turn.result is not None:
                # It has answered, so it has the whole prompt, though our own task may not have noticed yet.
                await asyncio.wait([sending], timeout=DRAIN_SECONDS)
            if not sending.done():
                self.kill(RecycleReason.NOT_SENT)
                sending.cancel()
            with suppress(Exception, asyncio.CancelledError):
                await sending

    async def _send(self, prompt: Prompt, body: str, uuid: str) -> None:
        """Hand over the request by its body, then have it sent; without the word that the body is taken, nothing."""
        client = self._connected()
        try:
            extras = body, prompt.headers
            if extras != self._extras:
                await client.set_body(body, CONFIGURE_SECONDS, headers=prompt.headers)
                self._extras = extras
            await client.send(STAND_IN, uuid)
        except Exception as error:  # noqa: BLE001 - the SDK raises bare exceptions
            # Not its words: they may quote what could not be sent.
            logger.warning("Claude did not take a request: %s", type(error).__name__)
            self.kill(RecycleReason.NOT_SENT)

    async def _refuse_more(self) -> None:
        """From now on whatever the CLI asks of the API besides the answer that is being written is refused there."""
        # One that does not take this takes no next turn, either.
        with suppress(Exception):
            await self._unless_gone(self._set_refused_body())

    def may_become(self, profile: Profile) -> bool:
        """Whether it can be told to serve that profile. A cloud provider's models have names of their own."""
        is_at_a_cloud = self.login is not None and self.login.kind in CLOUDS
        return not is_at_a_cloud and self.profile.may_become(profile)

    async def become(self, profile: Profile) -> bool:
        """Serve that profile from now on; for a process that was reset. False: it is of no use any more."""
        try:
            is_set = await self._unless_gone(self._set_model(profile))
        except Exception as error:  # noqa: BLE001 - the SDK raises bare exceptions
            logger.info("Claude did not change to another model: %s", type(error).__name__)
            is_set = False
        if not is_set:
            self.kill(RecycleReason.PROFILE)
        self.profile = profile
        return self.is_usable

    async def _set_model(self, profile: Profile) -> bool:
        await self._connected().set_model(profile.model, profile.system, CONFIGURE_SECONDS)
        return True

    async def _set_refused_body(self) -> bool:
        await self._connected().set_body(REFUSED_BODY, CONFIGURE_SECONDS)
        return True

    def interrupt(self) -> None:
        """End the running turn; its `ask` raises `interrupted` within two seconds."""
        self._interrupted = True
        self._changed.set()

    async def reset(self) -> bool:
        """Wipe the conversation; True only when the CLI's own word proves that it is empty."""
        if self._is_clean:
            return self.is_usable
        if not self.is_usable:
            return False
        self._is_clean = await self._unless_gone(self._rewind())
        if not self._is_clean:
            self.defect = self.defect or RecycleReason.RESET_FAILED
        return self.is_usable

    async def _wait(self, turn: Turn, deadline: float) -> FailureKind | None:
        """Wait for the end of the turn; None when it came by itself, else why it is to be ended."""
        while True:
            if turn.result is not None or turn.is_cut or turn.is_repeated:
                return None
            if self._is_over or self._is_killed:
                return _KINDS_OF_DEATH.get(self.defect, FailureKind.DIED)
            if self._interrupted:
                return FailureKind.INTERRUPTED
            now = time.monotonic()
            stalled = turn.last_event + self._settings.stall_seconds
            if now >= min(deadline, stalled):
                return FailureKind.DEADLINE if now >= deadline else FailureKind.STALLED
            with suppress(TimeoutError):
                await asyncio.wait_for(self._changed.wait(), min(deadline, stalled) - now)
            self._changed.clear()

    async def _end_turn(self, turn: Turn) -> None:
        """Interrupt, and wait for the turn's result so that it is not taken for a later one's; else kill."""
        if self._is_over or self._is_killed or self._client is None:
            self.defect = self.defect or RecycleReason.DIED
            return
        interrupting = asyncio.create_task(self._client.interrupt())
        end = time.monotonic() + DRAIN_SECONDS
        while not self._has_ended(turn) and (left := end - time.monotonic()) > 0:
            with suppress(TimeoutError):
                await asyncio.wait_for(self._changed.wait(), left)
            self._changed.clear()
        if turn.result is None:
            self.kill(RecycleReason.NOT_DRAINED)
        elif turn.result.cost_usd is not None:
            self._cost_before = turn.result.cost_usd
        if not interrupting.done():
            interrupting.cancel()
        with suppress(Exception, asyncio.CancelledError):
            await interrupting

    def _has_ended(self, turn: Turn) -> bool:
        return turn.result is not None or self._is_over or self._is_killed

    def _conclude(self, turn: Turn) -> Answer:
        is_new = self._limit_uuid == turn.uuid
        if failed := turn.failure(self._limit, limit_is_new=is_new):
            self._cost(turn)
            if failed.kind is FailureKind.CALLER and self._refusing is not None:
                # Not the client's request, which had an answer already, but one more that we had refused.
                raise turn.failed(FailureKind.SERVER, "Claude's answer did not come in one piece.")
            if failed.kind is FailureKind.LOGIN:
                # The next attempt is to read the login anew.
                self.defect = self.defect or RecycleReason.LOGIN
            raise failed
        # The CLI reports the windows in the turn in which something has changed, to a percent.
        return replace(turn.answer(self._cost(turn)), windows=self._limit.windows if self._limit else ())

    def _cost(self, turn: Turn) -> float | None:
        """The turn's own share of a sum that the process counts up; None where nobody knows it."""
        if turn.result is None or turn.result.cost_usd is None:
            return None
        cost = turn.result.cost_usd - self._cost_before
        self._cost_before = turn.result.cost_usd
        return max(0.0, round(cost, 9)) if turn.result.is_at_list_prices else None

    async def _rewind(self) -> bool:
        """Believe it only when it names our message as the target and says that nothing precedes it.

        There is no second way: `/clear` wipes too, but leaves 490 bytes of its own before every later prompt.
        """
        try:
            said = await self._connected().rewind(str(self._last_uuid), RESET_SECONDS)
        except Exception as error:  # noqa: BLE001 - the SDK raises bare exceptions
            logger.info("Claude did not rewind: %s", type(error).__name__)
            return False
        return (
            said.get("rewound") is True
            and said.get("targetMessageUuid") == self._last_uuid
            and said.get("precedingAssistantUuid", "unsaid") is None
        )

    def _on_stream(self, event: dict[str, Any], uuid: str | None) -> None:
        """Take one event of the API's stream, as soon as it is read."""
        turn = self._turn
        if turn is None or uuid not in (None, turn.uuid):
            self.defect = self.defect or RecycleReason.STRAY
            return
        turn.last_event = time.monotonic()
        turn.on_stream_event(event)
        if turn.is_cut or turn.is_repeated:
            self.kill(RecycleReason.CUT if turn.is_cut else RecycleReason.REPEATED)
        elif turn.may_be_cut and self._refusing is None:
            # At once, so that the next turn is sure to say what is merged into its requests.
            self._extras = None
            self._refusing = asyncio.ensure_future(self._refuse_more())

    def _take(self, message: Any) -> None:
        turn = self._turn
        if isinstance(message, cli.RateLimitEvent):
            info = message.rate_limit_info
            self._limit = UsageLimit(info.status, info.resets_at, info.rate_limit_type, windows_of(info.raw))
            self._limit_uuid = turn.uuid if turn else None
        elif isinstance(message, cli.SystemMessage):
            if message.subtype == "init" and self.profile.schema and SCHEMA_TOOL not in message.data["tools"]:
                # It drops a schema that it does not take without a word, and would ask the model without it.
                self.kill(RecycleReason.SCHEMA_REFUSED)
        elif isinstance(message, cli.AssistantMessage | cli.ResultMessage):
            if turn is None or message.user_message_uuid not in (None, turn.uuid):
                self.defect = self.defect or RecycleReason.STRAY
            elif not turn.is_cut:
                self._take_for(turn, message)
        if turn is not None:
            turn.last_event = time.monotonic()

    def _take_for(self, turn: Turn, message: Any) -> None:
        if isinstance(message, cli.AssistantMessage):
            if message.model == SYNTHETIC_MODEL:
                turn.on_error(message.error, cli.text_of(message))
        else:
            turn.result = TurnResult(
                is_error=message.is_error,
                status=message.api_error_status,
                subtype=message.subtype,
                text=message.result or "; ".join(message.errors or []),
                cost_usd=message.total_cost_usd,
                is_at_list_prices=_is_at_list_prices(message.model_usage or {}),
            )
            self._changed.set()

    def _words(self, kind: FailureKind) -> str:
        said = " ".join(self._stderr) if kind is FailureKind.DIED else ""
        return f"{WORDS[kind]} It said: {said[-2000:]}" if said else WORDS[kind]


def _is_at_list_prices(model_usage: Mapping[str, Any]) -> bool:
    """The CLI invents a price for a model that it does not know; the price's basis shows that."""
    return all(usage.get("costBasis") == "list" for usage in model_usage.values())
