"""A worker without a Claude: it takes the next job and ends it as a test says."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Any

from rq import Queue
from rq.serializers import JSONSerializer

from app.jobs import tickets, transitions
from app.jobs.record import request_key
from app.outcome import Outcome
from app.settings import Settings
from chaos.until import PATIENCE_SECONDS
from tests.redis_server import wait_until

if TYPE_CHECKING:
    from redis import Redis
    from rq.job import Job

    from app.errors import ErrorReply
    from app.jobs.change import Lease
    from app.jobs.record import JobRecord

    Claimed = tuple[Lease, JobRecord]


class FakeWorker:
    """Takes jobs from the queue and ends them, as a worker does."""

    settings = Settings(result_ttl_seconds=60)

    def __init__(self, connection: Redis) -> None:
        self.connection = connection
        self._queue = tickets.queue(connection)

    def dequeue(self) -> Job:
        """The queue's first ticket, off the queue and not claimed yet."""
        found = self._pop()
        assert found is not None
        return found

    def claim(self, worker: str = "w1", *, lease_seconds: float = 60, execution: str = "") -> Claimed:
        """The job of the queue's first ticket."""
        claimed = transitions.claim(self.connection, self.dequeue().id, worker, lease_seconds, execution)
        assert claimed is not None
        return claimed.lease, claimed.record

    def take(self, timeout: float = PATIENCE_SECONDS) -> Claimed:
        """The next job, waited for."""
        found: list[Claimed] = []

        def claimed() -> bool:
            ticket = self._pop()
            if ticket is not None and (one := transitions.claim(self.connection, ticket.id, "w1", 60)) is not None:
                found.append((one.lease, one.record))
            return bool(found)

        wait_until(claimed, "a job in the queue", timeout)
        return found[0]

    def _pop(self) -> Job | None:
        popped = Queue.dequeue_any([self._queue], None, connection=self.connection, serializer=JSONSerializer)
        return popped[0] if popped is not None else None

    def payload(self, job_id: str) -> dict[str, Any]:
        """The job's request as the worker reads it."""
        text = self.connection.get(request_key(job_id))
        assert isinstance(text, bytes)
        payload: dict[str, Any] = json.loads(text)
        return payload

    def answer(self, lease: Lease, text: str = "hello", **headers: str) -> None:
        """Publish a completion."""
        outcome = Outcome(body=completion(lease.job_id, text), headers=headers)
        transitions.publish(self.connection, self.settings, lease, outcome)

    def fail(self, lease: Lease, error: ErrorReply) -> None:
        """Publish an error."""
        transitions.publish(self.connection, self.settings, lease, Outcome(error=error))


def completion(job_id: str, text: str) -> dict[str, Any]:
    """OpenAI's chat completion."""
    message = {"role": "assistant", "content": text, "refusal": None}
    return {
        "id": job_id,
        "object": "chat.completion",
        "created": int(time.time()),
        "model": "claude-test",
        "choices": [{"index": 0, "message": message, "finish_reason": "stop", "logprobs": None}],
        "usage": {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2},
    }
