"""A part's life without Redis: each change is decided of the part and an event, and one that comes too late changes nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.batches import counting
from app.batches import lifecycle as batch_lifecycle
from app.batches.change import Found, LineRuns, NotFed, PartAnswers
from app.batches.output import Ended, LineEnd
from app.batches.parts import lifecycle
from app.batches.parts.record import (
    Part,
    Parts,
    PartState,
    fields_of,
    parts_of,
    read_request_id,
    request_id,
    request_prefix,
    spans_of,
)
from app.batches.record import BatchRecord, BatchStatus
from tests.unit.batches.test_lifecycle import NOW, batch, changed, is_nothing

if TYPE_CHECKING:
    from collections.abc import Callable

BATCH = "batch_" + "0" * 32


def part(state: PartState = PartState.ALLOTTED, **fields: Any) -> Part:
    given: dict[str, Any] = {"id": "3", "created_at": NOW, "numbers": "0-4", "lines": 5}
    return Part(state=state, **(given | fields))


STEPS: dict[str, tuple[PartState, Callable[[Part], Part], PartState]] = {
    "compose": (PartState.ALLOTTED, lambda p: lifecycle.compose(p, requests=5, betas=""), PartState.COMPOSED),
    "begin_sending": (PartState.COMPOSED, lambda p: lifecycle.begin_sending(p, "try", NOW), PartState.SENDING),
    "note_sent": (PartState.SENDING, lambda p: lifecycle.note_sent(p, "msgbatch_1", NOW), PartState.SENT),
    "end": (PartState.SENT, lambda p: lifecycle.end(p, NOW), PartState.ENDED),
    "answer": (PartState.ENDED, lambda p: lifecycle.answer(p, 99, NOW), PartState.ANSWERED),
}


@pytest.mark.parametrize("name", STEPS)
def test_a_step_is_done_once(name: str) -> None:
    """Decided again on what it has written itself, it changes nothing."""
    before, step, after = STEPS[name]
    done = step(part(before))
    assert done.state is after
    assert step(done) == done


@pytest.mark.parametrize("name", ["compose", "begin_sending", "note_sent", "end"])
def test_a_step_out_of_its_turn_changes_nothing(name: str) -> None:
    """Only from the state before it."""
    before, step, _ = STEPS[name]
    for state in PartState:
        if state is not before:
            assert step(part(state)) == part(state)


def test_what_is_over_is_not_sent() -> None:
    """Its batch was cancelled meanwhile."""
    over = part(PartState.COMPOSED, is_over=True)
    assert lifecycle.begin_sending(over, "try", NOW) == over


def test_only_the_try_itself_can_say_that_nothing_was_sent() -> None:
    """Another one may be on its way."""
    sending = lifecycle.begin_sending(part(PartState.COMPOSED), "mine", NOW)
    assert lifecycle.not_sent(sending, "other", "no") == sending
    assert lifecycle.not_sent(sending, "mine", "429").state is PartState.COMPOSED


def test_what_was_found_is_disowned_and_looked_for_again() -> None:
    """It is not found a second time; what the API itself has named is never disowned."""
    found = lifecycle.note_sent(part(PartState.SENDING, lost_at=NOW), "theirs", NOW, is_found=True)
    disowned = lifecycle.disown(found)
    assert (disowned.state, disowned.not_ours, disowned.api_id) == (PartState.SENDING, ("theirs",), "")
    named = lifecycle.note_sent(part(PartState.SENDING), "ours", NOW)
    assert lifecycle.disown(named) == named


def test_a_part_is_divided_at_a_line() -> None:
    """Both have their lines, to be composed anew; a part that was sent stays whole."""
    first, rest = lifecycle.divide(part(PartState.COMPOSED, numbers="0-2,7-8"), 4, "9", NOW)
    assert (first.numbers, first.state, first.lines) == ("0-2,7", PartState.ALLOTTED, 4)
    assert rest is not None and (rest.id, rest.numbers, rest.lines) == ("9", "8", 1)
    for state in (PartState.SENDING, PartState.SENT, PartState.ENDED, PartState.ANSWERED):
        assert lifecycle.divide(part(state), 2, "9", NOW) == (part(state), None)


@given(st.sets(st.integers(0, 60_000), max_size=200))
def test_numbers_survive_their_spans(numbers: set[int]) -> None:
    """However they lie."""
    found = part(numbers=spans_of(sorted(numbers)), lines=len(numbers))
    assert list(found.line_numbers) == sorted(numbers)


def test_the_hash_is_read_as_it_was_written() -> None:
    """All fields, in the order in which parts were made."""
    parts = [part(id="10", not_ours=("a", "b"), sent_at=NOW), part(id="9", state=PartState.SENT)]
    data = {name.encode(): str(value).encode() for name, value in fields_of(parts, 11).items()}
    assert parts_of(data) == Parts({"9": parts[1], "10": parts[0]}, 11)


def test_ids_of_requests_are_what_the_api_takes() -> None:
    """Letters, digits and `-`, 64 at most for any batch; and they say whose they are."""
    longest = request_id(BATCH, "999999", 49_999, 127)
    assert len(longest) <= 64 and longest.replace("-", "").isalnum()
    assert read_request_id(longest) == (request_prefix(BATCH, "999999"), 49_999, 127)
    assert read_request_id("theirs") is None


def running(**fields: Any) -> BatchRecord:
    return batch(BatchStatus.IN_PROGRESS, total=9, **fields)


def test_lines_are_allotted_once() -> None:
    """They move the counter and make a part; again, or for lines that another has, `NotFed`."""
    change = batch_lifecycle.allot(Found(running(fed=2), NOW), [2, 3, 4], fed=2, again=False)
    assert changed(change) == {"fed": 5}
    assert [one.numbers for one in change.parts.values() if one is not None] == ["2-4"]
    with pytest.raises(NotFed):
        batch_lifecycle.allot(Found(change.after, NOW), [2, 3, 4], fed=2, again=False)
    with pytest.raises(NotFed):
        batch_lifecycle.allot(Found(running(fed=5), NOW, again={7}), [7, 8], fed=5, again=True)


def test_answers_of_parts_take_nothing_of_the_workers() -> None:
    known = part(PartState.ANSWERED, answers_bytes=100)
    found = Found(running(input_tokens=10, part_tokens=4), NOW, parts=Parts({"3": known}, 4))
    line = Ended(LineEnd.COMPLETED, b"", {"prompt_tokens": 30, "completion_tokens": 5})
    taken = PartAnswers(60, [(1, line), (2, line)], {}, [])
    after = counting.collect_part(found, found.record, known, taken, {}, offline=False).after
    assert (after.used_tokens, after.part_tokens, after.served_tokens) == (80, 74, 6)


def test_answers_are_collected_once() -> None:
    """A step that is decided again finds that the part has moved on, or is gone."""
    known = part(PartState.ANSWERED, answers_bytes=100)
    found = Found(running(), NOW, parts=Parts({"3": known}, 4))
    taken = PartAnswers(60, [], {1: LineRuns(attempts=1), 2: LineRuns()}, [])
    change = counting.collect_part(found, found.record, known, taken, {}, offline=False)
    after = change.parts["3"]
    assert after is not None and (after.collected_bytes, after.collected) == (60, 2)
    assert (set(change.again), dict(change.runs)) == ({1, 2}, {1: LineRuns(attempts=1)})
    moved = Found(running(), NOW, parts=Parts({"3": after}, 4))
    assert is_nothing(counting.collect_part(moved, found.record, known, taken, {}, offline=False))
    last = PartAnswers(100, [], {}, [])
    assert counting.collect_part(moved, found.record, after, last, {}, offline=False).parts == {"3": None}
    gone = Found(running(), NOW)
    assert is_nothing(counting.collect_part(gone, found.record, after, last, {}, offline=False))


def test_what_was_sent_is_not_withdrawn() -> None:
    """Of two parts the one that was not sent goes, and its lines are fed again."""
    unsent, sent = part(id="1", numbers="0-1", lines=2), part(PartState.SENT, id="2", numbers="2-3", lines=2)
    found = Found(running(fed=4), NOW, parts=Parts({"1": unsent, "2": sent}, 3))
    change = batch_lifecycle.withdraw_parts(found, ["1", "2"])
    assert (change.parts, list(change.again)) == ({"1": None}, [0, 1])
