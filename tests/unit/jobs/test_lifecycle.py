"""The life of a job as a function: what each event makes of each state. No Redis is needed for it."""

from __future__ import annotations

from dataclasses import fields, replace
from typing import TYPE_CHECKING, Any

import pytest

from app import errors
from app.jobs import choices, lifecycle, parents
from app.jobs.change import Change, Found, Lease, LeaseLost, Requeue, Spent, Ticket
from app.jobs.record import CHOICES, DEADLINES, PAYLOAD_VERSION, JobKind, JobRecord, Status
from app.outcome import Outcome
from app.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Callable

NOW = 1000.0
SETTINGS = Settings(result_ttl_seconds=500, max_worker_deaths=3)
LEASE = Lease("job", "run", "w1")
QUEUED = JobRecord(
    id="job", kind="chat.completion", status=Status.QUEUED, model="sonnet", created_at=900.0, deadline_at=2000.0
)
RUNNING = replace(QUEUED, status=Status.IN_PROGRESS, execution="run", worker="w1", started_at=950.0, attempts=1)
ENDED = [replace(QUEUED, status=status, finished_at=990.0) for status in Status if status.is_final]
ANSWER = Outcome(body={"text": "hello"})
ERROR = errors.invalid_request("no")
FAILURE = Outcome(error=ERROR)

#: waits for its choices
PARENT = replace(QUEUED, choices=2, attempts=0, started_at=950.0)


def choice(number: int, status: Status = Status.QUEUED, **more: Any) -> JobRecord:
    return replace(choices.of(PARENT, number), status=status, **more)


def difference(change: Change) -> dict[str, Any]:
    """The fields of the record that change, with their new values."""
    before, after = change.before, change.after
    assert before is not None and after is not None
    names = (field.name for field in fields(JobRecord))
    return {name: getattr(after, name) for name in names if getattr(after, name) != getattr(before, name)}


def is_nothing(change: Change) -> bool:
    return change == Change(before=change.before, after=change.before)


def requeue(found: Found, how: Requeue, name: str = "step") -> Change:
    return lifecycle.requeue(found, LEASE, how, name, SETTINGS)


# -- claim ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("before", "started_at"),
    [
        (QUEUED, NOW),
        (replace(QUEUED, started_at=950.0, waiting_for="usage_limit"), NOW),
        # What waited for its choices has begun once.
        (PARENT, 950.0),
    ],
)
def test_a_queued_job_is_claimed(before: JobRecord, started_at: float) -> None:
    """It is this run's, which counts as an attempt, and its lease begins."""
    change = lifecycle.claim(Found(before, (), NOW), LEASE, 10.0)
    assert change.after == replace(
        before,
        status=Status.IN_PROGRESS,
        execution="run",
        worker="w1",
        started_at=started_at,
        attempts=before.attempts + 1,
        waiting_for="",
    )
    assert (change.ticket, change.lease_until) == (Ticket.STARTED, NOW + 10)


@pytest.mark.parametrize("before", [None, replace(RUNNING, execution="other"), *ENDED])
def test_what_is_not_queued_is_not_claimed(before: JobRecord | None) -> None:
    """A ticket whose job is gone, ended or somebody else's leaves the queue, and nothing else changes."""
    change = lifecycle.claim(Found(before, (), NOW), LEASE, 10.0)
    assert change == Change(before=before, after=before, ticket=Ticket.OUT)


# -- by the run that holds it ---------------------------------------------------------------------------------------

#: by name: what a run does to its job
BY_A_RUN: dict[str, Callable[[Found], Change]] = {
    "note sent": lambda found: lifecycle.note_sent(found, LEASE),
    "publish": lambda found: lifecycle.publish(found, LEASE, ANSWER, SETTINGS),
    "requeue": lambda found: requeue(found, Requeue("limit", counts=False)),
    "fan out": lambda found: parents.fan_out(found, LEASE, 2, "step", SETTINGS),
}


@pytest.mark.parametrize("event", BY_A_RUN.values(), ids=BY_A_RUN)
@pytest.mark.parametrize("before", [None, QUEUED, replace(RUNNING, execution="other"), *ENDED])
def test_the_fence(event: Callable[[Found], Change], before: JobRecord | None) -> None:
    """A run that the record does not name changes nothing, whatever it wants."""
    with pytest.raises(LeaseLost):
        event(Found(before, (), NOW))


@pytest.mark.parametrize("event", BY_A_RUN.values(), ids=BY_A_RUN)
def test_a_run_finds_its_own_work(event: Callable[[Found], Change]) -> None:
    """The reply was lost, and the step is decided again on what it has written: nothing is done twice."""
    first = event(Found(RUNNING, (), NOW))
    assert not is_nothing(first)
    again = event(Found(first.after, (None, None), NOW + 1))
    assert is_nothing(again) and again.after == first.after


def test_a_claim_finds_its_own_work() -> None:
    """So it is with a claim."""
    first = lifecycle.claim(Found(QUEUED, (), NOW), LEASE, 10.0)
    again = lifecycle.claim(Found(first.after, (), NOW + 1), LEASE, 10.0)
    assert is_nothing(again) and again.after == first.after


@pytest.mark.parametrize(("outcome", "status"), [(ANSWER, Status.COMPLETED), (FAILURE, Status.FAILED)])
def test_an_outcome_is_published(outcome: Outcome, status: Status) -> None:
    """The job ends with it, by this run, and nobody is interrupted for that."""
    change = lifecycle.publish(Found(RUNNING, (), NOW), LEASE, outcome, SETTINGS)
    assert difference(change) == {"status": status, "finished_at": NOW, "execution": "", "published_by": "run"}
    assert (change.ticket, change.outcome, change.event) == (Ticket.ENDED, outcome, f"chat.completion.{status}")
    assert (change.kept_until, change.ttl_seconds, change.interrupts) == (NOW + 500, 500, False)


def test_a_run_is_noted_as_sent_as_often_as_the_client_allows() -> None:
    """Each run once, and none beyond that."""
    once = replace(RUNNING, max_sends=1)
    change = lifecycle.note_sent(Found(once, (), NOW), LEASE)
    assert difference(change) == {"sends": 1, "sent_by": "run"}
    with pytest.raises(Spent):
        lifecycle.note_sent(Found(replace(once, sends=1, sent_by="an earlier run"), (), NOW), LEASE)


# -- back to the queue ----------------------------------------------------------------------------------------------

SENT = replace(RUNNING, max_sends=2, sends=1, sent_by="run")
DIED = Requeue("its worker died", counts=False, died=True)


@pytest.mark.parametrize(
    ("before", "how", "fields_", "ticket"),
    [
        (RUNNING, Requeue("limit", counts=False), {"attempts": 0}, Ticket.FIRST),
        (RUNNING, Requeue("server", counts=True), {}, Ticket.FIRST),
        (RUNNING, Requeue("server", counts=True, delay_seconds=5), {}, Ticket.LATER),
        (RUNNING, Requeue("overloaded", counts=False, delay_seconds=5), {"attempts": 0, "delays": 1}, Ticket.LATER),
        (RUNNING, DIED, {"attempts": 0, "deaths": 1}, Ticket.FIRST),
        (replace(RUNNING, deaths=1), DIED, {"attempts": 0, "deaths": 2}, Ticket.FIRST),
        (SENT, Requeue("limit", counts=False), {"attempts": 0, "sent_by": ""}, Ticket.FIRST),
        (
            SENT,
            Requeue("no process", counts=False, was_sent=False),
            {"attempts": 0, "sends": 0, "sent_by": ""},
            Ticket.FIRST,
        ),
        # It was an earlier run that was sent.
        (
            replace(SENT, sent_by="before"),
            Requeue("no process", counts=False, was_sent=False),
            {"attempts": 0, "sent_by": ""},
            Ticket.FIRST,
        ),
        # Spent but for this run, which was not sent after all.
        (
            replace(SENT, max_sends=1),
            Requeue("no process", counts=False, was_sent=False),
            {"attempts": 0, "sends": 0, "sent_by": ""},
            Ticket.FIRST,
        ),
    ],
)
def test_a_job_goes_back(before: JobRecord, how: Requeue, fields_: dict[str, Any], ticket: Ticket) -> None:
    """To the head, or later; what is not its fault uses up no attempt; nobody holds it then."""
    change = requeue(Found(before, (), NOW), how)
    expected = {"status": Status.QUEUED, "execution": "", "waiting_for": how.reason, "requeued_by": "step"}
    assert difference(change) == {**expected, **fields_}
    assert (change.ticket, change.outcome) == (ticket, None)
    assert ticket is Ticket.FIRST or change.due_at == NOW + how.delay_seconds


@pytest.mark.parametrize("before", [replace(RUNNING, deaths=2), replace(RUNNING, streamed_by="run")])
def test_the_run_that_ends_a_job_by_its_death_is_counted_as_one(before: JobRecord) -> None:
    """As a death and not as an attempt, as the deaths before it were; any other run that ends a job is an attempt."""
    change = requeue(Found(before, (), NOW), DIED)
    assert change.before == before and change.after is not None
    assert (change.after.attempts, change.after.deaths) == (0, before.deaths + 1)
    other = requeue(Found(replace(before, streamed_by="run"), (), NOW), Requeue("limit", counts=False))
    assert other.after is not None and (other.after.attempts, other.after.deaths) == (1, before.deaths)


@pytest.mark.parametrize(
    ("before", "how", "error"),
    [
        (replace(RUNNING, deaths=2), DIED, errors.dead_lettered(3, DIED.reason)),
        (replace(RUNNING, streamed_by="run"), Requeue("limit", counts=False), errors.stream_interrupted("limit")),
        (replace(SENT, max_sends=1), Requeue("limit", counts=False), errors.not_sent_again("limit")),
        # A job that ends its workers is told so, whatever else is true of it.
        (replace(SENT, max_sends=1, deaths=2, streamed_by="run"), DIED, errors.dead_lettered(3, DIED.reason)),
        (replace(SENT, max_sends=1, streamed_by="run"), DIED, errors.stream_interrupted(DIED.reason)),
    ],
)
def test_a_job_that_must_not_be_run_again_fails(before: JobRecord, how: Requeue, error: errors.ErrorReply) -> None:
    """In the step that would have requeued it, with the reason; a lost reply makes it no other end."""
    change = requeue(Found(before, (), NOW), how)
    assert change.outcome == Outcome(error=error)
    assert change.after is not None
    assert (change.after.status, change.after.published_by, change.ticket) == (Status.FAILED, "run", Ticket.ENDED)
    assert is_nothing(requeue(Found(change.after, (), NOW), how))
    with pytest.raises(LeaseLost):
        requeue(Found(change.after, (), NOW), how, name="another step")


# -- from outside ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", [Status.CANCELLED, Status.FAILED])
@pytest.mark.parametrize(("before", "interrupts"), [(QUEUED, False), (RUNNING, True)])
def test_a_job_ends_from_outside(before: JobRecord, interrupts: bool, status: Status) -> None:
    """Queued, it never starts; running, its worker is interrupted, and may publish nothing any more."""
    change = lifecycle.end(Found(before, (), NOW), ERROR, status, SETTINGS)
    assert change.after is not None
    assert (change.after.status, change.after.execution, change.after.published_by) == (status, "", "")
    assert (change.interrupts, change.outcome, change.ticket) == (interrupts, FAILURE, Ticket.ENDED)
    # A chat completion has failed, however it did not complete.
    assert change.event == "chat.completion.failed"


@pytest.mark.parametrize("before", [None, *ENDED])
def test_what_has_ended_does_not_end_again(before: JobRecord | None) -> None:
    """Its outcome stays."""
    assert is_nothing(lifecycle.end(Found(before, (), NOW), ERROR, Status.CANCELLED, SETTINGS))


@pytest.mark.parametrize(
    ("status", "outcome", "event"),
    [
        (Status.COMPLETED, Outcome(body={"status": "completed"}), "response.completed"),
        (Status.COMPLETED, Outcome(body={"status": "incomplete"}), "response.incomplete"),
        (Status.FAILED, FAILURE, "response.failed"),
        (Status.CANCELLED, FAILURE, "response.cancelled"),
    ],
)
def test_the_event_says_how_a_response_ended(status: Status, outcome: Outcome, event: str) -> None:
    """It may be incomplete, or cancelled, which a chat completion has no event for."""
    response = Found(replace(RUNNING, kind="response"), (), NOW)
    if status is Status.CANCELLED:
        assert lifecycle.end(response, ERROR, status, SETTINGS).event == event
    else:
        assert lifecycle.publish(response, LEASE, outcome, SETTINGS).event == event


def test_a_line_is_removed_by_its_batch() -> None:
    """Not by its time."""
    assert (
        lifecycle.end(Found(replace(QUEUED, kind=JobKind.BATCH_LINE)), ERROR, Status.FAILED, SETTINGS).kept_until
        is None
    )


@pytest.mark.parametrize("before", [None, RUNNING, *ENDED])
def test_only_what_waits_is_failed_for_waiting(before: JobRecord | None) -> None:
    """A job that runs or has ended by now has no deadline any more."""
    change = lifecycle.fail_waiting(Found(before, (), NOW), ERROR, SETTINGS)
    assert change == Change(before=before, after=before, leaves=(DEADLINES,))


@pytest.mark.parametrize(
    ("made", "fails"),
    [
        ([choice(0, Status.IN_PROGRESS), choice(1, Status.COMPLETED)], False),
        ([choice(0, Status.IN_PROGRESS), choice(1)], True),
        ([choice(0, Status.IN_PROGRESS), None], True),
    ],
)
def test_a_client_is_sent_away_unless_all_its_choices_run(made: list[JobRecord | None], fails: bool) -> None:
    """At a closed gate what runs is waited for."""
    change = lifecycle.fail_waiting(Found(PARENT, made, NOW), ERROR, SETTINGS, spares_running=True)
    assert (change.outcome == FAILURE, is_nothing(change)) == (fails, not fails)


def test_what_waits_fails_without_a_run() -> None:
    """With its error, and no attempt."""
    change = lifecycle.fail_waiting(Found(QUEUED, (), NOW), ERROR, SETTINGS, spares_running=True)
    assert difference(change) == {"status": Status.FAILED, "finished_at": NOW}
    assert (change.outcome, change.ticket) == (FAILURE, Ticket.ENDED)


# -- tickets --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("before", "ticket"),
    [
        (replace(QUEUED, waiting_for="overloaded"), Ticket.FIRST),
        (replace(QUEUED, waiting_for="overloaded", service_tier="flex"), Ticket.LAST),
        (replace(QUEUED, id="batch_req_ab_1", kind=JobKind.BATCH_LINE), Ticket.LAST),
        (RUNNING, Ticket.OUT),
        (None, Ticket.OUT),
        *((one, Ticket.OUT) for one in ENDED),
    ],
)
def test_a_ticket_comes_back(before: JobRecord | None, ticket: Ticket) -> None:
    """To the head, or, of what lets others pass, to the end; that of a job that does not wait goes."""
    change = lifecycle.requeue_ticket(Found(before, (), NOW))
    assert change.ticket is ticket
    assert change.after == (before and replace(before, waiting_for=""))


@pytest.mark.parametrize(
    ("before", "ticket", "leaves"),
    [
        (QUEUED, Ticket.NEW, ()),
        (RUNNING, Ticket.STAYS, ()),
        (None, Ticket.STAYS, (CHOICES,)),
        *((one, Ticket.STAYS, (CHOICES,)) for one in ENDED),
    ],
)
def test_a_ticket_is_issued_anew(before: JobRecord | None, ticket: Ticket, leaves: tuple[str, ...]) -> None:
    """For a job that waits; what names one that has ended goes."""
    change = lifecycle.reissue(Found(before, (), NOW), 500)
    assert (change.after, change.ticket, change.leaves) == (before, ticket, leaves)


def test_a_new_job_is_queued() -> None:
    """Its ticket is issued."""
    change = lifecycle.submit(QUEUED, 500)
    assert (change.before, change.after, change.ticket, change.ttl_seconds) == (None, QUEUED, Ticket.NEW, 500)


def test_a_job_is_labelled_and_hidden() -> None:
    """Other metadata; out of sight and removed soon; a job that is gone stays gone."""
    ended = replace(ENDED[0], is_stored=True, metadata={"a": "b"})
    assert difference(lifecycle.label(Found(ended), {"c": "d"})) == {"metadata": {"c": "d"}}
    hidden = lifecycle.hide(Found(ended, (), NOW))
    assert difference(hidden) == {"is_stored": False, "is_deleted": True}
    assert hidden.kept_until == NOW + lifecycle.NOTICE_SECONDS
    assert lifecycle.label(Found(None), {}).after is None
    assert is_nothing(lifecycle.hide(Found(None)))


# -- choices --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "reserve", "made", "missing"),
    [
        ("chat.completion", 0, [None, None], [1, 0]),
        ("chat.completion", 0, [choice(0), None], [1]),
        # Cancelled before its parent was there; spent, it must not be sent again.
        ("chat.completion", 0, [choice(0, Status.CANCELLED), choice(1)], [0]),
        ("chat.completion", 0, [choice(0, Status.CANCELLED, max_sends=1, sends=1), None], []),
        ("chat.completion", 0, [choice(0, Status.FAILED), None], []),
        ("chat.completion", 1, [None, None], [1, 0]),
        (JobKind.BATCH_LINE, 1, [None, None], [0]),
        (JobKind.BATCH_LINE, 1, [choice(0), None], []),
        (JobKind.BATCH_LINE, 1, [choice(0, Status.COMPLETED), None], [1]),
    ],
)
def test_choices_are_made(kind: str, reserve: int, made: list[JobRecord | None], missing: list[int]) -> None:
    """Those that are not there, the first one last, since each goes to the queue's head; with a reserve one at a time."""
    settings = replace(SETTINGS, reserve=reserve)
    before = replace(RUNNING, kind=kind)
    change = parents.fan_out(Found(before, made, NOW), LEASE, 2, "step", settings)
    assert difference(change) == {
        "status": Status.QUEUED,
        "choices": 2,
        "execution": "",
        "worker": "",
        "waiting_for": "its choices",
        "attempts": 0,
        "requeued_by": "step",
        "version": PAYLOAD_VERSION,
    }
    assert (change.ticket, change.due_at) == (Ticket.LATER, NOW + parents.LOOK_SECONDS)
    assert [(one.after and one.after.id, one.ticket) for one in change.choices] == [
        (choices.id_of("job", number), Ticket.NEW_FIRST) for number in missing
    ]


@pytest.mark.parametrize(
    ("made", "joined"),
    [
        ([choice(0, Status.COMPLETED), choice(1, Status.COMPLETED)], [0, 1]),
        ([choice(0, Status.COMPLETED), choice(1, Status.IN_PROGRESS)], []),
        ([choice(0, Status.COMPLETED), None], []),
        ([choice(0), choice(1, Status.FAILED)], [1]),
        ([choice(0, Status.COMPLETED), choice(1, Status.CANCELLED)], []),
    ],
)
def test_which_choices_make_the_outcome(made: list[JobRecord | None], joined: list[int]) -> None:
    """All that answered, or the first that failed; nothing while one may still answer."""
    assert parents.joined(Found(PARENT, made)) == [made[number] for number in joined]
    assert parents.joined(Found(RUNNING, made)) == parents.joined(Found(QUEUED, made)) == []


@pytest.mark.parametrize(
    ("made", "ticket"),
    [
        ([choice(0, Status.COMPLETED), choice(1, Status.IN_PROGRESS)], Ticket.LATER),
        ([choice(0, Status.COMPLETED), None], Ticket.FIRST),
    ],
)
def test_a_job_waits_for_its_choices(made: list[JobRecord | None], ticket: Ticket) -> None:
    """While one is under way; else a worker is to make those that are missing."""
    change = parents.join(Found(PARENT, made, NOW), None, SETTINGS)
    assert change.before == change.after == PARENT
    assert (change.ticket, change.due_at) == (ticket, NOW + parents.LOOK_SECONDS)


@pytest.mark.parametrize("before", [None, QUEUED, RUNNING, replace(PARENT, status=Status.COMPLETED)])
def test_a_job_that_waits_for_no_choices_is_left_alone(before: JobRecord | None) -> None:
    """Nothing is joined."""
    assert is_nothing(parents.join(Found(before, (), NOW), ANSWER, SETTINGS))


def test_choices_end_with_their_job() -> None:
    """What waits never starts, what runs is interrupted, what has ended is kept for a minute; each in the same step."""
    made = [
        choice(0, Status.COMPLETED, attempts=3, sends=1),
        choice(1, Status.IN_PROGRESS, execution="theirs", worker="w2", attempts=1, sends=2, deaths=1),
        choice(2),
        None,
    ]
    parent = replace(PARENT, choices=4, deaths=1)
    change = lifecycle.end(Found(parent, made, NOW), ERROR, Status.CANCELLED, SETTINGS)
    assert change.after is not None
    assert (change.after.attempts, change.after.sends, change.after.deaths) == (3, 2, 2)
    ended, running, waiting = change.choices
    assert ended == Change(before=made[0], after=made[0], kept_until=NOW + choices.SPARE_SECONDS)
    for one in (running, waiting):
        assert one.after is not None
        assert (one.after.status, one.ticket, one.event) == (Status.CANCELLED, Ticket.ENDED, "")
        assert one.outcome == Outcome(error=errors.cancelled())
        assert one.kept_until == NOW + choices.SPARE_SECONDS
    assert (running.interrupts, waiting.interrupts) == (True, False)


def test_a_choice_is_kept_as_long_as_its_job_may_wait() -> None:
    """Its answer is needed until then, and it has no event of its own."""
    held = choice(0, Status.IN_PROGRESS, execution="run", worker="w1")
    change = lifecycle.publish(Found(held, (), NOW), LEASE, ANSWER, SETTINGS)
    assert (change.kept_until, change.event) == (PARENT.deadline_at + choices.SPARE_SECONDS, "")
