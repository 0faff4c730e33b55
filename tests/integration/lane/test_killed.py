"""Lane and feeder are killed before and after each thing that they do: each line is sent once, and in the files once."""

from __future__ import annotations

import json
from collections import Counter
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest

from app.batches.collector import Collector
from app.batches.endpoints import CHAT_COMPLETIONS
from app.batches.feeder import Feeder
from app.batches.parts.steps import PartSteps
from app.batches.steps import Steps
from app.batches.storage.local_disk import LocalDisk
from app.batches.store import NewBatch
from tests.integration.batches.conftest import line
from tests.redis_server import wait_until
from workers.lane.api import BatchesApi

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.integration.lane.conftest import Parts

#: all that is done to a part outside of memory
DOORS: list[tuple[type, str]] = [
    (PartSteps, "do"),
    (BatchesApi, "create"),
    (BatchesApi, "retrieve"),
    (BatchesApi, "results"),
    (LocalDisk, "keep"),
    (LocalDisk, "append"),
    (LocalDisk, "remove"),
    (Steps, "do"),
    (Collector, "append"),
]


class Killed(BaseException):
    """The process is gone."""


class Reaper:
    """Counts the calls of the doors, and kills at one of them: before it, or when it is done."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.calls, self.at, self.is_after = 0, -1, False
        for kind, name in DOORS:
            monkeypatch.setattr(kind, name, self._watched(getattr(kind, name)))

    def _watched(self, door: Callable[..., Any]) -> Callable[..., Any]:
        def called(*given: Any, **named: Any) -> Any:
            self.calls += 1
            is_it = self.calls == self.at
            if is_it and not self.is_after:
                raise Killed
            found = door(*given, **named)
            if is_it:
                raise Killed
            return found

        return called

    def arm(self, at: int, *, is_after: bool) -> None:
        self.calls, self.at, self.is_after = 0, at, is_after


def run(parts: Parts, arm: Callable[[], None] = lambda: None) -> tuple[list[str], Counter[str]]:
    """A batch of three lines to its end, whoever is killed. What is in its files, and how often each line was sent."""
    parts.simulator.clear_requests()
    data = b"\n".join(json.dumps(one).encode() for one in (line("a"), line("b"), line("refused", logprobs=True)))
    batch = parts.batches.create(NewBatch(input_file_id=parts.upload(data), endpoint=CHAT_COMPLETIONS))
    arm()

    def is_done() -> bool:
        try:
            parts.step()
            parts.feeder.run_once()
        except Killed:
            parts.again()
            parts.feeder.close()
            parts.connection.delete(parts.lease)
            parts.feeder = Feeder(parts.connection, parts.settings)
        return parts.batches.require(batch.id).status.is_final

    wait_until(is_done, "the batch's end")
    ended = parts.batches.require(batch.id)
    assert (ended.completed, ended.failed, ended.unrun) == (2, 1, 0)
    files = [one["custom_id"] for errors in (False, True) for one in parts.output(ended, errors=errors)]
    return files, Counter(one.split("-")[2] for one in parts.sent())


def test_killed_at_each_step(parts: Parts, monkeypatch: pytest.MonkeyPatch) -> None:
    """None is lost, none is doubled, none is sent twice."""
    reaper = Reaper(monkeypatch)
    run(parts, partial(reaper.arm, 0, is_after=False))
    calls = reaper.calls
    assert calls > 15
    for at in range(1, calls + 1):
        for is_after in (False, True):
            assert run(parts, partial(reaper.arm, at, is_after=is_after)) == (
                ["a", "b", "refused"],
                Counter({"0": 1, "1": 1}),
            ), (at, is_after)


@pytest.mark.parametrize("body_bytes", [0, 1, 100])
def test_a_connection_that_is_cut_while_it_is_sent(
    parts: Parts, body_bytes: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However much of a part has left: it was not taken, is not in the list, and its lines go with the next one."""

    class Cut:
        def __init__(self, file: Any) -> None:
            self._file, self._left = file, body_bytes

        def __iter__(self) -> Any:
            yield self._file.read(self._left)
            raise ConnectionResetError

    create = BatchesApi.create
    cut = [True]

    def cut_once(api: BatchesApi, body: Any, size: int, betas: str) -> Any:
        sent: Any = Cut(body) if cut and cut.pop() else body
        return create(api, sent, size, betas)

    monkeypatch.setattr(BatchesApi, "create", cut_once)
    assert run(parts) == (["a", "b", "refused"], Counter({"0": 1, "1": 1}))
