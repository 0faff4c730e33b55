"""Emits an answer's text and calls while Claude writes them, for the job whose client reads along.

Pieces come in the engine's own thread, which must not wait for Redis. They are only queued here, and another thread writes them
at once; pieces are joined only while a write is under way. A piece that can't be emitted is no loss: the client gets it
with the outcome. So nothing is flushed at the end, and whatever is too much is dropped.
"""

from __future__ import annotations

import json
import logging
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from app.connection import AWAY, RedisError
from app.jobs import deltas
from app.messages.answer import CallDelta, TextDelta
from app.messages.stops import Cutter

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from redis import Redis

    from app.jobs.change import Lease
    from app.messages.answer import Delta
    from app.messages.output_spec import OutputSpec
    from workers.run import Run

log = logging.getLogger(__name__)

#: characters that may wait to be written; beyond that the rest comes with the outcome
MAX_PENDING_CHARS = 1024 * 1024
#: how long the pieces outlive the job's deadline if nothing deletes them, seconds
SPARE_SECONDS = 60.0
_RETRY_SECONDS = 0.2


@contextmanager
def emitter(run: Run, output: OutputSpec) -> Iterator[Callable[[Delta], None] | None]:
    """The `on_delta` for the turn of a run whose client reads along; None if nothing may be shown before it is checked."""
    if not output.can_stream:
        yield None
        return
    writer = DeltaWriter(run.connection, run.lease, expires_at=run.record.deadline_at + SPARE_SECONDS)

    def put(piece: Delta) -> None:
        if (own := emitted(piece, output)) is not None:
            writer.put(own)

    try:
        yield Cutter(output.cut_at, put).put if output.cut_at else put
    finally:
        writer.stop()


def emitted(piece: Delta, output: OutputSpec) -> Delta | None:
    """The piece; None for a call that was not offered, or whose arguments have to be taken out of something first."""
    if isinstance(piece, TextDelta):
        return piece
    function = output.functions.get(piece.name)
    return None if function is None or function.shape.is_wrapped else piece


def delta_of(pieces: list[Delta]) -> dict[str, Any]:
    """Pieces that are emitted at once, as a chunk's `delta`."""
    delta: dict[str, Any] = {}
    if content := "".join(piece.text for piece in pieces if isinstance(piece, TextDelta)):
        delta["content"] = content
    calls: dict[int, dict[str, Any]] = {}
    for piece in pieces:
        if isinstance(piece, CallDelta):
            call = calls.setdefault(piece.index, {"index": piece.index, "function": {"arguments": ""}})
            if piece.is_begin:
                call |= {"id": piece.id, "type": "function", "function": {"name": piece.name, "arguments": ""}}
            call["function"]["arguments"] += piece.arguments
    if calls:
        delta["tool_calls"] = [*calls.values()]
    return delta


class DeltaWriter:
    """One thread that writes one run's pieces. `put` never waits; `stop` forgets what is not written yet."""

    def __init__(self, connection: Redis, lease: Lease, *, expires_at: float) -> None:
        self._connection = connection
        self._lease = lease
        self._expires_at = expires_at
        self._changed = threading.Condition()
        self._pending: list[Delta] = []
        self._pending_chars = 0
        self._is_stopped = False
        self._written = 0
        self._kept_bytes = 0
        self._thread = threading.Thread(target=self._run, name="deltas", daemon=True)
        self._thread.start()

    def put(self, piece: Delta) -> None:
        """Have it written as soon as possible. From any thread."""
        text = piece.text if isinstance(piece, TextDelta) else piece.arguments
        if not text and isinstance(piece, TextDelta):
            return
        with self._changed:
            if self._is_stopped:
                return
            self._pending.append(piece)
            self._pending_chars += len(text)
            if self._pending_chars > MAX_PENDING_CHARS:
                # Readers would notice a hole, but could use nothing after it.
                self._stop("more text than can be written")
            self._changed.notify()

    def stop(self) -> None:
        """Start no further write. One under way is fenced, like the outcome that follows."""
        with self._changed:
            self._stop()

    def _stop(self, reason: str = "") -> None:
        if reason and not self._is_stopped:
            log.warning("[STREAM] job=%s reason=%s: the rest comes with the outcome", self._lease.job_id, reason)
        self._is_stopped = True
        self._pending = []
        self._changed.notify()

    def _run(self) -> None:
        while pieces := self._take():
            body: dict[str, Any] = {"delta": delta_of(pieces)}
            if self._written == 0:
                body["model"] = pieces[0].model
            self._write(json.dumps(body, separators=(",", ":")))

    def _take(self) -> list[Delta]:
        with self._changed:
            while not self._pending and not self._is_stopped:
                self._changed.wait()
            pieces, self._pending, self._pending_chars = self._pending, [], 0
            return pieces

    def _write(self, data: str) -> None:
        """Until it is written, while Redis is away too, or this writer is stopped."""
        number = self._written + 1
        keep = self._kept_bytes + len(data) <= deltas.MAX_KEPT_BYTES
        while not self._is_stopped:
            try:
                if not deltas.write(
                    self._connection, self._lease, number, data, keep=keep, expires_at=self._expires_at
                ):
                    self._give_up("its run has no say any more")
                self._written = number
                self._kept_bytes += len(data) if keep else 0
                return
            except AWAY:
                with self._changed:
                    self._changed.wait_for(lambda: self._is_stopped, _RETRY_SECONDS)
            except RedisError as error:
                self._give_up(type(error).__name__)

    def _give_up(self, reason: str) -> None:
        with self._changed:
            self._stop(reason)
