"""See the package. A question runs in an event loop, so that it can be ended at any moment by cancelling its task.

The loop runs in the thread that asks, for as long as the question takes: a thread of its own would cost two hand-overs a turn.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import threading
import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Self

import httpx2

from app import clock, price_file
from app.login import login_in_use
from app.memory import OwnMemory
from app.messages.failure import FailureKind, TurnFailed
from app.prices import cache_saved_usd, cost_usd
from app.ways import Way
from workers.engine import NO_HEADERS, EngineStatus
from workers.messages_api.body import betas_of, body_of
from workers.messages_api.client import client
from workers.messages_api.failures import failure_of
from workers.messages_api.reading import Reading
from workers.models import aliases_of

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Mapping

    from app.messages.answer import Answer, Delta
    from app.messages.request import MessagesRequest
    from app.settings import Settings

log = logging.getLogger(__name__)

#: Refused by the API with a 400 before a model sees it, so that it costs nothing.
REFUSED_BODY: dict[str, Any] = {"model": "claude-haiku-5-5", "max_tokens": 1, "messages": []}
#: of an error's body, bytes
MAX_ERROR_BYTES = 1024 * 1024
#: one event of a stream, bytes
MAX_EVENT_BYTES = 64 * 1024 * 1024
#: how long the end of a stream that has said its last is waited for: its connection can be used again then, seconds
END_SECONDS = 0.2
CLOSE_SECONDS = 10.0


class ApiEngine:
    """An `Engine` (`workers.engine`) with one HTTP client, whose connection no other process may share."""

    way = Way.API

    def __init__(self, settings: Settings, *, name: str) -> None:
        """Raises `SettingsError`."""
        self._settings = settings
        self._login = login_in_use(settings)
        self._client = client(settings)
        # Made once: the client would join and read it anew for each question.
        self._url = self._client.build_request("POST", "v1/messages").url
        self._aliases = aliases_of(settings.claude_environment)
        self._prices = price_file.in_use(settings.prices)
        self._name = name
        self._loop = asyncio.new_event_loop()
        #: held while the loop runs: one question at a time
        self._running = threading.Lock()
        #: of the two below
        self._lock = threading.Lock()
        self._is_closed = False
        self._task: asyncio.Task[Answer] | None = None
        self._turns = self._errors = 0
        self._since = clock.now()
        self._memory = OwnMemory()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def start(self) -> None:
        """Nothing is: a connection is made when it is needed."""

    def ask(
        self,
        request: MessagesRequest,
        deadline: float,
        on_delta: Callable[[Delta], None] | None = None,
        *,
        headers: Mapping[str, str] = NO_HEADERS,
    ) -> Answer:
        """See `Engine.ask`; pieces come from the thread that asks."""
        value = request.output.value
        reading = Reading(on_delta, value.tool_name if value is not None else None)
        body = body_of(request, self._aliases)
        headers = {**headers, **betas_of(request, body)}
        self._turns += 1
        try:
            answer = self._run(lambda: self._asked(body, reading, headers), deadline)
        except TurnFailed as failure:
            self._errors += failure.kind.is_fault
            log.info("[API] request=%s kind=%s status=%s", reading.request_id, failure.kind, failure.status)
            raise
        log.debug("[API] request=%s", reading.request_id)
        found = [price(body["model"], answer.usage, prices=self._prices) for price in (cost_usd, cache_saved_usd)]
        return replace(answer, cost_usd=found[0], cache_saved_usd=found[1])

    def check_login(self, *, timeout_seconds: float) -> TurnFailed | None:
        """By a request that the API refuses."""
        reading = Reading(None, None)
        try:
            self._run(lambda: self._asked(REFUSED_BODY, reading, NO_HEADERS), time.monotonic() + timeout_seconds)
        except TurnFailed as failure:
            return None if failure.kind is FailureKind.CALLER else failure
        return None

    def interrupt(self) -> None:
        """End the running question."""
        with self._lock:
            self._cancel()

    def status(self) -> EngineStatus:
        """No process, so no memory of one."""
        return EngineStatus(
            state="closed" if self._is_closed else "busy" if self._task else "idle",
            reason="",
            since=self._since,
            pid=None,
            turns=self._turns,
            turns_total=self._turns,
            errors=self._errors,
            python_rss_mb=self._memory.mb(),
            login=self._login.kind if self._login else None,
        )

    def is_ready(self) -> bool:
        """As long as it is not closed: a connection is made when it is needed."""
        return not self._is_closed

    def close(self) -> None:
        """End the running question and the connections."""
        with self._lock:
            if self._is_closed:
                return
            self._is_closed = True
            self._cancel()
        if not self._running.acquire(timeout=CLOSE_SECONDS):
            log.warning("engine %s: its question does not end", self._name)
            return
        try:
            self._loop.run_until_complete(self._close())
            self._loop.close()
        finally:
            self._running.release()

    def _run(self, work: Callable[[], Coroutine[Any, Any, Answer]], deadline: float) -> Answer:
        with self._running:
            with self._lock:
                if self._is_closed:
                    raise TurnFailed(FailureKind.UNAVAILABLE, "This engine is closed.")
                # Whatever is interrupted after this line is this question.
                self._task = self._loop.create_task(_bounded(work, deadline))
            try:
                return self._loop.run_until_complete(self._task)
            except asyncio.CancelledError:
                raise TurnFailed(FailureKind.INTERRUPTED, "The request was interrupted.") from None
            finally:
                with self._lock:
                    self._task = None

    def _cancel(self) -> None:
        if self._task is not None:
            self._loop.call_soon_threadsafe(self._task.cancel)

    async def _close(self) -> None:
        """Also of a question that was left by a signal, which nobody waits for any more."""
        if left := asyncio.all_tasks() - {asyncio.current_task()}:
            for task in left:
                task.cancel()
            await asyncio.wait(left, timeout=CLOSE_SECONDS)
        async with asyncio.timeout(CLOSE_SECONDS):
            await self._client.aclose()

    async def _asked(self, body: dict[str, Any], reading: Reading, headers: Mapping[str, str]) -> Answer:
        """Raises `TurnFailed`, also for whatever the client raises, or what came is no answer."""
        try:
            # From the first byte sent: an API may take a request and never begin its answer.
            async with (
                asyncio.timeout(self._settings.stall_seconds) as silence,
                self._client.stream(
                    "POST",
                    self._url,
                    content=json.dumps(body).encode(),
                    headers={**headers, "content-type": "application/json"},
                ) as response,
            ):
                reading.request_id = response.headers.get("request-id", "")
                if response.status_code != 200:
                    raise failure_of(
                        response.status_code, await _error(response), response.headers, model=str(body["model"])
                    )
                await self._read(response, reading, silence)
        except TimeoutError:
            if not reading.is_ended:
                raise reading.failed(FailureKind.STALLED, "Claude sent nothing for too long.") from None
        except (httpx2.ConnectError, httpx2.ConnectTimeout) as error:
            raise TurnFailed(FailureKind.SERVER, f"Claude's API could not be reached: {error}") from None
        except (httpx2.HTTPError, OSError) as error:
            if not reading.is_ended:
                raise reading.failed(
                    FailureKind.SERVER, f"The connection to Claude's API broke ({type(error).__name__})."
                ) from None
        except (LookupError, TypeError, ValueError, AttributeError) as error:
            raise reading.failed(
                FailureKind.SERVER, f"Claude's API sent what can't be read ({type(error).__name__})."
            ) from None
        return reading.answer()

    async def _read(self, response: httpx2.Response, reading: Reading, silence: asyncio.Timeout) -> None:
        """Feed the reading. A ping is no sign of life: a model that says nothing else has stalled."""
        async for event in httpx2.EventSource(response, max_event_size=MAX_EVENT_BYTES):
            if reading.is_ended:
                continue
            if reading.take(event.data):
                silence.reschedule(self._loop.time() + END_SECONDS)
            elif event.event != "ping":
                silence.reschedule(self._loop.time() + self._settings.stall_seconds)


async def _bounded(work: Callable[[], Coroutine[Any, Any, Answer]], deadline: float) -> Answer:
    try:
        # The loop's clock is `time.monotonic`.
        async with asyncio.timeout_at(deadline):
            return await work()
    except TimeoutError:
        words = "The request's deadline passed before Claude had answered."
        raise TurnFailed(FailureKind.DEADLINE, words) from None


async def _error(response: httpx2.Response) -> Any:
    """The body of an error as JSON; None when it is none."""
    found = bytearray()
    with contextlib.suppress(httpx2.HTTPError):
        async for piece in response.aiter_raw():
            found += piece
            if len(found) > MAX_ERROR_BYTES:
                break
    try:
        return json.loads(found)
    except ValueError:
        return None
