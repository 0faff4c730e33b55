"""One thread of a process hears which jobs have ended, and what is being answered, for all clients that wait in it."""

from __future__ import annotations

import json
import logging
import threading
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from api.inbox import Inbox
from app.connection import RedisError, connect_blocking
from app.jobs import deltas
from app.jobs.record import DELTAS, DONE, outcome_key

if TYPE_CHECKING:
    from redis import Redis
    from redis.client import PubSub

log = logging.getLogger(__name__)

#: how long the thread listens before it looks at the flag that ends it, seconds
_SLICE_SECONDS = 1.0
#: silence after which the server is asked whether it is still there, and after which it is taken for gone, seconds
_PING_AFTER_SECONDS = 5.0
_GONE_AFTER_SECONDS = 12.0
_RECONNECT_SECONDS = 0.2
_CHUNK = 500
_CHANNELS = (DONE, DELTAS)


class Listener:
    """Wakes those who registered for a job when it has ended, and hands the pieces of its answer to those who read along.

    Starts with the first registration, reconnects for ever.

    A wake-up means "look": it is given once too often rather than once too seldom. After each (re)connection all
    registered jobs are looked up, so that what was published while nobody listened is not missed.
    """

    def __init__(self, connection: Redis, redis_url: str) -> None:
        self._connection = connection
        self._redis_url = redis_url
        self._lock = threading.Lock()
        self._waiting: dict[str, list[threading.Event | Inbox]] = {}
        self._thread: threading.Thread | None = None
        self._is_stopped = False

    def register(self, job_id: str) -> threading.Event:
        """An event that is set once the job may have ended. Look at a job that there is already once more after this, then wait."""
        event = threading.Event()
        self._add(job_id, event)
        return event

    def register_reader(self, job_id: str, *, is_new: bool = False) -> Inbox:
        """The same for one who reads along: an inbox for the pieces of the answer. `is_new`: the job is yet to be made."""
        inbox = Inbox(is_new=is_new)
        self._add(job_id, inbox)
        return inbox

    def _add(self, job_id: str, waiter: threading.Event | Inbox) -> None:
        with self._lock:
            self._waiting.setdefault(job_id, []).append(waiter)
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="listener", daemon=True)
                self._thread.start()

    def forget(self, job_id: str, event: threading.Event | Inbox) -> None:
        """The inverse of `register`."""
        with self._lock:
            left = [other for other in self._waiting.get(job_id, ()) if other is not event]
            if left:
                self._waiting[job_id] = left
            else:
                self._waiting.pop(job_id, None)

    def waiting(self) -> int:
        """How many wait now."""
        with self._lock:
            return sum(map(len, self._waiting.values()))

    def stop(self) -> None:
        """End the thread within about a second."""
        self._is_stopped = True

    def _run(self) -> None:
        while not self._is_stopped:
            client = connect_blocking(self._redis_url)
            pubsub = client.pubsub()  # type: ignore[no-untyped-call]
            try:
                self._listen(pubsub)
            except (RedisError, OSError) as error:
                log.warning("[LISTENER] lost Redis, reconnects: %s", error)
                time.sleep(_RECONNECT_SECONDS)
            except Exception:  # without this thread nobody would ever be woken again
                log.exception("[LISTENER] failed, starts again")
                time.sleep(_RECONNECT_SECONDS)
            finally:
                with suppress(RedisError, OSError):
                    pubsub.close()
                    client.close()

    def _listen(self, pubsub: PubSub) -> None:
        pubsub.subscribe(*_CHANNELS)
        heard_at = time.monotonic()
        while not self._is_stopped:
            message: dict[str, Any] | None = pubsub.get_message(timeout=_SLICE_SECONDS)
            now = time.monotonic()
            if message is not None:
                heard_at = now
                if message["type"] == "message":
                    self._hear(message)
                elif message["type"] == "subscribe" and message["data"] == len(_CHANNELS):
                    self._wake_ended()
            elif now - heard_at > _GONE_AFTER_SECONDS:
                raise OSError("no word from Redis")
            elif now - heard_at > _PING_AFTER_SECONDS:
                pubsub.ping()

    def _hear(self, message: dict[str, Any]) -> None:
        if message["channel"] == DONE.encode():
            self._wake(str(json.loads(message["data"])["id"]))
            return
        job_id, piece = deltas.heard(message["data"])
        with self._lock:
            for reader in self._waiting.get(job_id, ()):
                if isinstance(reader, Inbox):
                    reader.put(piece)

    def _wake(self, job_id: str) -> None:
        with self._lock:
            for event in self._waiting.get(job_id, ()):
                event.set()

    def _wake_ended(self) -> None:
        with self._lock:
            ids = list(self._waiting)
            for waiters in self._waiting.values():
                for reader in waiters:
                    if isinstance(reader, Inbox):
                        reader.miss()
        for start in range(0, len(ids), _CHUNK):
            chunk = ids[start : start + _CHUNK]
            pipe = self._connection.pipeline(transaction=False)
            for job_id in chunk:
                pipe.exists(outcome_key(job_id))
            for job_id, has_ended in zip(chunk, pipe.execute(), strict=True):
                if has_ended:
                    self._wake(job_id)
