"""A batch's life on a real Redis: bounded in the queue, fair, and each line in the output exactly once."""

from __future__ import annotations

import json
import time
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from redis import Redis

from app import errors, ways, worker_status
from app.batches import capacity, counting, leadership, lifecycle, output, queueing
from app.batches import collector as collecting
from app.batches.capacity import LINES_PER_WORKER
from app.batches.feeder import Feeder
from app.batches.leadership import NotLeader
from app.batches.record import BatchStatus, batch_key, line_id
from app.batches.storage import names
from app.batches.store import Batches, NewBatch
from app.batches.validation import read_faults
from app.connection import texts
from app.gate import Cause
from app.jobs import recovery, tickets, transitions
from app.jobs.change import LeaseLost, Requeue
from app.jobs.record import WAYS_VERSION, JobRecord, Status
from app.jobs.store import Jobs
from app.outcome import Outcome
from app.scopes import Lot
from app.ways import Way
from app.worker_status import WorkerState, WorkerStatus
from tests.fake_worker import completion
from tests.integration.batches.conftest import line

if TYPE_CHECKING:
    from pathlib import Path

    from tests.integration.batches.conftest import Night


def closed_now() -> str:
    """A window that opens in an hour or two."""
    hour = time.gmtime().tm_hour
    return f"{(hour + 2) % 24:02}:00-{(hour + 3) % 24:02}:00 UTC"


def test_what_nobody_knows_the_cost_of_is_not_free(night: Night) -> None:
    """Answers without a cost are counted, and the known costs of the others are the batch's; without any there is none."""
    batch = night.start([line("a"), line("b")])
    night.answer(Outcome(body={"id": "x", "usage": {}}))
    batch = night.look(batch)
    assert (batch.known_cost_usd(), batch.unpriced) == (None, 1)
    night.answer()
    batch = night.look(batch)
    assert (batch.known_cost_usd(), batch.unpriced) == (0.5, 1)
    assert [one.cost_usd for one in night.line_stats(batch)] == [None, 0.5]


def test_a_batch_from_file_to_output(night: Night) -> None:
    """Lines are queued, answered, collected in the files, counted, and nothing of their jobs stays in Redis."""
    batch = night.start([line("a"), line("b"), line("c")])
    assert (batch.status, batch.total, night.queued()) == (BatchStatus.IN_PROGRESS, 3, ["a", "b", "c"])
    night.answer()
    night.answer(Outcome(error=errors.invalid_request("no", "messages")))
    batch = night.look(batch)
    assert [one["custom_id"] for one in night.output(batch)] == ["a"]
    night.answer()
    batch = night.look(batch)
    assert batch.status is BatchStatus.COMPLETED
    assert (batch.completed, batch.failed, batch.unrun) == (2, 1, 0)
    assert (batch.input_tokens, batch.output_tokens, batch.cached_tokens, batch.reasoning_tokens) == (6, 10, 2, 4)
    assert batch.cost_usd == 1.0
    assert [one["custom_id"] for one in night.output(batch)] == ["a", "c"]
    (failed,) = night.output(batch, errors=True)
    assert (failed["response"]["status_code"], failed["response"]["body"]["error"]["param"]) == (400, "messages")
    first, second, _ = night.line_stats(batch)
    assert (first.kind, first.worker, first.attempts) == ("completed", "w1", 1)
    assert (first.input_tokens, first.output_tokens, first.cost_usd) == (3, 5, 0.5)
    assert first.queued_seconds is not None and first.run_seconds is not None
    assert (second.number, second.kind, second.cause) == (1, "failed", "invalid_request_error")
    assert night.connection.keys("*batch_req*") == []
    assert night.connection.keys("nightshift:yielding") == []
    known = night.batches.files.get(batch.output_file)
    assert known is not None and known.bytes == batch.output_bytes


def test_a_bounded_number_is_in_the_queue(night: Night) -> None:
    """However large the batch, the queue holds the bound; each that ends makes room for one."""
    batch = night.start([line(str(n)) for n in range(100)])
    assert len(night.queued()) == LINES_PER_WORKER
    for _ in range(3):
        night.answer()
    batch = night.look(batch)
    assert (len(night.queued()), batch.fed, batch.completed) == (LINES_PER_WORKER, 7, 3)


def test_bodies_that_are_refused_are_400s_in_the_error_file(night: Night) -> None:
    """They cost nobody else a run: each is in the error file as the request by itself would be answered, and counted once."""
    sent = [line(str(n), **({"logprobs": True} if n % 3 == 0 else {})) for n in range(30)]
    batch = night.start(sent)
    assert (batch.status, batch.refused, batch.failed) == (BatchStatus.IN_PROGRESS, 10, 2)
    while batch.status is not BatchStatus.COMPLETED:
        night.answer()
        batch = night.look(batch)
    assert (batch.completed, batch.failed) == (20, 10)
    named = night.output(batch, errors=True)
    assert [one["custom_id"] for one in named] == [str(n) for n in range(0, 30, 3)]
    for one in named:
        assert (one["error"], one["response"]["status_code"]) == (None, 400)
        error = one["response"]["body"]["error"]
        assert (error["code"], error["param"]) == ("unsupported_parameter", "logprobs")
    assert sorted(one.number for one in night.line_stats(batch)) == list(range(30))


def test_thousands_of_refused_bodies_take_no_worker_and_few_looks(night: Night) -> None:
    """They are written together, not one a look."""
    batch = night.start([line(str(n), logprobs=True) for n in range(3000)])
    looks = 0
    while batch.status is not BatchStatus.COMPLETED:
        batch, looks = night.look(batch), looks + 1
    assert (batch.failed, batch.completed, night.queued()) == (3000, 0, [])
    assert looks < 30


def test_a_feeder_that_dies_among_refused_bodies_loses_none(night: Night, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is not in the error file yet is noted as without an outcome, and the next feeder writes it."""

    def die(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as broken:
        broken.setattr(collecting.Collector, "refuse", die)
        with pytest.raises(KeyboardInterrupt):
            night.start([line("bad", logprobs=True), line("good")])
    (batch,) = night.batches.active()
    night.look(batch)
    assert night.answer() == "good"
    batch = night.look(batch)
    assert (batch.status, batch.completed, batch.failed) == (BatchStatus.COMPLETED, 1, 1)
    assert [one["custom_id"] for one in night.output(batch, errors=True)] == ["bad"]


def test_a_strict_batch_fails_for_one_refused_body(night: Night) -> None:
    """With `on_bad_line: fail` in its metadata nothing runs, and the fault is named with its line."""
    batch = night.start([line("a"), line("b", logprobs=True)], metadata={"on_bad_line": "fail"})
    assert (batch.status, batch.faults, night.queued()) == (BatchStatus.FAILED, 1, [])
    (fault,) = read_faults(night.batches.storage, batch.id, 9)
    assert (fault["line"], fault["param"]) == (2, "body.logprobs")


def test_no_answer_breaks_its_line(night: Night) -> None:
    """What Python and OpenAI's own client take for the end of a line is escaped in both files; all else is as it came."""
    text = "a\x85b\u2028c\u2029d\x0b\x1c ü \U0001f600"
    batch = night.start([line("a"), line("b")])
    night.answer(Outcome(body=completion("any", text)))
    night.answer(Outcome(error=errors.invalid_request(text)))
    batch = night.look(batch)
    for file_id in (batch.output_file, batch.error_file):
        (only,) = night.path(names.stored_file(file_id)).read_text().splitlines()
        body = json.loads(only)["response"]["body"]
        assert text == (body["choices"][0]["message"]["content"] if "choices" in body else body["error"]["message"])
        assert "ü" in only


def a_worker(night: Night, name: str, state: WorkerState = WorkerState.IDLE) -> None:
    worker_status.write(night.connection, WorkerStatus(name=name, state=state))


def test_a_reserve_keeps_workers_free_of_lines(night: Night, monkeypatch: pytest.MonkeyPatch) -> None:
    """With a reserve as many lines are in flight as there are workers beyond it, those that wait out a delay among them."""
    monkeypatch.setattr(capacity, "COUNT_SECONDS", 0.0)
    for name in ("w1", "w2", "w3"):
        a_worker(night, name)
    a_worker(night, "w4", WorkerState.UNAVAILABLE)
    reserving = Feeder(night.connection, replace(night.settings, reserve=1))
    batch = replace(night, feeder=reserving).start([line(str(n)) for n in range(9)])
    assert night.queued() == ["0", "1"]
    lease, _ = night.take()
    transitions.requeue(night.connection, night.settings, lease, Requeue("overloaded", counts=False, delay_seconds=600))
    reserving.run_once()
    assert night.queued() == ["1"]
    night.answer()
    recovery.release_worker(night.connection, night.settings, "w3")
    reserving.run_once()
    assert (night.queued(), night.batches.require(batch.id).completed) == ([], 1)
    a_worker(night, "w5")
    reserving.run_once()
    assert night.queued() == ["2"]
    reserving.close()


def test_a_reserve_of_all_workers_starts_no_line(night: Night, caplog: pytest.LogCaptureFixture) -> None:
    """Nothing is fed, and the log says why."""
    a_worker(night, "w1")
    reserving = Feeder(night.connection, replace(night.settings, reserve=1))
    replace(night, feeder=reserving).start([line("a")])
    assert night.queued() == []
    assert "there is no worker beyond NIGHTSHIFT_RESERVE=1" in caplog.text
    reserving.close()


def test_a_small_batch_is_not_behind_a_huge_one(night: Night) -> None:
    """Lines that become free go to the batch that has had the fewest tokens."""
    huge = night.start([line(f"huge-{n}") for n in range(100)])
    small = night.start([line("small-1"), line("small-2")])
    for _ in range(4):
        night.answer()
    night.look(huge)
    assert {"small-1", "small-2"} <= set(night.queued())
    answered = [night.answer() for _ in range(4)]
    assert {"small-1", "small-2"} <= set(answered)
    assert night.look(small).status is BatchStatus.COMPLETED


def test_lines_that_are_parked_take_no_room(night: Night) -> None:
    """A batch whose model is limited has few lines out of its file, another batch as many in the queue as ever, also with a reserve."""
    lot = Lot("opus", (Way.CLI,))
    for name in ("w1", "w2", "w3"):
        worker_status.write(night.connection, WorkerStatus(name=name, state=WorkerState.IDLE))
    settings = replace(night.settings, reserve=1)
    feeder = Feeder(night.connection, settings)
    night.feeder.close()
    night.feeder = feeder
    limited = night.start([line(f"opus-{n}", model="opus") for n in range(20)])
    assert night.queued() == ["opus-0", "opus-1"]
    for job_id in tickets.queue(night.connection).get_job_ids():
        transitions.park(night.connection, job_id, lot, Cause.USAGE_LIMIT)
    other = night.start([line(f"sonnet-{n}", model="sonnet") for n in range(4)])
    for number in range(4):
        night.look(other)
        assert night.queued()[0] == f"sonnet-{number}"
        night.answer()
    assert night.look(other).status is BatchStatus.COMPLETED
    assert (night.queued(), night.look(limited).fed) == ([], 2)
    transitions.unpark(night.connection, lot, 100)
    night.look(limited)
    assert night.queued() == ["opus-0", "opus-1"]


def test_lines_of_flex_that_are_parked_hold_no_others(night: Night) -> None:
    """They wait for the cheap way, and the others of their batch are fed; of `flex` alone only as many as may be in flight."""
    lot = Lot("opus", (Way.CLI,))
    batch = night.start([line(f"{n}", model="opus", **({} if n % 2 else {"service_tier": "flex"})) for n in range(20)])
    answered = []
    for _ in range(40):
        night.look(batch)
        if not night.queued():
            break
        if int(night.queued()[0]) % 2:
            answered.append(int(night.answer()))
        else:
            transitions.park(night.connection, tickets.queue(night.connection).get_job_ids()[0], lot, Cause.USAGE_LIMIT)
    assert answered == [*range(1, 20, 2)]
    assert night.connection.zcard(lot.key) == 10


def test_of_a_batch_that_is_all_parked_few_lines_are_fed(night: Night) -> None:
    """As many as may be in flight, however often it is looked at."""
    lot, most = Lot("opus", (Way.CLI,)), 5 * LINES_PER_WORKER
    batch = night.start([line(f"{n}", model="opus", service_tier="flex") for n in range(3 * most)])
    for _ in range(20):
        for job_id in tickets.queue(night.connection).get_job_ids():
            transitions.park(night.connection, job_id, lot, Cause.USAGE_LIMIT)
        night.look(batch)
    assert most <= night.connection.zcard(lot.key) < most + LINES_PER_WORKER


@pytest.mark.parametrize("end", ["cancel", "window"])
def test_parked_lines_end_or_go_back_to_their_file(night: Night, monkeypatch: pytest.MonkeyPatch, end: str) -> None:
    """With the batch, or when its window closes; nothing of them is left among what is parked."""
    lot = Lot("opus", (Way.CLI,))
    batch = night.start([line(f"opus-{n}", model="opus") for n in range(3)])
    for job_id in tickets.queue(night.connection).get_job_ids():
        transitions.park(night.connection, job_id, lot, Cause.USAGE_LIMIT)
    assert night.connection.zcard(lot.key) == 3
    if end == "cancel":
        night.batches.cancel(batch.id)
    else:
        monkeypatch.setattr(queueing, "is_open", lambda *_: False)
    ended = night.look(batch)
    assert night.connection.zcard(lot.key) == 0
    assert ended.status is (BatchStatus.CANCELLED if end == "cancel" else BatchStatus.IN_PROGRESS)
    if end == "window":
        monkeypatch.undo()
        night.look(batch)
        assert night.queued() == ["opus-0", "opus-1", "opus-2"]


def test_interactive_requests_go_before_lines(night: Night) -> None:
    """A request of a client is put before the lines that wait, behind other clients' requests; a retried line is not."""
    night.start([line("a"), line("b")])
    jobs = Jobs(night.connection, night.settings)
    for name in ("first", "second"):
        record = JobRecord(
            id=f"chatcmpl-{name}",
            kind="chat.completion",
            status=Status.QUEUED,
            model="haiku",
            created_at=time.time(),
            deadline_at=time.time() + 60,
            metadata={"custom_id": name},
        )
        jobs.submit(record, {})
    assert night.queued() == ["first", "second", "a", "b"]
    for _ in range(2):
        night.take()
    lease, _ = night.take()
    transitions.requeue(
        night.connection, night.settings, lease, Requeue("overloaded", counts=False, delay_seconds=0.01)
    )
    transitions.requeue_ticket(night.connection, lease.job_id)
    assert night.queued() == ["b", "a"]


def test_what_was_not_counted_is_written_again_not_twice(night: Night, monkeypatch: pytest.MonkeyPatch) -> None:
    """A feeder that dies between the file and Redis leaves bytes that the next one replaces."""
    batch = night.start([line("a"), line("b")])
    night.answer()

    def die(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as broken:
        broken.setattr(counting, "collected", die)
        with pytest.raises(KeyboardInterrupt):
            night.feeder.run_once()
    assert len(night.output(batch)) == 1
    night.feeder.close()
    night.connection.delete(night.lease)
    with Redis.from_url(night.settings.redis_url or "") as other:
        successor = Feeder(other, night.settings)
        night.answer()
        successor.run_once()
        successor.close()
    ended = night.batches.require(batch.id)
    assert (ended.status, ended.completed) == (BatchStatus.COMPLETED, 2)
    assert sorted(one["custom_id"] for one in night.output(batch)) == ["a", "b"]
    assert sorted(one.number for one in night.line_stats(ended)) == [0, 1]


def test_a_batch_ends_though_its_statistics_are_gone(night: Night, monkeypatch: pytest.MonkeyPatch) -> None:
    """All its lines are in its files by then: only the report lacks them."""
    batch = night.start([line("a")])
    night.answer()

    def die(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as broken:
        broken.setattr(lifecycle, "end", die)
        with pytest.raises(KeyboardInterrupt):
            night.feeder.run_once()
    night.batches.storage.remove(names.line_stats(batch.id))
    ended = night.look(batch)
    assert (ended.status, ended.completed) == (BatchStatus.COMPLETED, 1)
    assert night.line_stats(ended) == []


def test_one_feeder_at_a_time(night: Night, monkeypatch: pytest.MonkeyPatch) -> None:
    """A second feeder does nothing while the first holds the lease, and changes nothing once it has lost it."""
    monkeypatch.setattr(leadership, "LEASE_SECONDS", 0.3)
    first = night.start([line(str(n)) for n in range(8)])
    second = Feeder(night.connection, night.settings)
    night.answer()
    second.run_once()
    assert night.batches.require(first.id).completed == 0
    night.connection.set(night.lease, "another")
    with pytest.raises(NotLeader):
        night.feeder._steps.do(first.id, lifecycle.finalize)
    second.close()


def test_another_machine_without_the_files_leaves_them_alone(night: Night, tmp_path: Path) -> None:
    """A supervisor whose data dir is another one never takes the lease."""
    night.start([line("a")])
    night.connection.delete(night.lease)
    stranger = Feeder(night.connection, replace(night.settings, data_dir=tmp_path / "elsewhere"))
    stranger.run_once()
    assert night.connection.get(night.lease) is None


def test_a_sleeper_can_not_write_into_its_successors_file(night: Night) -> None:
    """While a process that lost its lease still holds the lock on the disk, no other begins to write."""
    night.start([line("a")])
    night.connection.delete(night.lease)
    second = Feeder(night.connection, night.settings)
    assert not second._leadership.hold()
    night.feeder.close()
    assert second._leadership.hold()
    second.close()


def test_a_lost_job_is_run_again(night: Night) -> None:
    """A line whose job has vanished from Redis goes into the queue again and ends once."""
    batch = night.start([line("a")])
    night.connection.delete(f"nightshift:job:{line_id(batch.id, 0)}")
    night.look(batch)
    assert night.queued() == ["a"]
    night.answer()
    assert night.look(batch).status is BatchStatus.COMPLETED
    assert len(night.output(batch)) == 1


def test_a_cancel_names_what_never_ran(night: Night, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is done stays, a running line can publish nothing any more, and every other is named once."""
    monkeypatch.setattr(collecting, "_CHUNK", 7)
    batch = night.start([line(str(n)) for n in range(50)])
    night.answer()
    lease, _ = night.take()
    night.batches.cancel(batch.id)
    batch = night.look(batch)
    assert (batch.status, batch.completed, batch.unrun) == (BatchStatus.CANCELLED, 1, 49)
    with pytest.raises(LeaseLost):
        transitions.publish(night.connection, night.settings, lease, Outcome(body={}))
    named = night.output(batch, errors=True)
    assert sorted(int(one["custom_id"]) for one in named) == list(range(1, 50))
    assert {one["error"]["code"] for one in named} == {output.BATCH_CANCELLED}
    assert night.queued() == []
    assert night.connection.keys("*batch_req*") == []


def test_a_cancel_before_the_validation(night: Night) -> None:
    """A batch that is cancelled while it is validated runs nothing; its lines are counted and named all the same."""
    made = night.batches.create(
        NewBatch(input_file_id=night.upload(json.dumps(line("a")).encode()), endpoint="/v1/chat/completions")
    )
    night.batches.cancel(made.id)
    batch = night.look(made)
    assert (batch.status, batch.total, batch.unrun) == (BatchStatus.CANCELLED, 1, 1)
    assert [one["custom_id"] for one in night.output(batch, errors=True)] == ["a"]
    assert night.queued() == []


def test_an_expired_batch_keeps_what_is_done(night: Night) -> None:
    """At its end of time a batch is expired, with its partial output, and the rest named as expired."""
    batch = night.start([line(str(n)) for n in range(10)])
    night.answer()
    night.take()
    night.connection.hset(batch_key(batch.id), "expires_at", time.time() - 1)
    batch = night.look(batch)
    assert (batch.status, batch.completed, batch.unrun) == (BatchStatus.EXPIRED, 1, 9)
    assert {one["error"]["code"] for one in night.output(batch, errors=True)} == {output.BATCH_EXPIRED}


def test_the_event_is_stored_with_the_last_status(night: Night) -> None:
    """A batch with a callback has one event in the outbox once it has ended, and none before."""
    batch = night.start([line("a")], metadata={"callback_url": "http://127.0.0.1/hook"})
    assert night.connection.zcard("nightshift:events:due") == 0
    night.answer()
    night.look(batch)
    (event_id,) = texts(night.connection.zrange("nightshift:events:due", 0, -1))
    body = json.loads(night.connection.hget(f"nightshift:event:{event_id}", "body") or b"")
    assert (body["type"], body["data"]) == ("batch.completed", {"id": batch.id})


def test_bad_metadata_is_refused(night: Night) -> None:
    """A callback to a private address, and a window that is none, are refused at the creation."""
    file_id = night.upload(b"x")
    for metadata in ({"callback_url": "http://10.0.0.1/"}, {"batch_window": "at night"}, {"on_bad_line": "cry"}):
        with pytest.raises(errors.ErrorReply) as refused:
            night.batches.create(NewBatch(input_file_id=file_id, endpoint="/v1/chat/completions", metadata=metadata))
        assert refused.value.param == f"metadata.{next(iter(metadata))}"


def test_a_deleted_input_file_does_not_stop_its_batch(night: Night) -> None:
    """The batch has a link of its own to the bytes."""
    batch = night.start([line(str(n)) for n in range(20)])
    assert night.batches.files.delete(batch.input_file_id)
    for _ in range(20):
        night.answer()
        night.feeder.run_once()
    assert night.look(batch).status is BatchStatus.COMPLETED


def test_outside_its_window_nothing_is_fed(night: Night) -> None:
    """A batch whose window is closed waits, and another one does not."""
    night.start([line("later")], metadata={"batch_window": closed_now()})
    night.start([line("now")])
    assert night.queued() == ["now"]


def test_a_line_that_a_changed_setting_refuses_fails_alone(night: Night) -> None:
    """A model's name that was taken away after the validation is the error of its lines, and the batch ends."""
    old = replace(night.settings, model_map={"mine": "haiku"})
    with_name = Feeder(night.connection, replace(old, batch_window=closed_now()))
    made = night.batches.create(
        NewBatch(
            input_file_id=night.upload(json.dumps(line("a", model="mine")).encode()), endpoint="/v1/chat/completions"
        )
    )
    with_name.run_once()
    with_name.close()
    night.connection.delete(night.lease)
    batch = night.look(made)
    assert (batch.status, batch.failed) == (BatchStatus.COMPLETED, 1)
    assert night.output(batch, errors=True)[0]["response"]["body"]["error"]["code"] == "model_not_found"


def test_redis_does_not_grow_with_the_batch(night: Night) -> None:
    """The memory of a batch of ten thousand is that of a batch of a hundred."""

    def used(lines: int) -> int:
        night.connection.flushall()
        night.feeder.close()
        batch = night.start([line(str(n)) for n in range(lines)])
        while batch.status is BatchStatus.VALIDATING:
            batch = night.look(batch)
        return sum(int(night.connection.memory_usage(key) or 0) for key in night.connection.scan_iter("*"))

    assert used(10_000) < used(100) * 1.5


def test_when_the_window_closes_what_waits_goes_back(night: Night) -> None:
    """At the window's end the line that runs finishes, those that wait leave the queue, and come back at its next begin."""
    batch = night.start([line(str(n)) for n in range(6)])
    lease, running = night.take()
    night.connection.hset(batch_key(batch.id), "window", closed_now())
    night.look(batch)
    assert night.queued() == []
    transitions.publish(night.connection, night.settings, lease, Outcome(body={}))
    assert night.look(batch).completed == 1
    night.connection.hset(batch_key(batch.id), "window", "")
    while night.look(batch).status is not BatchStatus.COMPLETED:
        night.answer()
    assert sorted(one["custom_id"] for one in night.output(batch)) == [str(n) for n in range(6)]
    assert running.metadata["custom_id"] == "0"


def test_a_line_whose_choices_are_asked_for_has_begun(night: Night) -> None:
    """Its job stands in no queue, and yet it is not taken back when the window closes: its choices would be asked for again."""
    batch = night.start([line("several", n=2), line("waits")])
    lease, record = night.take()
    transitions.fan_out(night.connection, night.settings, lease, 2)
    night.connection.hset(batch_key(batch.id), "window", closed_now())
    night.look(batch)
    queued = tickets.queue(night.connection).get_job_ids()
    assert queued == [f"{record.id}-0", f"{record.id}-1"]
    for _ in queued:
        answer = Outcome(body=completion("any", "x"), headers={"x-nightshift-attempts": "1"})
        transitions.publish(night.connection, night.settings, night.take()[0], answer)
    assert night.look(batch).completed == 1
    (several,) = night.output(batch)
    assert len(several["response"]["body"]["choices"]) == 2
    (stats,) = night.line_stats(batch)
    assert (stats.worker, stats.attempts, stats.output_tokens) == ("", 1, 2)
    assert stats.run_seconds is not None


def test_a_window_that_closes_forgives_no_line(night: Night) -> None:
    """A line that ended workers, or was sent to Claude, last night has done so tonight: three deaths, N runs, not each night."""
    batch = night.start([line("poison"), line("once", max_attempts=2)])
    for _ in range(2):
        night.take("dead")
        recovery.release_worker(night.connection, night.settings, "dead")
    stopped, poison = night.take()
    assert (poison.metadata["custom_id"], poison.deaths) == ("poison", 2)
    lease, _ = night.take()
    transitions.note_sent(night.connection, lease)
    transitions.requeue(night.connection, night.settings, lease, Requeue("overloaded", counts=True, delay_seconds=600))
    transitions.requeue(night.connection, night.settings, stopped, Requeue("its worker was stopped", counts=False))
    night.connection.hset(batch_key(batch.id), "window", closed_now())
    night.look(batch)
    assert night.queued() == []
    night.connection.hset(batch_key(batch.id), "window", "")
    night.look(batch)
    assert night.queued() == ["poison", "once"]
    night.take("dead")
    recovery.release_worker(night.connection, night.settings, "dead")
    assert night.queued() == ["once"]
    lease, once = night.take()
    assert (once.sends, once.attempts) == (1, 2)
    transitions.note_sent(night.connection, lease)
    transitions.requeue(night.connection, night.settings, lease, Requeue("overloaded", counts=True))
    batch = night.look(batch)
    assert (batch.status, batch.completed, batch.failed) == (BatchStatus.COMPLETED, 0, 2)
    codes = {one["response"]["body"]["error"]["code"] for one in night.output(batch, errors=True)}
    assert codes == {"worker_died", "max_attempts_reached"}
    # Each run is counted once, and the one that ended its line has a length.
    dead = next(stats for stats in night.line_stats(batch) if stats.cause == "worker_died")
    assert dead.attempts == 3 and dead.run_seconds is not None
    assert night.connection.keys("nightshift:batch:*:*") == []


def test_a_batch_whose_files_are_gone_stops_nobody_and_keeps_its_answers(night: Night) -> None:
    """It fails as `files_lost`, and what it had of answers can be read; other batches go on."""
    gone = night.start([line(str(n)) for n in range(20)])
    for name in (names.batch_input(gone.id), names.line_index(gone.id)):
        night.batches.storage.remove(name)
    while night.queued():
        night.answer()
    other = night.start([line("other")])
    assert night.queued() == ["other"]
    lost = night.look(gone)
    assert (lost.status, lost.failure, lost.completed, lost.unrun) == (BatchStatus.FAILED, "files_lost", 4, 16)
    assert len(night.output(lost)) == 4
    assert night.batches.files.require(lost.output_file).bytes == lost.output_bytes
    night.answer()
    assert night.look(other).status is BatchStatus.COMPLETED


LADDER = ways.read("cli:subscription,batches,api")


def test_a_batch_names_its_way(night: Night) -> None:
    """Its lines take that one only, and no older worker takes them; without one the ladder's order holds."""
    settings = replace(night.settings, ways=LADDER)
    night.batches, night.feeder = Batches(night.connection, settings), Feeder(night.connection, settings)
    night.start([line("a")], metadata={"way": "api"})
    night.start([line("b")])
    found = {record.metadata["custom_id"]: record for _, record in (night.take(), night.take())}
    assert {name: record.way for name, record in found.items()} == {"a": "api", "b": ""}
    assert (found["a"].version, found["b"].version) == (WAYS_VERSION, 1)


@pytest.mark.parametrize("way", ["batches", "api", "carrier-pigeon", ""])
def test_a_batch_that_names_a_way_that_is_off_is_refused(night: Night, way: str) -> None:
    """With the metadata's name and the ways that there are."""
    with pytest.raises(errors.ErrorReply) as refused:
        night.start([line("a")], metadata={"way": way})
    found = refused.value
    assert (found.status, found.param, found.code) == (400, "metadata.way", "invalid_value")
    assert found.message == "'way' takes a way to Claude that NIGHTSHIFT_WAYS names: cli."


def test_a_lines_tier_is_kept(night: Night) -> None:
    """Whatever waits for it knows that the line takes the cheapest way."""
    night.start([line("a", service_tier="flex"), line("b")])
    tiers = {record.metadata["custom_id"]: record.service_tier for _, record in (night.take(), night.take())}
    assert tiers == {"a": "flex", "b": ""}


@pytest.mark.parametrize(("ladder", "queued"), [("api,batches", ["b"]), ("cli:subscription,batches,api", ["a", "b"])])
def test_a_line_that_takes_a_cheap_way_is_left_to_message_batches(night: Night, ladder: str, queued: list[str]) -> None:
    """Where no other way is cheap it is no worker's; beside a subscription it is."""
    night.feeder = Feeder(night.connection, replace(night.settings, ways=ways.read(ladder)))
    night.start([line("a", service_tier="flex"), line("b")])
    assert night.queued() == queued
