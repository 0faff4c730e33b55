"""The proxy: a Unix socket or a port before a Redis, that hands on what comes unless its plan says otherwise."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from chaos.lossy.plans import Kind, Loss
from chaos.lossy.resp import ProtocolError, Request, end_of_reply, first_request, is_push

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path
    from types import TracebackType
    from typing import Self

    from chaos.lossy.plans import Plan

_CHUNK = 64 * 1024
#: for a request that comes late to be done, although its client is gone, seconds
_LAST_SECONDS = 5.0


class LossyProxy:
    """`with LossyProxy(redis_url, socket) as proxy`; clients use `proxy.url`, and `proxy.plan` may be changed at any time.

    One thread. Without a plan, everything is handed on as it is.
    """

    def __init__(self, redis_url: str, socket: Path | None = None) -> None:
        """`redis_url`: `unix://` or `redis://`, without a login. `socket`: where to listen; None: on a free port of loopback."""
        self.plan: Plan | None = None
        self._upstream = redis_url
        self._socket = socket
        self._port = 0
        self._loop = asyncio.new_event_loop()
        self._tasks: set[asyncio.Task[None]] = set()
        self._late: set[_Wire] = set()
        self._is_ready = threading.Event()
        self._thread = threading.Thread(target=self._run, name="lossy", daemon=True)

    @property
    def url(self) -> str:
        """For clients."""
        return f"unix://{self._socket}" if self._socket else f"redis://127.0.0.1:{self._port}"

    def __enter__(self) -> Self:
        self._thread.start()
        if not self._is_ready.wait(10):
            raise AssertionError("the proxy does not listen")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        if self._socket:
            self._socket.unlink(missing_ok=True)

    @property
    def is_quiet(self) -> bool:
        """Whether nothing is on its way to Redis that its client has given up."""
        return not self._late

    def cut(self) -> None:
        """Break all connections."""
        self._loop.call_soon_threadsafe(lambda: [task.cancel() for task in self._tasks])

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        server = self._loop.run_until_complete(self._listen())
        self._is_ready.set()
        self._loop.run_forever()
        server.close()
        for task in self._tasks:
            task.cancel()
        self._loop.run_until_complete(asyncio.gather(*self._tasks, return_exceptions=True))
        self._loop.close()

    async def _listen(self) -> asyncio.Server:
        if self._socket:
            return await asyncio.start_unix_server(self._serve, self._socket)
        server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self._port = server.sockets[0].getsockname()[1]
        return server

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task: asyncio.Task[None] | None = asyncio.current_task()
        if task is not None:
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        try:
            # One side may be gone, and the proxy may end.
            with contextlib.suppress(OSError, ProtocolError, asyncio.CancelledError):
                await self._connect(reader, writer)
        finally:
            writer.close()

    async def _connect(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        parts = urlsplit(self._upstream)
        if parts.scheme == "unix":
            upstream = await asyncio.open_unix_connection(parts.path)
        else:
            upstream = await asyncio.open_connection(parts.hostname, parts.port)
        wire = _Wire(self.loss_of, self._late, (reader, writer), upstream)
        pumps = [asyncio.ensure_future(wire.requests()), asyncio.ensure_future(wire.replies())]
        try:
            await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(wire.late_are_done.wait(), _LAST_SECONDS)
        finally:
            self._late.discard(wire)
            for pump in pumps:
                pump.cancel()
            await asyncio.gather(*pumps, return_exceptions=True)
            upstream[1].close()

    def loss_of(self, request: Request) -> Loss | None:
        """What the plan says of it."""
        return self.plan(request) if self.plan is not None else None


@dataclass
class _Asked:
    """A request that Redis has, and what has come of its replies."""

    count: int
    loss: Loss | None
    replies: list[bytes] = field(default_factory=list)


class _Wire:
    """One client's connection, and ours to Redis for it."""

    def __init__(
        self,
        loss_of: Callable[[Request], Loss | None],
        late: set[_Wire],
        client: tuple[asyncio.StreamReader, asyncio.StreamWriter],
        redis: tuple[asyncio.StreamReader, asyncio.StreamWriter],
    ) -> None:
        self._loss_of = loss_of
        self._late = late
        self._reader, self._writer = client
        self._redis_reader, self._redis_writer = redis
        self._asked: deque[_Asked] = deque()
        self._is_subscribed = False
        #: unset while Redis has yet to answer a request that came late
        self.late_are_done = asyncio.Event()
        self.late_are_done.set()

    async def requests(self) -> None:
        """From the client to Redis, until the client is gone or a request of its is lost."""
        buffer = bytearray()
        while chunk := await self._reader.read(_CHUNK):
            buffer += chunk
            while buffer and (request := first_request(buffer)) is not None:
                del buffer[: len(request.raw)]
                loss = self._loss_of(request)
                if loss is not None and loss.kind is Kind.LOST_REQUEST:
                    await asyncio.sleep(loss.seconds)
                    return
                if loss is not None and loss.kind is Kind.LATE_REQUEST:
                    self.late_are_done.clear()
                    self._late.add(self)
                    await asyncio.sleep(loss.seconds)
                self._is_subscribed = self._is_subscribed or request.subscribes
                self._asked.append(_Asked(len(request.commands), loss))
                self._redis_writer.write(request.raw)
                await self._redis_writer.drain()

    async def replies(self) -> None:
        """From Redis to the client, until Redis is gone or a reply is lost."""
        buffer = bytearray()
        while chunk := await self._redis_reader.read(_CHUNK):
            buffer += chunk
            while buffer and (end := end_of_reply(buffer)) is not None:
                reply = bytes(buffer[:end])
                del buffer[:end]
                if not await self._hand_on(reply):
                    return

    async def _hand_on(self, reply: bytes) -> bool:
        if self._is_subscribed or is_push(reply) or not self._asked:
            await self._write(reply)
            return True
        asked = self._asked[0]
        asked.replies.append(reply)
        if len(asked.replies) < asked.count:
            return True
        loss = asked.loss
        if loss is not None and loss.kind is Kind.LOST_REPLY:
            if loss.meanwhile is not None:
                await asyncio.get_running_loop().run_in_executor(None, loss.meanwhile)
            await asyncio.sleep(loss.seconds)
            return False
        if loss is not None and loss.kind is Kind.LATE_REPLY:
            await asyncio.sleep(loss.seconds)
        self._asked.popleft()
        self.late_are_done.set()
        self._late.discard(self)
        await self._write(b"".join(asked.replies))
        return True

    async def _write(self, data: bytes) -> None:
        # Who is gone hears nothing; what it asked for is done all the same.
        with contextlib.suppress(OSError):
            self._writer.write(data)
            await self._writer.drain()
