"""Registered endpoints: which events they get, in which step, where to, and signed with which secrets."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Any

import openai
import pytest

from app import errors
from app.jobs import transitions
from app.jobs.record import JobKind, JobRecord, Status
from app.jobs.store import Jobs
from app.settings import Settings
from app.webhooks import announce
from app.webhooks.endpoints import KEY, MAX_ENDPOINTS, OVERLAP_SECONDS, Endpoint, Endpoints, TooManyEndpoints
from app.webhooks.outbox import Outbox
from workers.callbacks.delivery import deliver

if TYPE_CHECKING:
    from redis import Redis

    from app.webhooks.outbox import StoredEvent
    from tests.integration.webhooks.receiver import Receiver
    from workers.callbacks.tasks import CallbackContext

ALL = ("response.completed", "response.failed", "response.cancelled", "chat.completion.failed")


def pending(connection: Redis) -> list[StoredEvent]:
    return Outbox(connection).page("pending")


def job(connection: Redis, *, kind: str = "response", background: bool = True, callback_url: str = "") -> JobRecord:
    """A job that waits."""
    now = time.time()
    record = JobRecord(
        id=f"resp_{now}".replace(".", ""),
        kind=kind,
        status=Status.QUEUED,
        model="sonnet",
        created_at=now,
        deadline_at=now + 60,
        background=background,
        callback_url=callback_url,
    )
    pipe = connection.pipeline()
    transitions.submit(connection, pipe, record, "{}", ttl_seconds=60)
    pipe.execute()
    return record


def end(connection: Redis, record: JobRecord, status: Status) -> None:
    jobs = Jobs(connection, Settings())
    (jobs.cancel if status is Status.CANCELLED else jobs.fail)(record.id, errors.cancelled())


@pytest.mark.parametrize(
    ("kind", "status", "type_"),
    [
        ("response", Status.CANCELLED, "response.cancelled"),
        ("response", Status.FAILED, "response.failed"),
        ("chat.completion", Status.CANCELLED, "chat.completion.failed"),
    ],
)
def test_the_end_of_background_work(connection: Redis, kind: str, status: Status, type_: str) -> None:
    """Each endpoint that asked for it has one event the moment the job has ended."""
    endpoints = Endpoints(connection)
    wanted = {
        endpoints.create("one", "https://example.com/1", ALL).url,
        endpoints.create("two", "https://b.example/", ALL).url,
    }
    endpoints.create("other", "https://example.com/other", ["batch.completed"])
    record = job(connection, kind=kind)
    end(connection, record, status)
    found = pending(connection)
    assert {stored.url for stored in found} == wanted
    assert {stored.event.type for stored in found} == {type_}


@pytest.mark.parametrize("fields", [{"background": False}, {"kind": JobKind.BATCH_LINE, "background": False}])
def test_what_somebody_waits_for_is_no_event(connection: Redis, fields: dict[str, Any]) -> None:
    """A request that is answered, and a batch's line, tell nobody."""
    Endpoints(connection).create("one", "https://example.com/1", ALL)
    end(connection, job(connection, **fields), Status.FAILED)
    assert pending(connection) == []


def test_the_own_callback_comes_too(connection: Redis) -> None:
    """A request's own callback is told beside the endpoints."""
    Endpoints(connection).create("one", "https://example.com/1", ALL)
    end(connection, job(connection, callback_url="https://example.com/own"), Status.FAILED)
    assert sorted(stored.url for stored in pending(connection)) == ["https://example.com/1", "https://example.com/own"]


def store(connection: Redis, endpoint: Endpoint) -> str:
    """An event for that endpoint; its id."""
    told = announce.prepare(connection, endpoint.event_types[0], "resp_1", "")
    with connection.pipeline() as pipe:
        told.add(pipe)
        pipe.execute()
    return pending(connection)[0].event.id


def unwrap(secret: str, receiver: Receiver) -> Any:
    got = receiver.received[-1]
    return openai.OpenAI(api_key="x", webhook_secret=secret).webhooks.unwrap(got.body, got.headers)


def test_its_own_secret(connection: Redis, receiver: Receiver, context: CallbackContext) -> None:
    """The endpoint's secret signs, and not the one of the per-request callbacks."""
    endpoint = Endpoints(connection).create("one", receiver.url(), ALL)
    event_id = store(connection, endpoint)
    assert deliver(event_id, context).outcome == "delivered"
    assert unwrap(endpoint.secret, receiver).type == "response.completed"
    with pytest.raises(openai.InvalidWebhookSignatureError):
        unwrap(context.secrets[0], receiver)


def test_rotation(connection: Redis, receiver: Receiver, context: CallbackContext) -> None:
    """What waits is signed with the secrets of the moment: both for a day if that was asked for, else the new one alone."""
    endpoints = Endpoints(connection)
    old = endpoints.create("one", receiver.url(), ALL)
    event_id = store(connection, old)
    new = endpoints.rotate(old.id, keep_old=True)
    assert new is not None and new.secret != old.secret
    assert deliver(event_id, context).outcome == "delivered"
    unwrap(old.secret, receiver)
    unwrap(new.secret, receiver)
    assert new.secrets(time.time() + OVERLAP_SECONDS + 1) == (new.secret,)
    newest = endpoints.rotate(old.id, keep_old=False)
    assert newest is not None
    assert newest.secrets(time.time()) == (newest.secret,)


def test_a_new_address(connection: Redis, receiver: Receiver, context: CallbackContext) -> None:
    """What waits goes to where the endpoint is now."""
    endpoint = Endpoints(connection).create("one", receiver.url("/old"), ALL)
    event_id = store(connection, endpoint)
    Endpoints(connection).update(endpoint.id, url=receiver.url("/new"))
    assert deliver(event_id, context).outcome == "delivered"
    assert receiver.received[-1].path == "/new"


def test_a_deleted_endpoint(connection: Redis, receiver: Receiver, context: CallbackContext) -> None:
    """Nothing is sent there any more, and the event is not tried again."""
    endpoint = Endpoints(connection).create("one", receiver.url(), ALL)
    event_id = store(connection, endpoint)
    assert Endpoints(connection).delete(endpoint.id)
    assert deliver(event_id, context).outcome == "undelivered"
    assert receiver.received == []


def test_there_are_not_too_many(connection: Redis) -> None:
    """The number of endpoints has a limit."""
    for number in range(MAX_ENDPOINTS):
        Endpoints(connection).create(str(number), "https://example.com/", ALL)
    with pytest.raises(TooManyEndpoints):
        Endpoints(connection).create("one too many", "https://example.com/", ALL)


def test_what_is_stored_can_be_read_by_version_0_1_0(connection: Redis) -> None:
    """It takes the stored fields as its own, and would fail at one more."""
    made = Endpoints(connection).create("mine", "https://example.com/", ALL)
    stored = json.loads(connection.hget(KEY, made.id) or b"")
    fields = {"id", "name", "url", "event_types", "created_at", "updated_at", "secret", "old_secret", "old_until"}
    assert set(stored) == fields
    assert Endpoints(connection).get(made.id) == made
