"""A batch that names an earlier one: what that has answered is copied, and the rest runs."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from app import errors, hashes
from app.batches import eta, report
from app.batches.endpoints import RESPONSES
from app.batches.feeder import Feeder
from app.batches.file_record import Purpose
from app.batches.record import BatchStatus, Hold, batch_key
from app.batches.retry import retry_failed
from app.batches.storage import names
from app.batches.store import NewBatch
from app.error_codes import ErrorCode
from app.errors import ErrorReply
from app.jobs import transitions
from app.outcome import Outcome
from app.ways import Way
from tests.integration.batches.conftest import USAGE, Night, line

if TYPE_CHECKING:
    from app.batches.record import BatchRecord

Lines = list[dict[str, Any]]


def answered(night: Night, batch: BatchRecord, text: str = "first", usd: str = "0.25") -> BatchRecord:
    """The batch after all that is started was answered, each line by its `custom_id` and the text."""
    batch = night.look(batch)
    while night.queued():
        _, record = taken = night.take()
        name = record.metadata["custom_id"]
        body = {"id": record.id, "object": "chat.completion", "choices": [f"{text} {name}"], "usage": USAGE}
        publish(night, taken, Outcome(body=body, headers={"x-nightshift-cost-usd": usd, "x-nightshift-way": "api"}))
        batch = night.look(batch)
    return night.look(night.look(batch))


def publish(night: Night, taken: Any, outcome: Outcome) -> None:
    transitions.publish(night.connection, night.settings, taken[0], outcome)


def first(night: Night, lines: Lines, **fields: Any) -> BatchRecord:
    batch = answered(night, night.start(lines, **fields))
    assert batch.status is BatchStatus.COMPLETED
    return batch


def again(night: Night, lines: Lines, since: BatchRecord, **metadata: str) -> BatchRecord:
    return night.start(lines, metadata={"since": since.id, **metadata})


def said(night: Night, batch: BatchRecord) -> dict[str, str]:
    """By `custom_id`, what the output has; each line once."""
    found = [(one["custom_id"], one["response"]["body"]["choices"][0]) for one in night.output(batch)]
    assert len(dict(found)) == len(found)
    return dict(found)


def asking(custom_id: str, text: str, **body: Any) -> dict[str, Any]:
    return line(custom_id, messages=[{"role": "user", "content": text}], **body)


def test_only_new_and_changed_lines_run(night: Night) -> None:
    old = first(night, [line("a"), line("b"), line("c")])
    batch = again(night, [line("a"), asking("b", "another question"), line("d"), line("c")], old)
    assert (batch.total, batch.completed, batch.copied) == (4, 2, 2)
    assert night.queued() == ["b", "d"]
    batch = answered(night, batch, "second")
    assert batch.status is BatchStatus.COMPLETED
    assert said(night, batch) == {"a": "first a", "c": "first c", "b": "second b", "d": "second d"}


def test_a_copied_line_says_so_and_costs_nothing(night: Night) -> None:
    old = first(night, [line("a"), line("b")])
    batch = answered(night, again(night, [asking("new name", "a"), line("x")], old), "second")
    copied, own = night.output(batch)
    before = next(one for one in night.output(old) if one["custom_id"] == "a")
    assert copied["custom_id"] == "new name"
    assert copied["id"] == f"batch_req_{batch.id.removeprefix('batch_')}_0"
    assert copied["response"] == before["response"]
    assert copied["nightshift"] == {"copied_from": old.id, "cost_usd": 0, "saved_usd": 0.25}
    assert "copied_from" not in own["nightshift"]
    assert (batch.cost_usd, batch.saved_usd, batch.input_tokens, batch.output_tokens) == (0.25, 0.25, 3, 5)


def test_a_batch_of_which_all_was_answered_asks_nobody(night: Night) -> None:
    old = first(night, [line("a"), line("b")])
    batch = again(night, [line("b"), line("a")], old)
    batch = night.look(night.look(batch))
    assert (batch.status, batch.completed, batch.cost_usd, batch.saved_usd) == (BatchStatus.COMPLETED, 2, 0, 0.5)
    assert batch.known_cost_usd() == 0
    # In the order of the new file.
    assert [one["custom_id"] for one in night.output(batch)] == ["b", "a"]


def test_lines_that_are_the_same_on_purpose_stay_as_many_as_they_are(night: Night) -> None:
    old = first(night, [asking("s1", "same"), asking("s2", "same")])
    batch = again(night, [asking(f"s{n}", "same") for n in (3, 2, 1, 4)], old)
    assert batch.copied == 2
    assert night.queued() == ["s3", "s4"]
    # Each answer once, and to the line of the same name.
    assert said(night, batch) == {"s2": "first s2", "s1": "first s1"}


def test_of_lines_with_other_names_each_gets_an_answer_of_its_own(night: Night) -> None:
    old = first(night, [asking(f"s{n}", "same") for n in range(3)])
    batch = again(night, [asking(f"t{n}", "same") for n in range(4)], old)
    assert said(night, batch) == {f"t{n}": f"first s{n}" for n in range(3)}
    assert night.queued() == ["t3"]


def test_what_failed_runs_again(night: Night) -> None:
    old = night.start([asking("a", "same"), asking("b", "same"), line("c")])
    publish(night, night.take(), Outcome(error=errors.internal()))
    old = answered(night, old)
    assert (old.completed, old.failed) == (2, 1)
    batch = again(night, [asking("a", "same"), asking("b", "same"), line("c")], old)
    assert night.queued() == ["a"]
    assert said(night, answered(night, batch, "second")) == {"b": "first b", "c": "first c", "a": "second a"}


@pytest.mark.parametrize(
    "body",
    [
        {"temperature": 0.5},
        {"model": "sonnet"},
        {"max_tokens": 5},
        {"messages": [{"role": "system", "content": "x"}, {"role": "user", "content": "a"}]},
        {"response_format": {"type": "json_object"}},
    ],
)
def test_any_difference_in_what_the_model_gets_is_another_request(body: dict[str, Any], night: Night) -> None:
    old = first(night, [line("a")])
    assert again(night, [line("a", **body)], old).copied == 0


def test_what_the_model_does_not_get_makes_no_difference(night: Night) -> None:
    old = first(night, [line("a", metadata={"run": "1"}, user="me")])
    # `gpt-4o-mini` means `haiku`; the order of fields means nothing.
    body = {"messages": [{"content": "a", "role": "user"}], "service_tier": "flex", "model": "gpt-4o-mini"}
    batch = again(night, [{**line("a"), "body": body}], old)
    assert batch.copied == 1


def test_a_schema_whose_properties_have_another_order_is_another_request(night: Night) -> None:
    def shaped(*properties: str) -> dict[str, Any]:
        schema = {"type": "object", "properties": {name: {"type": "string"} for name in properties}}
        return line("a", response_format={"type": "json_schema", "json_schema": {"name": "s", "schema": schema}})

    old = first(night, [shaped("why", "answer")])
    assert again(night, [shaped("answer", "why")], old).copied == 0
    assert again(night, [shaped("why", "answer")], old).copied == 1


def test_an_answer_by_another_model_under_the_same_name_is_not_copied(night: Night) -> None:
    old = night.start([line("a")])
    publish(night, night.take(), Outcome(body={"id": "x", "model": "claude-opus-5-5", "choices": [], "usage": USAGE}))
    old = answered(night, old)
    assert again(night, [line("a")], old).copied == 0


def test_copies_of_copies_name_the_batch_that_paid(night: Night) -> None:
    old = first(night, [line("a")])
    second = answered(night, again(night, [line("a"), line("b")], old), "second")
    third = answered(night, again(night, [line("a"), line("b")], second))
    assert [one["nightshift"]["copied_from"] for one in night.output(third)] == [old.id, second.id]
    assert third.saved_usd == 0.5


def test_the_earlier_batch_may_be_gone_by_then(night: Night) -> None:
    """Its files have a second name from the first moment on."""
    old = first(night, [line("a"), line("b")])
    uploaded = night.upload(b"".join(json.dumps(line(name)).encode() + b"\n" for name in "abc"))
    made = night.batches.create(NewBatch(input_file_id=uploaded, endpoint=old.endpoint, metadata={"since": old.id}))
    night.batches.files.delete(old.output_file)
    night.batches.storage.remove_folder(old.id)
    batch = night.look(made)
    assert said(night, batch) == {"a": "first a", "b": "first b"}
    # Once copied, they are gone for good.
    assert list(night.batches.storage.find(f"{batch.id}/since")) == []


def test_of_a_batch_that_was_cancelled_what_it_answered_counts(night: Night) -> None:
    old = night.start([line(f"c{n}") for n in range(9)])
    for _ in range(3):
        night.answer(Outcome(body={"id": "x", "choices": ["yes"], "usage": USAGE}))
    night.batches.cancel(old.id)
    for _ in range(3):
        old = night.look(old)
    assert (old.status, old.completed) == (BatchStatus.CANCELLED, 3)
    batch = again(night, [line(f"c{n}") for n in range(9)], old)
    # Nobody knows what these had cost.
    assert (batch.copied, batch.known_savings_usd(), batch.saved_unpriced) == (3, None, 3)
    assert answered(night, batch).status is BatchStatus.COMPLETED


def test_of_a_batch_that_runs_what_it_has_answered_so_far_counts(night: Night) -> None:
    old = night.start([line("a"), line("b")])
    night.answer()
    old = night.look(old)
    batch = again(night, [line("a"), line("b")], old)
    assert batch.copied == 1
    # Both run on, and neither disturbs the other.
    while night.queued():
        night.answer()
        night.look(old)
    for one in (old, batch):
        ended = night.look(night.look(one))
        assert sorted(found["custom_id"] for found in night.output(ended)) == ["a", "b"]


def test_lines_are_tried_among_those_that_run(night: Night) -> None:
    old = first(night, [line(f"c{n}") for n in range(10)])
    batch = answered(night, again(night, [line(f"c{n}") for n in range(30)], old, **{"try": "5"}), "second")
    assert (batch.held, batch.copied, batch.completed, batch.fed) == (Hold.TRIED, 10, 15, 15)
    night.batches.go_on(batch.id)
    batch = answered(night, batch, "second")
    assert (batch.status, len(said(night, batch))) == (BatchStatus.COMPLETED, 30)


def test_copied_lines_use_up_no_budget(night: Night) -> None:
    old = first(night, [line(f"c{n}") for n in range(10)])
    batch = answered(night, again(night, [line(f"c{n}") for n in range(30)], old, max_cost="2.5"))
    assert (batch.held, batch.copied, batch.completed, batch.cost_usd) == (Hold.BUDGET, 10, 20, 2.5)


def test_a_batch_that_is_cancelled_keeps_what_was_copied_and_names_the_rest(night: Night) -> None:
    old = first(night, [line("a"), line("b")])
    batch = again(night, [line("a"), line("x"), line("b"), line("y")], old)
    night.batches.cancel(batch.id)
    for _ in range(3):
        batch = night.look(batch)
    assert (batch.status, batch.completed, batch.unrun) == (BatchStatus.CANCELLED, 2, 2)
    assert sorted(said(night, batch)) == ["a", "b"]
    assert sorted(one["custom_id"] for one in night.output(batch, errors=True)) == ["x", "y"]


def test_one_that_is_cancelled_before_it_was_looked_at_copies_all_the_same(night: Night) -> None:
    old = first(night, [line("a")])
    uploaded = night.upload(b"".join(json.dumps(line(name)).encode() + b"\n" for name in "xa"))
    batch = night.batches.create(NewBatch(input_file_id=uploaded, endpoint=old.endpoint, metadata={"since": old.id}))
    night.batches.cancel(batch.id)
    for _ in range(4):
        batch = night.look(batch)
    assert (batch.status, batch.completed, batch.unrun) == (BatchStatus.CANCELLED, 1, 1)


def test_a_file_with_a_fault_copies_nothing(night: Night) -> None:
    old = first(night, [line("a")])
    batch = again(night, [line("a"), line("a")], old)
    assert (batch.status, batch.completed, batch.copied, batch.output_bytes) == (BatchStatus.FAILED, 0, 0, 0)
    assert night.batches.storage.size(names.stored_file(batch.output_file)) is None


def test_a_line_that_is_refused_is_not_copied_and_the_others_are(night: Night) -> None:
    old = first(night, [line("a"), line("b")])
    batch = again(night, [line("bad", temperature=9), line("b"), line("a")], old)
    batch = night.look(night.look(batch))
    assert (batch.status, batch.completed, batch.failed, batch.copied) == (BatchStatus.COMPLETED, 2, 1, 2)


#: a feeder that is killed at its so manyth call of something
FEEDER = """
import importlib, os, signal, sys
from pathlib import Path
from app.batches.feeder import Feeder
from app.connection import connect
from app.parent import die_with_parent
from app.settings import Settings

die_with_parent()
url, data_dir, module, owner, name, number = sys.argv[1:]
owner = getattr(importlib.import_module(module), owner)
plain, left = getattr(owner, name), int(number)

def dies(*given, **named):
    global left
    left -= 1
    if not left:
        os.kill(os.getpid(), signal.SIGKILL)
    return plain(*given, **named)

setattr(owner, name, dies)
feeder = Feeder(connect(url), Settings(data_dir=Path(data_dir), redis_url=url))
while True:
    feeder.run_once()
"""


@pytest.mark.parametrize(
    ("where", "number"),
    [
        pytest.param("app.batches.since Copying _note_answer", 7, id="while the earlier batch is read"),
        pytest.param("app.batches.since Done add", 7, id="in the middle of the copies"),
        pytest.param("app.batches.storage.local_disk LocalDisk keep", 1, id="before the output is there"),
        pytest.param("app.batches.storage.local_disk LocalDisk keep", 2, id="after it, before the rest"),
        pytest.param("app.batches.steps Steps do", 1, id="before all of it counts"),
        pytest.param("app.batches.storage.local_disk LocalDisk remove", 2, id="after that, while it tidies"),
    ],
)
def test_who_dies_while_it_copies_leaves_each_line_once(where: str, number: int, night: Night) -> None:
    old = first(night, [line(f"c{n}") for n in range(20)])
    uploaded = night.upload(b"".join(json.dumps(line(f"c{n}")).encode() + b"\n" for n in range(25)))
    batch = night.batches.create(
        NewBatch(input_file_id=uploaded, endpoint=old.endpoint, metadata={"since": old.id, "try": "2"})
    )
    night.feeder.close()
    given = [night.settings.redis_url or "", str(night.settings.data_dir), *where.split(), str(number)]
    environ = {name: os.environ[name] for name in ("PATH", "PYTHONPATH") if name in os.environ}
    died = subprocess.run([sys.executable, "-c", FEEDER, *given], env=environ, timeout=60, check=False)
    assert died.returncode == -signal.SIGKILL
    night.connection.delete(night.lease)
    night.feeder = Feeder(night.connection, night.settings)
    batch = answered(night, batch, "second")
    assert (batch.held, batch.copied, batch.completed) == (Hold.TRIED, 20, 22)
    night.batches.go_on(batch.id)
    batch = answered(night, batch, "second")
    assert (batch.status, batch.completed, batch.saved_usd) == (BatchStatus.COMPLETED, 25, 5)
    expected = {f"c{n}": f"{'first' if n < 20 else 'second'} c{n}" for n in range(25)}
    assert said(night, batch) == expected
    # What the dead one left of drafts goes later; its batch's files are whole.
    assert night.batches.storage.size(names.stored_file(batch.output_file)) == batch.output_bytes


def test_the_report_is_of_what_ran_and_says_what_was_saved(night: Night) -> None:
    old = first(night, [line(f"c{n}") for n in range(10)])
    batch = answered(night, again(night, [line(f"c{n}") for n in range(30)], old, **{"try": "5"}), "second")
    ways = report.Given(ways=[Way.API], workers=1)
    found = report.of_batch(night.connection, night.batches.storage, batch, ways)
    assert (found.completed, found.copied, found.since, found.saved_usd, found.left) == (15, 10, old.id, 2.5, 15)
    assert found.missing == [one for one in found.missing if "written down" not in one]
    assert sum(found.curve.completed) == 5
    assert found.forecast is not None
    assert (found.forecast.tried, found.forecast.requests) == (5, 15)
    assert found.forecast.cost_usd["api"].likely == pytest.approx(15 * 0.25)
    # A line is as large as those five were, and so is the time until it is done.
    assert batch.line_tokens == (USAGE["prompt_tokens"] + USAGE["completion_tokens"])  # type: ignore[operator]
    assert eta.done_at(replace(batch, held=""), 100.0, "", 1000.0, 1000.0) == pytest.approx(1000 + 15 * 100 / 5)


def test_what_failed_is_tried_again_without_the_earlier_batch(night: Night) -> None:
    old = first(night, [line("a")])
    batch = again(night, [line("a"), line("b")], old)
    publish(night, night.take(), Outcome(error=errors.internal()))
    for _ in range(3):
        batch = night.look(batch)
    night.batches.files.delete(old.output_file)
    assert "since" not in retry_failed(night.batches, night.settings, batch.id).metadata


def refused(night: Night, since: str, **fields: Any) -> ErrorReply:
    with pytest.raises(ErrorReply) as found:
        night.start([line("a")], metadata={"since": since}, **fields)
    assert (found.value.status, found.value.param) == (400, "metadata.since")
    return found.value


def test_a_batch_that_can_not_be_copied_from_is_a_400_that_says_why(night: Night) -> None:
    old = first(night, [line("a")])
    assert refused(night, "batch_" + "0" * 32).code == ErrorCode.BATCH_NOT_FOUND
    assert refused(night, "yesterday").code == ErrorCode.BATCH_NOT_FOUND
    waiting = night.start([line("b")])
    assert "no answer yet" in refused(night, waiting.id).message
    night.connection.hset(batch_key(old.id), "offline", hashes.to_text(True))
    assert "simulated" in refused(night, old.id).message
    night.connection.hset(batch_key(old.id), mapping={"endpoint": RESPONSES, "offline": hashes.to_text(False)})
    assert RESPONSES in refused(night, old.id).message
    night.connection.hset(batch_key(old.id), mapping={"endpoint": old.endpoint, "place": "0" * 32})
    assert refused(night, old.id).code == ErrorCode.FILES_ELSEWHERE
    night.connection.hset(batch_key(old.id), "place", old.place)
    # Its bytes go a little later.
    night.connection.hset(f"nightshift:file:{old.output_file}", "expires_at", "1000")
    assert "deleted or has expired" in refused(night, old.id).message
    night.batches.files.delete(old.output_file)
    assert "deleted or has expired" in refused(night, old.id).message
    assert not [name for name, _ in night.batches.storage.find("files/") if "part-" in name]


def test_anothers_batch_is_none(night: Night) -> None:
    old = first(night, [line("a")])
    draft = night.batches.files.draft()
    draft.write(json.dumps(line("a")).encode() + b"\n")
    theirs = night.batches.files.keep(draft, filename="x.jsonl", purpose=Purpose.BATCH, owner="key_2")
    new = NewBatch(input_file_id=theirs.id, endpoint=old.endpoint, metadata={"since": old.id})
    # Neither for its own key nor for one that sees all: answers do not go from one to another.
    for owner in ("key_2", None):
        with pytest.raises(ErrorReply) as found:
            night.batches.create(replace(new, owner=owner))
        assert found.value.code == ErrorCode.BATCH_NOT_FOUND
