"""Jobs that nobody waits for: 202, polling, cancelling, lists, idempotency, callbacks."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import pytest

from app import errors
from app.jobs import search
from app.jobs.record import ALL_JOBS, record_key
from app.jobs.store import Jobs
from app.maintenance import Maintenance
from app.settings import Settings
from tests.integration.api.running import chat_body
from tests.integration.jobs.conftest import new_record

if TYPE_CHECKING:
    from flask.testing import FlaskClient
    from redis import Redis
    from werkzeug.test import TestResponse

    from tests.fake_worker import FakeWorker
    from tests.integration.api.conftest import MakeClient

PATH = "/v1/chat/completions"
ASYNC = {"Prefer": "respond-async"}


def submit(client: FlaskClient, content: str = "hi", **headers: str) -> TestResponse:
    response = client.post(PATH, json=chat_body(content), headers={**ASYNC, **headers})
    assert response.status_code == 202
    return response


def test_respond_async(client: FlaskClient, worker: FakeWorker) -> None:
    """`Prefer: respond-async` answers at once with the job; its Location leads to the result."""
    response = submit(client)
    job = response.get_json()
    assert response.headers["Preference-Applied"] == "respond-async"
    assert response.headers["Location"] == f"/v1/jobs/{job['id']}"
    assert (job["object"], job["type"], job["status"], job["position"]) == (
        "job",
        "chat.completion",
        "queued",
        0,
    )
    assert job["deadline_at"] - job["created_at"] in (86400, 86401)
    lease, _ = worker.take()
    running = client.get(response.headers["Location"]).get_json()
    assert (running["status"], running["attempts"], running["position"]) == ("in_progress", 1, None)
    worker.answer(lease, "done")
    ended = client.get(response.headers["Location"]).get_json()
    assert ended["status"] == "completed"
    assert ended["result"]["id"] == job["id"]
    assert ended["result"]["choices"][0]["message"]["content"] == "done"
    assert ended["error"] is None
    assert ended["created_at"] <= ended["started_at"] <= ended["finished_at"]


def test_failed_job(client: FlaskClient, worker: FakeWorker) -> None:
    """A failed job shows its error with OpenAI's four keys."""
    job = submit(client).get_json()
    lease, _ = worker.take()
    worker.fail(lease, errors.upstream_failed("it broke"))
    ended = client.get(f"/v1/jobs/{job['id']}").get_json()
    assert ended["status"] == "failed"
    assert ended["error"] == {
        "message": "it broke",
        "type": "server_error",
        "param": None,
        "code": "upstream_error",
    }


def test_timeout_of_async_job(client: FlaskClient) -> None:
    """An async job has the time that X-Request-Timeout gives it; the client's read timeout is about reading only."""
    job = submit(client, **{"X-Request-Timeout": "90", "x-stainless-read-timeout": "5"}).get_json()
    assert job["deadline_at"] - job["created_at"] in (90, 91)


def test_cancel(client: FlaskClient, worker: FakeWorker) -> None:
    """A cancelled job never starts; cancelling twice is the same as once."""
    job = submit(client).get_json()
    for _ in range(2):
        cancelled = client.post(f"/v1/jobs/{job['id']}/cancel").get_json()
        assert (cancelled["status"], cancelled["error"]["code"]) == ("cancelled", "cancelled")
    with pytest.raises(AssertionError, match="a job in the queue"):
        worker.take(timeout=0.2)


def test_cancel_after_the_end(client: FlaskClient, worker: FakeWorker) -> None:
    """A job that has ended stays what it is."""
    job = submit(client).get_json()
    lease, _ = worker.take()
    worker.answer(lease)
    response = client.post(f"/v1/jobs/{job['id']}/cancel")
    assert (response.status_code, response.get_json()["status"]) == (200, "completed")


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/v1/jobs/chatcmpl-none"),
        ("POST", "/v1/jobs/chatcmpl-none/cancel"),
        ("GET", "/v1/jobs/a:request"),
        ("GET", "/v1/events/evt_none"),
        ("POST", "/v1/events/evt_none/resend"),
        ("GET", "/v1/events/due:attempts"),
    ],
)
def test_unknown(client: FlaskClient, method: str, path: str) -> None:
    """What is not there is a 404, whatever the id looks like."""
    response = client.open(path, method=method)
    assert response.status_code == 404
    assert response.get_json()["error"]["code"] in ("job_not_found", "event_not_found")


def test_list_pages(client: FlaskClient) -> None:
    """Lists are OpenAI's: newest first, `after` and `has_more` lead through all of it."""
    ids = [submit(client, str(number)).get_json()["id"] for number in range(5)]
    seen: list[str] = []
    query = "?limit=2"
    while True:
        page = client.get(f"/v1/jobs{query}").get_json()
        assert page["object"] == "list"
        assert page["first_id"] == page["data"][0]["id"]
        assert page["last_id"] == page["data"][-1]["id"]
        seen += [job["id"] for job in page["data"]]
        if not page["has_more"]:
            break
        query = f"?limit=2&after={page['last_id']}"
    assert seen == ids[::-1]


def test_list_by_status(client: FlaskClient, worker: FakeWorker) -> None:
    """`status` picks the jobs in that state."""
    first, second = (submit(client, text).get_json()["id"] for text in ("a", "b"))
    lease, _ = worker.take()
    worker.answer(lease)

    def listed(status: str) -> list[str]:
        return [job["id"] for job in client.get(f"/v1/jobs?status={status}").get_json()["data"]]

    assert (listed("completed"), listed("queued"), listed("failed")) == ([first], [second], [])


@pytest.mark.parametrize(
    ("query", "param"),
    [
        ("status=done", "status"),
        ("limit=0", "limit"),
        ("limit=101", "limit"),
        ("limit=x", "limit"),
        ("limit=²", "limit"),
        ("after=chatcmpl-none", "after"),
    ],
)
def test_bad_list_query(client: FlaskClient, query: str, param: str) -> None:
    """A wrong query is a 400 that names its parameter."""
    response = client.get(f"/v1/jobs?{query}")
    assert response.status_code == 400
    assert response.get_json()["error"]["param"] == param


def test_idempotency_key(client: FlaskClient, connection: Redis) -> None:
    """The same key and body are one job; the same key with another body is a conflict."""
    key = {"Idempotency-Key": "order-1"}
    first, second = (submit(client, "same", **key).get_json()["id"] for _ in range(2))
    assert first == second
    assert Jobs(connection, Settings()).queued() == 1
    other = client.post(PATH, json=chat_body("other"), headers={**ASYNC, **key})
    assert (other.status_code, other.get_json()["error"]["code"]) == (409, "idempotency_key_reused")


def test_idempotency_key_of_cancelled_job(client: FlaskClient) -> None:
    """A key whose job was cancelled runs anew: there is no answer to repeat."""
    key = {"Idempotency-Key": "order-2"}
    first = submit(client, "same", **key).get_json()["id"]
    client.post(f"/v1/jobs/{first}/cancel")
    assert submit(client, "same", **key).get_json()["id"] != first


def test_idempotency_key_belongs_to_its_caller(make_client: MakeClient) -> None:
    """Two callers may choose the same key: each gets a job of its own."""
    client = make_client(api_keys=("one", "two"))
    jobs = [
        submit(client, "same", **{"Idempotency-Key": "k", "Authorization": f"Bearer {key}"}).get_json()["id"]
        for key in ("one", "two", "one")
    ]
    assert jobs[0] == jobs[2] != jobs[1]


def test_async_job_outlives_a_client_that_joined(client: FlaskClient, connection: Redis) -> None:
    """A waiting client that joins an async job and runs out of patience does not take the job with it."""
    key = {"Idempotency-Key": "joined"}
    job = submit(client, **key).get_json()
    response = client.post(PATH, json=chat_body(), headers={**key, "X-Request-Timeout": "0.3"})
    assert response.status_code == 504
    Maintenance(connection, Settings()).run_once()
    assert client.get(f"/v1/jobs/{job['id']}").get_json()["status"] == "queued"


def test_queue_full(make_client: MakeClient) -> None:
    """A full queue is a 429 with advice."""
    client = make_client(max_queued=1)
    submit(client)
    response = client.post(PATH, json=chat_body(), headers=ASYNC)
    assert (response.status_code, response.get_json()["error"]["code"]) == (429, "queue_full")
    assert int(response.headers["Retry-After"]) >= 1


@pytest.mark.parametrize(
    "url", ["http://127.0.0.1/x", "http://169.254.169.254/", "ftp://example.com/", "http://a:b@1.1.1.1/", "x"]
)
def test_callback_url_is_checked_at_the_door(client: FlaskClient, url: str, connection: Redis) -> None:
    """A callback to anything but a public address is a 400, and no job is made."""
    response = client.post(PATH, json=chat_body(callback_url=url))
    assert response.status_code == 400
    assert response.get_json()["error"]["param"] == "callback_url"
    assert Jobs(connection, Settings()).queued() == 0


def test_callback_event(make_client: MakeClient, worker: FakeWorker) -> None:
    """A job with a callback answers 202; its event can be looked at, listed and sent again."""
    client = make_client(callback_allowed_hosts=("localhost",))
    response = client.post(PATH, json=chat_body(callback_url="http://localhost:1/hook"))
    assert response.status_code == 202
    job = response.get_json()
    assert job["callback_url"] == "http://localhost:1/hook"
    lease, _ = worker.take()
    worker.answer(lease)
    (event,) = client.get("/v1/events?status=pending").get_json()["data"]
    assert event["type"] == "chat.completion.completed"
    assert event["delivery"]["status"] == "pending"
    assert client.get(f"/v1/events/{event['id']}").get_json()["id"] == event["id"]
    resent = client.post(f"/v1/events/{event['id']}/resend").get_json()
    assert resent["delivery"]["next_attempt_at"] <= time.time()
    assert client.get("/v1/events").get_json()["data"] == []
    assert client.get("/v1/events?status=x").status_code == 400
    assert client.get("/v1/events?after=x").get_json()["error"]["param"] == "after"


def test_metadata(client: FlaskClient) -> None:
    """What a client notes on a request is in its job."""
    noted: dict[str, Any] = {"team": "blue", "run": "7"}
    job = client.post(PATH, json=chat_body(metadata=noted), headers=ASYNC).get_json()
    assert client.get(f"/v1/jobs/{job['id']}").get_json()["metadata"] == noted


def test_search_by_metadata(client: FlaskClient) -> None:
    """Jobs with all the pairs of the query, newest first, page by page; what only looks alike is none of them."""
    made = []
    for doc in range(5):
        metadata = {"step": "extract" if doc % 2 else "load", "doc": str(doc), "note": 'é "doc": "7"'}
        made.append(client.post(PATH, json=chat_body(metadata=metadata), headers=ASYNC).get_json()["id"])
    client.post(PATH, json=chat_body(metadata={'x"doc': "7", "doc": "77"}), headers=ASYNC)

    def found(query: str) -> list[str]:
        return [job["id"] for job in client.get(f"/v1/jobs?{query}").get_json()["data"]]

    assert found("metadata[step]=extract") == [made[3], made[1]]
    assert found("metadata[step]=extract&metadata[doc]=1") == [made[1]]
    assert found("metadata[note]=%C3%A9 %22doc%22: %227%22&limit=2") == [made[4], made[3]]
    assert found(f"metadata[step]=load&limit=2&after={made[4]}") == [made[2], made[0]]
    assert found("metadata[doc]=7") == found("metadata[step]=extract&status=failed") == []
    assert client.get("/v1/jobs?metadata[step]=load&limit=2").get_json()["has_more"]


@pytest.mark.parametrize("query", ["metadata=x", "metadata[]x=1", "&".join(f"metadata[{n}]=1" for n in range(17))])
def test_search_by_what_is_no_pair(client: FlaskClient, query: str) -> None:
    """Metadata that is not written as pairs is refused, not passed over."""
    response = client.get(f"/v1/jobs?{query}")
    assert (response.status_code, response.get_json()["error"]["param"]) == (400, "metadata")


def test_search_goes_on_beyond_a_slice(connection: Redis, monkeypatch: pytest.MonkeyPatch) -> None:
    """What lies deep in the index is found, whichever end the search begins at."""
    monkeypatch.setattr(search, "_SLICE", 3)
    for number in range(10):
        record = new_record(f"chatcmpl-{number}", metadata={"number": str(number // 4)})
        connection.hset(record_key(record.id), mapping=record.to_hash())  # type: ignore[arg-type]
        connection.zadd(ALL_JOBS, {record.id: number})
    for newest_first in (True, False):
        found = search.records(connection, ALL_JOBS, limit=3, metadata={"number": "1"}, newest_first=newest_first)
        wanted = (
            ["chatcmpl-7", "chatcmpl-6", "chatcmpl-5"] if newest_first else ["chatcmpl-4", "chatcmpl-5", "chatcmpl-6"]
        )
        assert [record.id for record in found] == wanted
    monkeypatch.setattr(search, "MAX_SCANNED", 6)
    assert not list(search.records(connection, ALL_JOBS, limit=3, metadata={"number": "0"}))
    assert len(list(search.records(connection, ALL_JOBS, limit=9, after="chatcmpl-3", metadata={"number": "0"}))) == 3


@pytest.mark.parametrize(
    ("path", "content"),
    [
        ("/v1/chat/completions", {"messages": [{"role": "user", "content": "a"}]}),
        ("/v1/responses", {"input": "a"}),
        ("/v1/completions", {"prompt": "a"}),
    ],
)
def test_message_batches_are_for_lines_of_a_batch(client: FlaskClient, path: str, content: dict[str, Any]) -> None:
    """A request by itself that asks for them is told where they are, and what is cheap for it."""
    response = client.post(path, json={"model": "sonnet", "service_tier": "batch", **content})
    assert response.status_code == 400
    error = response.json["error"] if response.json else {}
    assert (error["param"], error["code"]) == ("service_tier", "unsupported_value")
    assert "/v1/batches" in error["message"]
    assert "flex" in error["message"]
