"""One batch: its requests, what became of each, and its state as clients see it."""

import json
import random
import tempfile
import time
from array import array
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import IO, Any
from uuid import uuid4

from simulator.batch_spec import BatchSpec

#: From its creation, seconds.
EXPIRES_AFTER_SECONDS = 24 * 3600

#: Bytes of a batch's requests, or of its results, that are kept in memory; more go to a file without a name.
_MAX_MEMORY = 128 * 1024

#: The states of a request that is done.
_RESULTS = ("succeeded", "errored", "canceled", "expired")


class Lines:
    """Byte strings by number; those that take much room are on disk."""

    def __init__(self) -> None:
        self._file: IO[bytes] = tempfile.SpooledTemporaryFile(_MAX_MEMORY)  # noqa: SIM115  it lives as long as the batch
        self._ends = array("Q", [0])

    def __len__(self) -> int:
        return len(self._ends) - 1

    def append(self, data: bytes) -> None:
        """Add one after the last."""
        self._file.seek(self._ends[-1])
        self._file.write(data)
        self._ends.append(self._ends[-1] + len(data))

    def __getitem__(self, number: int) -> bytes:
        begin, end = self._ends[number], self._ends[number + 1]
        self._file.seek(begin)
        return self._file.read(end - begin)

    def close(self) -> None:
        """Give its room back."""
        self._file.close()


@dataclass(frozen=True)
class Wait:
    """What a batch waits for before it ends: the fields of :class:`BatchSpec` since ``begun``, epoch seconds."""

    spec: BatchSpec
    begun: float
    looks_before: int
    is_held: Callable[[], bool]

    def is_over(self, now: float, looks: int) -> bool:
        """Whether all of it holds at this look."""
        spec = self.spec
        return (
            now >= self.begun + spec.ends_after_seconds
            and looks - self.looks_before > spec.ends_after_looks
            and not (spec.held and self.is_held())
        )


@dataclass
class Batch:
    """``params`` has each request's body as JSON, ``results`` a line for each of the first ones that were answered.

    ``headers`` are those that created it, with their real values, and ``first_params`` its first request's, both for rules.
    """

    headers: dict[str, str]
    first_params: dict[str, Any]
    wait: Wait
    answers: int | None
    created_at: float
    expires_at: float
    id: str = field(default_factory=lambda: f"msgbatch_sim_{uuid4().hex[:24]}")
    custom_ids: list[str] = field(default_factory=list)
    params: Lines = field(default_factory=Lines)
    results: Lines = field(default_factory=Lines)
    counts: dict[str, int] = field(default_factory=lambda: dict.fromkeys(_RESULTS, 0))
    looks: int = 0
    cancel_initiated_at: float | None = None
    ended_at: float | None = None

    @property
    def status(self) -> str:
        """``in_progress``, ``canceling`` or ``ended``."""
        if self.ended_at is not None:
            return "ended"
        return "in_progress" if self.cancel_initiated_at is None else "canceling"

    @property
    def is_answering(self) -> bool:
        """Whether the next request is to be answered."""
        return self.status == "in_progress" and len(self.results) < self._to_answer

    @property
    def _to_answer(self) -> int:
        return len(self.custom_ids) if self.answers is None else min(self.answers, len(self.custom_ids))

    def add_result(self, result_type: str, line: bytes) -> None:
        """Note what became of the next request; ``line`` is its line of the results, without an end of line."""
        # What no client knows is counted as an error.
        self.counts[result_type if result_type in _RESULTS else "errored"] += 1
        self.results.append(line)

    def look(self) -> None:
        """Count a look of a client, and end the batch if its time has come."""
        if self.status == "ended":
            return
        self.looks += 1
        now = time.time()
        is_answered = self.cancel_initiated_at is not None or not self.is_answering
        if now < self.expires_at and not (is_answered and self.wait.is_over(now, self.looks)):
            return
        self.ended_at = now
        self.counts[self._rest] += len(self.custom_ids) - len(self.results)
        self.params.close()

    @property
    def _rest(self) -> str:
        return "expired" if self.cancel_initiated_at is None else "canceled"

    def describe(self, results_url: str) -> dict[str, Any]:
        """Return the batch as clients see it: counts stay 0 until it has ended."""
        is_ended = self.status == "ended"
        counts = self.counts if is_ended else dict.fromkeys(_RESULTS, 0)
        return {
            "id": self.id,
            "type": "message_batch",
            "processing_status": self.status,
            "request_counts": {"processing": 0 if is_ended else len(self.custom_ids), **counts},
            "ended_at": _time(self.ended_at),
            "created_at": _time(self.created_at),
            "expires_at": _time(self.expires_at),
            "archived_at": None,
            "cancel_initiated_at": _time(self.cancel_initiated_at),
            "results_url": results_url if is_ended else None,
        }

    def result_lines(self) -> Iterator[bytes]:
        """Yield the line of each request, in an order that is not theirs, without an end of line."""
        order = list(range(len(self.custom_ids)))
        random.Random(len(order)).shuffle(order)
        for number in order:
            if number < len(self.results):
                yield self.results[number]
            else:
                value = {"custom_id": self.custom_ids[number], "result": {"type": self._rest}}
                yield json.dumps(value, separators=(",", ":")).encode()

    def close(self) -> None:
        """Give its room back."""
        self.params.close()
        self.results.close()


def _time(at: float | None) -> str | None:
    return (
        None
        if at is None
        else datetime.fromtimestamp(at, UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
    )
