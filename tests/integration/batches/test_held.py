"""A batch that waits for somebody's word: its first lines were tried, or its budget is used up."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from app import errors
from app.batches.feeder import Feeder
from app.batches.record import BatchStatus, Hold
from app.batches.retry import retry_failed
from app.error_codes import ErrorCode
from app.errors import ErrorReply
from app.outcome import Outcome
from app.webhooks.endpoints import Endpoints
from app.webhooks.events import BATCH_HELD
from app.webhooks.outbox import Outbox
from tests.integration.batches.conftest import USAGE, Night, line

if TYPE_CHECKING:
    from collections.abc import Iterator

    from app.batches.record import BatchRecord


def costing(usd: float | None, text: str = "hi") -> Outcome:
    headers = {} if usd is None else {"x-nightshift-cost-usd": str(usd)}
    return Outcome(body={"id": "x", "choices": [text], "usage": USAGE}, headers=headers)


def held(night: Night, batch: BatchRecord) -> BatchRecord:
    """The batch after a few looks in which nobody answers anything."""
    for _ in range(3):
        batch = night.look(batch)
    return batch


def drain(night: Night, batch: BatchRecord, usd: float | None = 0.5) -> BatchRecord:
    """Answer all that is started, until nothing is."""
    batch = night.look(batch)
    while night.queued():
        night.answer(costing(usd))
        batch = night.look(batch)
    return held(night, batch)


def test_some_lines_are_tried_and_the_others_wait_for_a_word(night: Night) -> None:
    batch = drain(night, night.start([line(f"c{n}") for n in range(30)], metadata={"try": "5"}))
    assert (batch.status, batch.held, batch.completed, batch.fed) == (BatchStatus.IN_PROGRESS, Hold.TRIED, 5, 5)
    night.batches.go_on(batch.id)
    batch = drain(night, batch)
    assert (batch.status, batch.completed) == (BatchStatus.COMPLETED, 30)
    ids = [one["custom_id"] for one in night.output(batch)]
    # What was tried is part of the output, and is not asked for twice.
    assert sorted(ids) == sorted(f"c{n}" for n in range(30))


def test_what_is_tried_comes_from_all_lengths_and_all_over_the_file(night: Night) -> None:
    lines = [
        line(f"c{n}", messages=[{"role": "user", "content": "x" * (5_000 if n % 10 == 0 else 10)}]) for n in range(40)
    ]
    batch = drain(night, night.start(lines, metadata={"try": "4"}))
    numbers = [int(one["custom_id"][1:]) for one in night.output(batch)]
    assert sum(number % 10 == 0 for number in numbers) == 1
    assert max(numbers) - min(numbers) > 10


def test_a_batch_with_no_more_lines_than_are_tried_just_runs(night: Night) -> None:
    batch = drain(night, night.start([line("a"), line("b")], metadata={"try": "5"}))
    assert batch.status is BatchStatus.COMPLETED


def test_a_held_batch_is_told_to_its_callback_and_to_endpoints_once(night: Night) -> None:
    Endpoints(night.connection).create("mine", "http://127.0.0.1/", [BATCH_HELD])
    metadata = {"try": "1", "callback_url": "http://127.0.0.1/hook"}
    drain(night, night.start([line("a"), line("b")], metadata=metadata))
    events = [json.loads(stored.event.body) for stored in Outbox(night.connection).page("pending")]
    assert [(event["type"], event["data"]["reason"]) for event in events] == [(BATCH_HELD, Hold.TRIED)] * 2


def test_a_held_batch_can_be_cancelled_and_names_what_never_ran(night: Night) -> None:
    batch = drain(night, night.start([line(f"c{n}") for n in range(5)], metadata={"try": "2"}))
    night.batches.cancel(batch.id)
    batch = held(night, batch)
    assert (batch.status, batch.completed, batch.unrun) == (BatchStatus.CANCELLED, 2, 3)


def test_another_feeder_keeps_it_held(night: Night) -> None:
    batch = drain(night, night.start([line(f"c{n}") for n in range(5)], metadata={"try": "2"}))
    night.feeder.close()
    night.feeder = Feeder(night.connection, night.settings)
    batch = held(night, batch)
    assert (batch.held, night.queued()) == (Hold.TRIED, [])


def test_what_failed_is_run_again_without_a_trial(night: Night) -> None:
    batch = night.start([line("a"), line("b")], metadata={"try": "1"})
    night.answer(Outcome(error=errors.internal()))
    batch = held(night, batch)
    night.batches.cancel(batch.id)
    batch = held(night, batch)
    assert "try" not in retry_failed(night.batches, night.settings, batch.id).metadata


@pytest.fixture
def sixteen(night: Night) -> Iterator[Night]:
    """A night in which sixteen lines may be in flight, as with sixteen workers and none ahead."""
    night.feeder.close()
    settings = replace(night.settings, batch_in_queue=16)
    feeder = Feeder(night.connection, settings)
    yield Night(night.connection, settings, night.batches, feeder)
    feeder.close()


def test_a_budget_is_not_passed_by_more_than_what_was_in_flight(sixteen: Night) -> None:
    """Each line costs more than those before it: what is reserved for it is too little, and still no more than these start."""
    night = sixteen
    batch = night.start([line(f"c{n}") for n in range(300)], metadata={"max_cost": "1"})
    spent, cost, most_in_flight = 0.0, 0.002, 0
    while night.queued():
        in_flight = len(night.queued())
        most_in_flight = max(most_in_flight, in_flight)
        for _ in range(in_flight):
            cost *= 1.005
            spent += cost
            night.answer(costing(round(cost, 6)))
        batch = night.look(batch)
    batch = held(night, batch)
    assert most_in_flight == 16
    assert (batch.status, batch.held) == (BatchStatus.IN_PROGRESS, Hold.BUDGET)
    assert 0.9 < batch.cost_usd <= 1 + 16 * cost
    assert batch.completed < 300


def test_before_a_cost_is_known_a_few_lines_start(night: Night) -> None:
    night.start([line(f"c{n}") for n in range(30)], metadata={"max_cost": "1"})
    assert len(night.queued()) == 4


def test_lines_that_fail_at_no_cost_use_up_no_budget(night: Night) -> None:
    """Nobody knows yet what an answer costs: a few at a time, until one of them is answered."""
    batch = night.start([line(f"c{n}") for n in range(12)], metadata={"max_cost": "50"})
    for _ in range(6):
        assert 0 < len(night.queued()) <= 4
        night.answer(Outcome(error=errors.internal()))
        batch = night.look(batch)
    assert drain(night, batch).status is BatchStatus.COMPLETED


def test_failures_that_were_paid_for_use_up_the_budget(night: Night) -> None:
    batch = night.start([line(f"c{n}") for n in range(12)], metadata={"max_cost": "2.2"})
    while night.queued():
        night.answer(Outcome(error=errors.internal(), headers={"x-nightshift-cost-usd": "0.5"}))
        batch = night.look(batch)
    assert (batch.held, batch.failed, batch.cost_usd, batch.wasted_usd) == (Hold.BUDGET, 4, 0, 2)


def test_a_budget_in_tokens_takes_the_place_of_one_in_dollars_that_nobody_can_count(night: Night) -> None:
    batch = drain(night, night.start([line(f"c{n}") for n in range(10)], metadata={"max_cost": "50"}), usd=None)
    night.batches.go_on(batch.id, max_tokens=1000)
    assert drain(night, batch, usd=None).status is BatchStatus.COMPLETED


@pytest.mark.parametrize(
    ("budget", "larger"), [("max_cost", {"max_cost_usd": 20.0}), ("max_tokens", {"max_tokens": 1000})]
)
def test_a_larger_budget_lets_it_go_on(budget: str, larger: dict[str, Any], night: Night) -> None:
    limits = {"max_cost": "2.2", "max_tokens": "35"}
    batch = drain(night, night.start([line(f"c{n}") for n in range(10)], metadata={budget: limits[budget]}))
    assert (batch.held, batch.completed) == (Hold.BUDGET, 4)
    night.batches.go_on(batch.id, **larger)
    assert drain(night, batch).status is BatchStatus.COMPLETED


def test_a_budget_that_is_used_up_already_is_a_400(night: Night) -> None:
    batch = drain(night, night.start([line(f"c{n}") for n in range(10)], metadata={"max_cost": "2.2"}))
    for wanted in (None, 1.0, 2.4):
        with pytest.raises(ErrorReply) as refused:
            night.batches.go_on(batch.id, max_cost_usd=wanted)
        assert (refused.value.status, refused.value.code) == (400, ErrorCode.BUDGET_USED_UP)


def test_a_budget_in_dollars_holds_where_nobody_knows_the_cost(night: Night) -> None:
    batch = drain(night, night.start([line(f"c{n}") for n in range(10)], metadata={"max_cost": "50"}), usd=None)
    assert (batch.held, batch.unpriced) == (Hold.BUDGET, 4)


def test_one_that_is_not_held_can_not_be_continued_but_may_get_another_budget(night: Night) -> None:
    batch = night.start([line(f"c{n}") for n in range(10)], metadata={"max_cost": "50"})
    with pytest.raises(ErrorReply) as refused:
        night.batches.go_on(batch.id)
    assert refused.value.code == ErrorCode.BATCH_NOT_HELD
    assert night.batches.go_on(batch.id, max_cost_usd=60.0).max_cost_usd == 60


def test_to_continue_twice_is_to_continue_once(night: Night) -> None:
    batch = drain(night, night.start([line(f"c{n}") for n in range(5)], metadata={"try": "1"}))
    first = night.batches.go_on(batch.id)
    assert night.batches.go_on(batch.id) == first


@pytest.mark.parametrize(
    "metadata",
    [
        {"try": "0"},
        {"try": "2.5"},
        {"try": "1001"},
        {"max_cost": "0"},
        {"max_cost": "nan"},
        {"max_cost": "inf"},
        {"max_cost": "$5"},
        {"max_tokens": "-1"},
    ],
)
def test_a_bad_number_is_a_400_that_names_it(metadata: dict[str, str], night: Night) -> None:
    with pytest.raises(ErrorReply) as refused:
        night.start([line("a")], metadata=metadata)
    assert (refused.value.status, refused.value.param) == (400, f"metadata.{next(iter(metadata))}")
