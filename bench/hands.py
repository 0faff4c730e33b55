"""Workers that are played: they take jobs and answer them at once, by the steps in Redis that a worker makes."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Self

from rq.exceptions import DequeueTimeout

from app.connection import connect
from app.jobs import tickets, transitions
from app.outcome import Outcome
from app.settings import Settings

if TYPE_CHECKING:
    from redis import Redis

#: how many at once
HANDS = 4
_LEASE_SECONDS = 60.0
_SETTINGS = Settings(result_ttl_seconds=3600)
_USAGE = {"prompt_tokens": 120, "completion_tokens": 40, "total_tokens": 160}
_TEXT = "It is kind. " * 20


class Hands:
    """Work from `with` to its end."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._stopping = threading.Event()
        self._threads = [threading.Thread(target=self._work, args=(f"hand-{n}",), daemon=True) for n in range(HANDS)]

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopping.set()
        for thread in self._threads:
            thread.join()

    def _work(self, name: str) -> None:
        with connect(self._url) as redis:
            while not self._stopping.is_set():
                self._one(redis, name)

    def _one(self, redis: Redis, name: str) -> None:
        try:
            found = tickets.ClaudeQueue.dequeue_any([tickets.queue(redis)], 1, connection=redis)
        except DequeueTimeout:
            return
        if found is None or (claimed := transitions.claim(redis, found[0].id, name, _LEASE_SECONDS)) is None:
            return
        lease, record, _ = claimed
        body = {"id": record.id, "usage": _USAGE, "choices": [{"message": {"role": "assistant", "content": _TEXT}}]}
        outcome = Outcome(body=body, headers={"x-nightshift-cost-usd": "0.001"})
        transitions.publish(redis, _SETTINGS, lease, outcome)
