"""The queue's lines are shared by key, then by batch, in tokens: with a real Redis, feeder and keys."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from app.api_keys import ApiKeys
from app.batches.endpoints import CHAT_COMPLETIONS
from app.batches.feeder import Feeder
from app.batches.record import BatchStatus
from app.batches.store import NewBatch
from app.jobs import transitions
from app.outcome import Outcome
from tests.integration.batches.conftest import Night, line
from tests.redis_server import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from app.batches.record import BatchRecord

#: lines near at once
NEAR = 8


@pytest.fixture
def sharing(night: Night) -> Iterator[Night]:
    found = replace(night, feeder=_feeder(night))
    yield found
    found.feeder.close()


def _feeder(night: Night) -> Feeder:
    return Feeder(night.connection, replace(night.settings, batch_in_queue=NEAR))


def submit(night: Night, owner: str, count: int) -> BatchRecord:
    data = b"".join(json.dumps(line(f"{owner}-{number}")).encode() + b"\n" for number in range(count))
    file_id = night.upload(data)
    night.connection.hset(f"nightshift:file:{file_id}", "owner", owner)
    return night.batches.create(NewBatch(input_file_id=file_id, endpoint=CHAT_COMPLETIONS))


def answer(night: Night, tokens: Mapping[str, int], lines: int) -> Counter[str]:
    """So many lines, each with its owner's number of tokens; what was served of each owner. What that makes room for is fed now and then."""
    served: Counter[str] = Counter()
    for number in range(lines):
        if not night.queued():
            night.feeder.run_once()
        lease, record = night.take()
        usage = {"prompt_tokens": 1, "completion_tokens": tokens[record.owner] - 1}
        transitions.publish(night.connection, night.settings, lease, Outcome(body={"id": record.id, "usage": usage}))
        served[record.owner] += tokens[record.owner]
        if number % 3 == 0:
            night.feeder.run_once()
    night.feeder.run_once()
    return served


@pytest.mark.parametrize("priority", [1, 3])
def test_ten_batches_of_a_key_have_one_share_against_one_of_another(sharing: Night, priority: int) -> None:
    """In tokens, and by the keys' priorities."""
    ApiKeys(sharing.connection).create("many")
    ApiKeys(sharing.connection).create("one", priority=priority)
    many = [submit(sharing, "many", 10) for _ in range(10)]
    one = submit(sharing, "one", 60)
    while not sharing.batches.require(one.id).in_progress_at:
        sharing.feeder.run_once()
    tokens = {"many": 100, "one": 300}
    served = answer(sharing, tokens, 60)
    # What is in flight comes out in the end: as many lines of either.
    assert abs(served["one"] - priority * served["many"]) <= NEAR * (300 + 100 * priority)
    # The first was alone for a moment: those that came later make up for it.
    ended = [sharing.batches.require(batch.id).ended for batch in many]
    assert ended[0] <= NEAR
    assert max(ended[1:]) - min(ended[1:]) <= 2


def test_a_successor_makes_up_for_what_came_out_larger_than_expected(sharing: Night) -> None:
    """The first leader has seen it, and dies before anybody else had as much."""
    large, small = submit(sharing, "large", 40), submit(sharing, "small", 200)
    while not sharing.batches.require(small.id).in_progress_at:
        sharing.feeder.run_once()
    tokens = {"large": 3000, "small": 30}
    served = answer(sharing, tokens, NEAR)
    while not served["large"]:
        served += answer(sharing, tokens, 1)
    sharing.feeder.close()
    sharing.connection.delete(sharing.lease)
    successor = replace(sharing, feeder=_feeder(sharing))
    successor.feeder.run_once()
    fed = successor.batches.require(large.id).fed
    answer(successor, tokens, 3 * NEAR)
    assert successor.batches.require(large.id).fed == fed
    successor.feeder.close()


def test_a_batch_whose_lines_can_not_be_read_leaves_them_to_another_key(sharing: Night) -> None:
    """It has the better claim for as long as it is broken, and goes on when it is not."""
    broken, good = submit(sharing, "broken", 40), submit(sharing, "good", 40)
    while not sharing.batches.require(good.id).in_progress_at:
        sharing.feeder.run_once()
    path = sharing.path(broken.id) / "input"
    path.rename(path.with_name("aside"))
    path.mkdir()
    while sharing.batches.require(good.id).ended < 40:
        # One look is enough to find it out, and the next one feeds.
        sharing.feeder.run_once()
        sharing.feeder.run_once()
        assert sharing.queued()
        answer(sharing, {"broken": 10, "good": 10}, 1)
    path.rmdir()
    path.with_name("aside").rename(path)
    answer(sharing, {"broken": 10, "good": 10}, 40 - sharing.batches.require(broken.id).ended)
    wait_until(lambda: sharing.look(broken).status is BatchStatus.COMPLETED, "the end of the one that was broken")
