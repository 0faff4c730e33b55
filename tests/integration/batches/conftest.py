"""A feeder, the API's door to batches, and a worker without a Claude, on a private Redis and directory."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import pytest
from redis import Redis

from app.batches.endpoints import CHAT_COMPLETIONS
from app.batches.feeder import Feeder
from app.batches.file_record import Purpose
from app.batches.leadership import lease_key
from app.batches.report import line_stats
from app.batches.storage import names
from app.batches.store import Batches, NewBatch
from app.ids import OWNER
from app.jobs import tickets, transitions
from app.outcome import Outcome
from app.settings import Settings
from tests.fake_worker import FakeWorker

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from app.batches.record import BatchRecord
    from app.batches.report.line_stats import LineStats
    from app.jobs.change import Lease
    from app.jobs.record import JobRecord

USAGE = {
    "prompt_tokens": 3,
    "completion_tokens": 5,
    "total_tokens": 8,
    "prompt_tokens_details": {"cached_tokens": 1},
    "completion_tokens_details": {"reasoning_tokens": 2},
}


def line(custom_id: str, **body: Any) -> dict[str, Any]:
    body = {"model": "haiku", "messages": [{"role": "user", "content": custom_id}], **body}
    return {"custom_id": custom_id, "method": "POST", "url": CHAT_COMPLETIONS, "body": body}


@dataclass
class Night:
    """All that a test of batches needs."""

    connection: Redis
    settings: Settings
    batches: Batches
    feeder: Feeder

    @property
    def lease(self) -> str:
        """The key of the lease on the work in its directory."""
        return lease_key(self.batches.storage.identity())

    def upload(self, data: bytes, owner: str = OWNER) -> str:
        draft = self.batches.files.draft()
        draft.write(data)
        return self.batches.files.keep(draft, filename="night.jsonl", purpose=Purpose.BATCH, owner=owner).id

    def start(self, lines: list[Any], *, owner: str = OWNER, **fields: Any) -> BatchRecord:
        data = b"".join((one if isinstance(one, bytes) else json.dumps(one).encode()) + b"\n" for one in lines)
        file_id = self.upload(data, owner)
        made = self.batches.create(NewBatch(input_file_id=file_id, endpoint=CHAT_COMPLETIONS, **fields))
        return self.look(made)

    def look(self, batch: BatchRecord) -> BatchRecord:
        """Let the feeder do what there is to do; the batch afterwards."""
        self.feeder.run_once()
        return self.batches.require(batch.id)

    def queued(self) -> list[str]:
        """Custom ids, in the queue's order."""
        ids = tickets.queue(self.connection).get_job_ids()
        return [
            json.loads(self.connection.hget(f"nightshift:job:{one}", "metadata") or b"{}")["custom_id"] for one in ids
        ]

    def take(self, worker: str = "w1") -> tuple[Lease, JobRecord]:
        return FakeWorker(self.connection).claim(worker)

    def answer(self, outcome: Outcome | None = None) -> str:
        """Take one job and end it; its custom id."""
        lease, record = self.take()
        outcome = outcome or Outcome(body={"id": record.id, "usage": USAGE}, headers={"x-nightshift-cost-usd": "0.5"})
        transitions.publish(self.connection, self.settings, lease, outcome)
        return record.metadata["custom_id"]

    def output(self, batch: BatchRecord, *, errors: bool = False) -> list[dict[str, Any]]:
        path = self.path(names.stored_file(batch.error_file if errors else batch.output_file))
        return [json.loads(one) for one in path.read_bytes().splitlines()] if path.exists() else []

    def line_stats(self, batch: BatchRecord) -> list[LineStats]:
        """All that were written down, counted or not."""
        written = self.batches.storage.size(names.line_stats(batch.id)) or 0
        return list(line_stats.read(self.batches.storage, replace(batch, facts_bytes=written)))

    def path(self, name: str) -> Path:
        """Where the disk has it."""
        return self.settings.data_dir / "batches" / name


@pytest.fixture
def night(redis_url: str, tmp_path: Path) -> Iterator[Night]:
    settings = Settings(data_dir=tmp_path, redis_url=redis_url, callback_allowed_hosts=("127.0.0.1",))
    with Redis.from_url(redis_url) as connection:
        feeder = Feeder(connection, settings)
        yield Night(connection, settings, Batches(connection, settings), feeder)
        feeder.close()
