"""Every step in Redis that the product makes: what it finds, and how it is made. For `test_each_step.py`."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from app import errors, login_label, login_limits, spending, used_windows, worker_status
from app.api_keys import ApiKeys
from app.batches import pace
from app.batches.endpoints import CHAT_COMPLETIONS
from app.batches.feeder import Feeder
from app.batches.file_record import Purpose
from app.batches.leadership import Leadership, Role, lease_key
from app.batches.parts import entries
from app.batches.parts import lifecycle as part_lifecycle
from app.batches.parts.entries import Entry
from app.batches.parts.steps import PartSteps
from app.batches.record import ACTIVE, BATCH_RETENTION, KEEP_SECONDS, batch_key, line_id
from app.batches.storage import names
from app.batches.store import Batches, NewBatch
from app.connection import texts
from app.gate import Cause, Closed, Gate
from app.history import RecycleEvent, closings, recycling, sampling
from app.idempotency import by_key
from app.jobs import apply, deltas, lifecycle, recovery, removal, tickets, transitions
from app.jobs.change import Change, Found, Lease, Reason, Requeue
from app.jobs.record import JobRecord, Status, lease_member
from app.jobs.store import Jobs
from app.notices import outbox as notices
from app.notices.outbox import Notice, NoticeOutbox
from app.notices.rules import Kind as NoticeKind
from app.notices.scan import Scan
from app.notices.words import Message
from app.outcome import Outcome
from app.scopes import WHOLE, Lot
from app.ways import Step, Way
from app.webhooks import dispatch, outbox
from app.webhooks.endpoints import Endpoints
from app.webhooks.events import Event
from app.webhooks.outbox import Attempt, Outbox
from app.worker_status import WorkerState, WorkerStatus
from tests.fake_worker import FakeWorker
from workers.answer_cache import CachedAnswer

if TYPE_CHECKING:
    from collections.abc import Callable

    from redis import Redis
    from rq.job import Job

    from app.batches.record import BatchRecord
    from app.settings import Settings

JOB = "chatcmpl-1"
EXECUTION = "e" * 32
ANSWER = Outcome(body={"id": JOB, "usage": {"prompt_tokens": 3, "completion_tokens": 5}})


@dataclass
class Ground:
    """Where a step is made. `redis`: around the proxy, or through it."""

    redis: Redis
    settings: Settings

    @property
    def jobs(self) -> Jobs:
        return Jobs(self.redis, self.settings)

    @property
    def batches(self) -> Batches:
        return Batches(self.redis, self.settings)

    def submit(self, name: str = JOB, **fields: Any) -> JobRecord:
        record = new_record(name, **fields)
        self.jobs.submit(record, {"request": {}})
        return record

    def dequeue(self) -> Job:
        return FakeWorker(self.redis).dequeue()

    def run(self, name: str = JOB, **fields: Any) -> Lease:
        """A job that worker w1 has."""
        self.submit(name, **fields)
        return FakeWorker(self.redis).claim(execution=EXECUTION)[0]

    def event(self) -> str:
        """One that is due."""
        made = Event.new("chat.completion.completed", {"id": JOB}, now=1000)
        made = replace(made, id="evt_1")
        pipe = self.redis.pipeline()
        outbox.add(pipe, made, "https://example.com/")
        pipe.execute()
        return made.id

    def attempt(self) -> Attempt:
        """One that is under way."""
        Outbox(self.redis).claim(self.event(), 1000, lease_seconds=10)
        return Attempt(1, 1000, 500, "answered 500", 0.5)

    def batch(self, lines: int = 3) -> BatchRecord:
        """One that waits for its validation."""
        return self.batches.create(self.new_batch(lines))

    def new_batch(self, lines: int = 3) -> NewBatch:
        draft = self.batches.files.draft()
        for number in range(lines):
            body = {"model": "haiku", "messages": [{"role": "user", "content": "hi"}]}
            line = {"custom_id": f"line-{number}", "method": "POST", "url": CHAT_COMPLETIONS, "body": body}
            draft.write(json.dumps(line).encode() + b"\n")
        kept = self.batches.files.keep(draft, filename="night.jsonl", purpose=Purpose.BATCH)
        return NewBatch(input_file_id=kept.id, endpoint=CHAT_COMPLETIONS)

    def feed(self) -> None:
        """What the feeder does."""
        feeder = Feeder(self.redis, self.settings)
        try:
            feeder.run_once()
        finally:
            feeder.close()
            self.redis.delete(*self.redis.keys("nightshift:batches:feeder:*"))

    def feed_parts(self, *, lane: bool = True) -> None:
        """The same where Message Batches come first; with a lane, or without."""
        settings = replace(self.settings, ways=(Step(Way.BATCHES), Step(Way.API)))
        place = self.batches.storage.identity()
        if lane:
            self.redis.set(lease_key(place, Role.LANE), "somebody")
        Ground(self.redis, settings).feed()
        self.redis.delete(lease_key(place, Role.LANE))

    def part_steps(self, step: Callable[[PartSteps], Any]) -> Any:
        """What the lane does."""
        leadership = Leadership(self.redis, self.batches.storage, Role.LANE)
        try:
            leadership.hold()
            return step(PartSteps(self.redis, leadership))
        finally:
            leadership.close()
            self.redis.delete(*self.redis.keys("nightshift:batches:lane:*"))

    def part_step(self, decide: Any, *given: Any, **named: Any) -> Any:
        """A step of the first part's."""
        return self.part_steps(lambda steps: steps.do(self.the_batch(), "0", decide, *given, **named))

    def endpoint(self) -> str:
        """A registered one, with a known id."""
        made = Endpoints(self.redis).create("mine", "https://example.com/", ["batch.completed"])
        return made.id

    def the_batch(self) -> str:
        return texts(self.redis.zrange("nightshift:batches", 0, 0))[0]

    def the_endpoint(self) -> str:
        return Endpoints(self.redis).newest()[0].id


def new_record(name: str = JOB, **fields: Any) -> JobRecord:
    now = time.time()
    given = {"kind": "chat.completion", "status": Status.QUEUED, "model": "sonnet", "max_attempts": 3, **fields}
    return JobRecord(id=name, created_at=now, deadline_at=now + 600, **given)


_LEASE = Lease(JOB, EXECUTION, "w1")
_LOT = Lot("", (Way.CLI,))
_STATUS = WorkerStatus(name="w1", state=WorkerState.IDLE)
_RESTART = RecycleEvent(1000.0, "w1", "rss", 3, 400.0, 100.0)


def _nothing(_: Ground) -> None:
    """An empty Redis."""


def _waits(ground: Ground, *names: str) -> None:
    ground.submit()
    for name in names:
        ground.jobs.arrive(JOB, name, 60)


def _overloads(ground: Ground, count: int) -> None:
    for number in range(count):
        Gate(ground.redis).note_overload(f"run-{number}", "529")


def _limit(ground: Ground) -> None:
    closed = Closed(Cause.USAGE_LIMIT, 1.0, 2e9, 2e9, "used up", "five_hour")
    login_limits.note(ground.redis, "api_key 0a0a0a", WHOLE, closed)


def _close(ground: Ground) -> None:
    Gate(ground.redis).close(Cause.LOGIN, 2e9, "login", probe_at=1.0)


def _probe(ground: Ground) -> None:
    _close(ground)
    assert Gate(ground.redis).may_pass("w1")


def _pass(ground: Ground) -> None:
    gate = Gate(ground.redis)
    assert gate.may_pass("w1")
    gate.passed("w1")


def _gap(ground: Ground) -> None:
    ground.submit()
    ground.dequeue()


def _parked(ground: Ground) -> None:
    _gap(ground)
    ground.submit("chatcmpl-2", service_tier="flex")
    for name in (JOB, "chatcmpl-2"):
        transitions.park(ground.redis, name, _LOT, Cause.USAGE_LIMIT)


def _cancelled(ground: Ground) -> None:
    _gap(ground)
    ground.jobs.cancel(JOB)


def _has_delivered(ground: Ground) -> None:
    ground.attempt()
    _delivered(ground)


def _parent(ground: Ground) -> None:
    transitions.fan_out(ground.redis, ground.settings, ground.run(), 2)


def _answered(ground: Ground) -> None:
    """All choices, without settling their parent."""
    _parent(ground)
    for number in range(2):
        claimed = transitions.claim(ground.redis, ground.dequeue().id, "w1", 60, f"{number}" * 32)
        assert claimed is not None
        body = {"choices": [{"index": 0}], "usage": {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2}}
        lease, outcome = claimed[0], Outcome(body=body, headers={"x-nightshift-attempts": "1"})
        apply.step(ground.redis, lease.job_id, _publish(lease, outcome, ground.settings))


def _publish(lease: Lease, outcome: Outcome, settings: Settings) -> Callable[[Found], Change]:
    """As a worker does that dies in the moment after."""
    return lambda found: lifecycle.publish(found, lease, outcome, settings)


def _keep_answer(ground: Ground) -> None:
    """As a worker does that has asked Claude."""
    choice = {"index": 0, "message": {"role": "assistant", "content": "yes"}, "finish_reason": "stop"}
    body = {"model": "claude-x", "choices": [choice], "usage": {"prompt_tokens": 3}}
    chat = {"claude_model": "sonnet", "request": {"messages": [{"role": "user", "content": "Is it?"}]}}
    settings = replace(ground.settings, answer_cache=60.0)
    CachedAnswer(ground.redis, settings, new_record(), chat).keep(Outcome(body=body))


def _gone_ticket(ground: Ground) -> None:
    ground.submit()
    ground.redis.delete("rq:queue:claude")


def _overdue_lease(ground: Ground) -> None:
    ground.run()
    ground.redis.zadd("nightshift:leases", {lease_member(JOB, EXECUTION): 1.0})


def _fed(ground: Ground) -> None:
    ground.batch()
    ground.feed()
    ground.feed()


def _beyond_budget(ground: Ground) -> None:
    """A batch whose key has spent what it may."""
    _fed(ground)
    ground.redis.hset(f"nightshift:batch:{ground.the_batch()}", "owner", "ann")
    ApiKeys(ground.redis).create("ann", budget="1/month")
    pipe = ground.redis.pipeline()
    spending.count_paid(pipe, "ann", 2.0, time.time())
    pipe.execute()


def _held(ground: Ground) -> None:
    """It is held, and its key may spend more."""
    _beyond_budget(ground)
    ground.feed()
    ApiKeys(ground.redis).change("ann", budget="50/month")


def _fed_again(ground: Ground) -> None:
    """Its lines are to be given to the queue again."""
    _fed(ground)
    batch_id = ground.the_batch()
    for number in range(3):
        removal.remove(ground.redis, line_id(batch_id, number))
        tickets.take_out(pipe := ground.redis.pipeline(), tickets.ticket(ground.redis, line_id(batch_id, number)))
        pipe.execute()
    ground.redis.delete("nightshift:yielding")
    ground.redis.rename(f"nightshift:batch:{batch_id}:lines", f"nightshift:batch:{batch_id}:again")


def _all_answered(ground: Ground) -> None:
    _fed(ground)
    for number in range(3):
        claimed = transitions.claim(ground.redis, ground.dequeue().id, "w1", 60, f"{number}" * 32)
        assert claimed is not None
        transitions.publish(ground.redis, ground.settings, claimed[0], ANSWER)


def _cancelling(ground: Ground) -> None:
    _fed(ground)
    ground.batches.cancel(ground.the_batch())


def _validated_for_parts(ground: Ground) -> None:
    ground.batch()
    # At this look the file is validated; at the next one there is a lane.
    ground.feed_parts(lane=False)


def _allotted(ground: Ground) -> None:
    _validated_for_parts(ground)
    ground.feed_parts()


def _composed(ground: Ground) -> None:
    _allotted(ground)
    ground.part_step(part_lifecycle.compose, requests=3, betas="")


def _sending(ground: Ground) -> None:
    _composed(ground)
    ground.part_step(part_lifecycle.begin_sending, "try", 1000.0)


def _answered_part(ground: Ground) -> None:
    """Two lines are answered, and one is to be fed again."""
    _sending(ground)
    outcomes = [ANSWER, None, ANSWER]
    data = b"".join(entries.encode(Entry(number, f"line-{number}", outcome)) for number, outcome in enumerate(outcomes))
    ground.batches.storage.put(names.part_answers(ground.the_batch(), "0"), data)
    ground.part_step(part_lifecycle.answer, len(data), 1000.0)


def _cancelled_part(ground: Ground) -> None:
    _answered_part(ground)
    ground.batches.cancel(ground.the_batch())


def _file(ground: Ground) -> None:
    draft = ground.batches.files.draft()
    draft.write(b"{}")
    ground.batches.files.keep(draft, filename="a", purpose=Purpose.BATCH)


def _the_file(ground: Ground) -> str:
    return texts(ground.redis.zrange("nightshift:files", 0, 0))[0]


def _delete_file(ground: Ground) -> bool:
    return ground.batches.files.delete(_the_file(ground))


def _worker(ground: Ground) -> None:
    ground.run()
    worker_status.write(ground.redis, _STATUS)


def _old_closing(ground: Ground) -> None:
    _close(ground)
    Gate(ground.redis).open()
    key = "nightshift:history:waits"
    (value,) = ground.redis.hvals(key)
    ground.redis.delete(key)
    ground.redis.hset(key, "1000.0 login", json.dumps({**json.loads(value), "since": 1000.0, "until": 1002.0}))


def _submit(ground: Ground, **how: Any) -> bool:
    def beside(pipe: Any, record: JobRecord) -> None:
        ground.jobs.arrive(record.id, "a", 60, pipeline=pipe)

    return ground.jobs.submit(new_record(), {"request": {}}, beside=beside, **how).is_new


def _delivered(ground: Ground) -> None:
    Outbox(ground.redis).record_success("evt_1", Attempt(1, 1000, 200, None, 0.5))


def _failed(ground: Ground) -> None:
    Outbox(ground.redis).record_failure("evt_1", Attempt(1, 1000, 500, "answered 500", 0.5), next_at=2000)


def _dispatch(ground: Ground) -> None:
    queue = tickets.queue(ground.redis, tickets.CALLBACK_QUEUE)
    dispatch.dispatch_due(ground.redis, queue, 1001)


def _notifying(ground: Ground) -> Settings:
    """Settings with somebody who gets messages."""
    return replace(ground.settings, notify=("json://example.com/",))


def _all_said(ground: Ground) -> None:
    """A batch has ended since somebody looked last."""
    Scan(ground.redis, _notifying(ground)).look()
    batch_id, now = ground.batch().id, time.time()
    ground.redis.hset(batch_key(batch_id), mapping={"status": "failed", "failed_at": now})
    ground.redis.zrem(ACTIVE, batch_id)
    ground.redis.zadd(BATCH_RETENTION, {batch_id: now + KEEP_SECONDS})


def _notice(ground: Ground) -> None:
    pipe = ground.redis.pipeline()
    notices.add(pipe, NoticeKind.ENDED, Message("done", "all of it"), "settings:x", ["batch_1"])
    pipe.execute()


def _claimed(ground: Ground) -> Notice:
    found = NoticeOutbox(ground.redis).claim()
    assert found is not None
    return found


def _tell(ground: Ground) -> bool:
    return deltas.write(ground.redis, _LEASE, 1, '{"delta":{"content":"a"}}', keep=True, expires_at=2e9)


#: by name: what is there before, and the step
STEPS: dict[str, tuple[Callable[[Ground], Any], Callable[[Ground], Any]]] = {
    "jobs: submit": (_nothing, _submit),
    "jobs: submit with a key": (_nothing, lambda g: _submit(g, fence=by_key("me", "key", "what was sent"))),
    "jobs: claim": (_gap, lambda g: transitions.claim(g.redis, JOB, "w1", 60, EXECUTION)),
    "jobs: claim what has ended": (
        _cancelled,
        lambda g: transitions.claim(g.redis, JOB, "w1", 60, EXECUTION),
    ),
    "jobs: renew": (Ground.run, lambda g: transitions.renew(g.redis, _LEASE, 60)),
    "jobs: note sent": (lambda g: g.run(max_sends=2), lambda g: transitions.note_sent(g.redis, _LEASE)),
    "jobs: publish": (
        lambda g: (g.endpoint(), g.run(callback_url="https://example.com/", background=True)),
        lambda g: transitions.publish(g.redis, g.settings, _LEASE, ANSWER),
    ),
    "jobs: requeue": (
        Ground.run,
        lambda g: transitions.requeue(g.redis, g.settings, _LEASE, Requeue("limit", counts=True, died=True)),
    ),
    "jobs: requeue later": (
        lambda g: g.run(max_sends=3),
        lambda g: transitions.requeue(
            g.redis, g.settings, _LEASE, Requeue("overloaded", counts=False, delay_seconds=5)
        ),
    ),
    "jobs: worker died": (
        _overdue_lease,
        lambda g: recovery.worker_died(g.redis, g.settings, Lease(JOB, EXECUTION, ""), Reason.LEASE_ENDED),
    ),
    "jobs: release a worker": (_worker, lambda g: recovery.release_worker(g.redis, g.settings, "w1")),
    "jobs: cancel": (Ground.run, lambda g: g.jobs.cancel(JOB)),
    "jobs: delete": (Ground.submit, lambda g: g.jobs.delete(JOB)),
    "jobs: fail": (
        lambda g: g.submit(callback_url="https://example.com/"),
        lambda g: transitions.fail_waiting(g.redis, g.settings, JOB, errors.deadline_exceeded(1)),
    ),
    "jobs: set metadata": (Ground.submit, lambda g: g.jobs.set_metadata(JOB, {"a": "b"})),
    "jobs: requeue the ticket": (_gap, lambda g: transitions.requeue_ticket(g.redis, JOB)),
    "jobs: reissue": (_gone_ticket, lambda g: transitions.reissue(g.redis, g.settings, JOB)),
    "jobs: park": (_gap, lambda g: transitions.park(g.redis, JOB, _LOT, Cause.USAGE_LIMIT)),
    "jobs: unpark": (_parked, lambda g: transitions.unpark(g.redis, _LOT, 1000)),
    "jobs: cancel what is parked": (_parked, lambda g: g.jobs.cancel(JOB)),
    "jobs: return from the gap": (_gap, lambda g: tickets.return_from_gap(g.redis, "claude", JOB)),
    "jobs: remove": (lambda g: (g.submit(), g.jobs.cancel(JOB)), lambda g: removal.remove(g.redis, JOB)),
    "choices: fan out": (Ground.run, lambda g: transitions.fan_out(g.redis, g.settings, _LEASE, 2)),
    "choices: join": (_answered, lambda g: transitions.join(g.redis, g.settings, JOB)),
    "choices: cancel the parent": (_parent, lambda g: g.jobs.cancel(JOB)),
    "answers: keep": (_nothing, _keep_answer),
    "answers: keep in the place of another": (_keep_answer, _keep_answer),
    "waiters: arrive": (Ground.submit, lambda g: g.jobs.arrive(JOB, "a", 60)),
    "waiters: one of two leaves": (
        lambda g: _waits(g, "a", "b"),
        lambda g: g.jobs.leave(JOB, "a", abandon_at=2e9),
    ),
    "waiters: the last leaves": (lambda g: _waits(g, "a"), lambda g: g.jobs.leave(JOB, "a", abandon_at=2e9)),
    "gate: note an overload": (lambda g: _overloads(g, 1), lambda g: Gate(g.redis).note_overload("mine", "529")),
    "gate: note the wall's overload": (
        lambda g: _overloads(g, 2),
        lambda g: Gate(g.redis).note_overload("mine", "529"),
    ),
    "gate: close": (_nothing, _close),
    "gate: take the probe": (_close, lambda g: Gate(g.redis).may_pass("w1")),
    "gate: end the probe": (_probe, lambda g: Gate(g.redis).end_probe("w1")),
    "gate: pass": (_close, _pass),
    "gate: open": (_close, lambda g: Gate(g.redis).open()),
    "gate: pause": (_nothing, lambda g: Gate(g.redis).pause(2e9, "maintenance")),
    "gate: resume": (lambda g: Gate(g.redis).pause(), lambda g: Gate(g.redis).resume()),
    "gate: resume what one login has met": (_limit, lambda g: Gate(g.redis).resume()),
    "gate: a login meets a limit": (_nothing, _limit),
    "gate: the key of labels": (_nothing, lambda g: len(login_label.read_key(g.redis))),
    "gate: note the windows": (
        _nothing,
        lambda g: used_windows.note(g.redis, Way.CLI, {"five_hour": (0.3, 2e9)}),
    ),
    "stream: a piece": (
        lambda g: g.run(streams=True),
        _tell,
    ),
    "outbox: take what is due": (Ground.event, lambda g: Outbox(g.redis).take_due(1001, 10)),
    "outbox: claim": (Ground.event, lambda g: Outbox(g.redis).claim("evt_1", 1001, lease_seconds=10)),
    "outbox: delivered": (Ground.attempt, _delivered),
    "outbox: failed": (Ground.attempt, _failed),
    "outbox: postpone": (Ground.event, lambda g: Outbox(g.redis).postpone("evt_1", 1001, 1.0)),
    "outbox: resend": (_has_delivered, lambda g: Outbox(g.redis).resend("evt_1", 1002)),
    "outbox: dispatch": (Ground.event, _dispatch),
    "notices: say": (_all_said, lambda g: Scan(g.redis, _notifying(g)).look()),
    "notices: claim": (_notice, lambda g: _claimed(g).title),
    "notices: end": (_notice, lambda g: NoticeOutbox(g.redis).end(_claimed(g))),
    "notices: failed": (_notice, lambda g: bool(NoticeOutbox(g.redis).failed(_claimed(g)))),
    "endpoints: create": (_nothing, lambda g: bool(g.endpoint())),
    "endpoints: update": (Ground.endpoint, lambda g: Endpoints(g.redis).update(g.the_endpoint(), name="other") is None),
    "endpoints: delete": (Ground.endpoint, lambda g: Endpoints(g.redis).delete(g.the_endpoint())),
    "keys: create": (_nothing, lambda g: ApiKeys(g.redis).create("ann")[0].name),
    "keys: change": (
        lambda g: ApiKeys(g.redis).create("ann"),
        lambda g: ApiKeys(g.redis).change("ann", requests_per_minute=5) is None,
    ),
    "keys: rotate": (lambda g: ApiKeys(g.redis).create("ann"), lambda g: ApiKeys(g.redis).rotate("ann") is None),
    "keys: revoke": (lambda g: ApiKeys(g.redis).create("ann"), lambda g: ApiKeys(g.redis).revoke("ann") is None),
    "history: a restart": (
        Ground.endpoint,
        lambda g: recycling.note(g.redis, replace(_RESTART, at=time.time()), 300),
    ),
    "history: a sample": (Ground.submit, lambda g: sampling.take_due(g.redis, 1000.0)),
    "history: tidy": (_old_closing, lambda g: closings.tidy(g.redis)),
    "workers: say": (_nothing, lambda g: worker_status.write(g.redis, _STATUS)),
    "workers: leave": (lambda g: worker_status.write(g.redis, _STATUS), lambda g: worker_status.remove(g.redis, "w1")),
    "files: keep": (_nothing, _file),
    "files: keep longer": (_file, lambda g: g.batches.files.keep_until(_the_file(g), 4e9)),
    "files: delete": (_file, _delete_file),
    "batches: create": (_nothing, lambda g: g.batch().status),
    "batches: cancel": (_fed, lambda g: g.batches.cancel(g.the_batch()).status),
    "batches: validate and feed": (Ground.batch, Ground.feed),
    "batches: feed again": (_fed_again, Ground.feed),
    "batches: hold": (_beyond_budget, Ground.feed),
    "batches: go on": (_held, Ground.feed),
    "batches: collect and end": (_all_answered, Ground.feed),
    "batches: begin a window's line": (
        lambda g: used_windows.note(g.redis, Way.CLI, {"five_hour": (0.3, time.time() + 600)}),
        lambda g: pace.ahead_until(g.redis, replace(g.settings, pace=True), g.batch(), begins=True),
    ),
    "batches: wind up": (_cancelling, Ground.feed),
    "parts: allot": (_validated_for_parts, Ground.feed_parts),
    "parts: compose": (_allotted, lambda g: g.part_step(part_lifecycle.compose, requests=3, betas="")),
    "parts: divide": (_allotted, lambda g: g.part_steps(lambda steps: steps.divide(g.the_batch(), "0", 1, 1000.0))),
    "parts: about to be sent": (_composed, lambda g: g.part_step(part_lifecycle.begin_sending, "try", 1000.0)),
    "parts: sent": (_sending, lambda g: g.part_step(part_lifecycle.note_sent, "msgbatch_1", 1000.0)),
    "parts: answered": (_sending, lambda g: g.part_step(part_lifecycle.answer, 99, 1000.0)),
    "parts: collect and end": (_answered_part, Ground.feed_parts),
    "parts: withdraw": (_composed, Ground.feed),
    "parts: wind up": (_cancelled_part, Ground.feed_parts),
}
