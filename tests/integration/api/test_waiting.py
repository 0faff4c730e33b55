"""Clients that wait for their answers, over real HTTP."""

from __future__ import annotations

import json
import math
import signal
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from typing import TYPE_CHECKING, Any

import pytest

from api.services import EXTENSION
from app import errors, worker_status
from app.error_codes import ErrorCode
from app.gate import Cause, Gate
from app.jobs.record import DONE, Status
from app.jobs.store import Jobs, Submission
from app.maintenance import Maintenance
from app.settings import Settings
from app.worker_status import WorkerState, WorkerStatus
from tests.integration.api.running import api, chat_body, receive, send
from tests.redis_server import wait_until

if TYPE_CHECKING:
    from flask.testing import FlaskClient
    from redis import Redis

    from tests.fake_worker import FakeWorker
    from tests.integration.api.conftest import MakeClient
    from tests.integration.api.running import RunningApi
    from tests.redis_server import RedisForTests

PATH = "/v1/chat/completions"


def status_of(connection: Redis, job_id: str) -> Status:
    record = Jobs(connection, Settings()).get(job_id)
    assert record is not None
    return record.status


def test_answer(server: RunningApi, worker: FakeWorker) -> None:
    """The client gets the body that the worker published, its headers, and the job's id as the completion's."""
    with closing(server.connect()) as waiting:
        send(waiting, "POST", PATH, chat_body("grüße", temperature=0.5, seed=7, foo=1))
        lease, record = worker.take()
        payload = worker.payload(record.id)
        worker.answer(lease, "schöne grüße", **{"x-nightshift-cost-usd": "0.01"})
        answer = receive(waiting)
    assert answer.status == 200
    assert answer.json["id"] == record.id
    assert "schöne grüße".encode() in answer.body
    assert answer.headers["content-length"] == str(len(answer.body))
    assert answer.headers["x-nightshift-cost-usd"] == "0.01"
    assert answer.headers["x-nightshift-ignored"] == "seed, foo"
    assert answer.headers["x-request-id"] == record.request_id
    assert payload == {"claude_model": "sonnet", "request": chat_body("grüße", temperature=0.5)}


def test_error_outcome(server: RunningApi, worker: FakeWorker) -> None:
    """An error that the worker published is the client's, status and advice included."""
    with closing(server.connect()) as waiting:
        send(waiting, "POST", PATH, chat_body())
        lease, _ = worker.take()
        worker.fail(lease, errors.rate_limited("slow down", ErrorCode.OVERLOADED, 7))
        answer = receive(waiting)
    assert answer.status == 429
    assert answer.error["code"] == "overloaded"
    assert answer.headers["retry-after"] == "7"
    assert answer.headers["x-should-retry"] == "true"


def test_many_wait_with_one_listener(server: RunningApi, worker: FakeWorker, connection: Redis) -> None:
    """200 clients wait at once, share one subscription, leave room for /health, and each gets its own answer."""
    before = len(connection.client_list(_type="pubsub"))
    with ThreadPoolExecutor(200) as pool:
        asked = [pool.submit(server.chat, f"number {number}") for number in range(200)]
        wait_until(lambda: server.waiting() == 200, "200 waiting clients")
        assert server.ask("GET", "/health").status == 200
        assert len(connection.client_list(_type="pubsub")) <= max(1, before)
        for _ in asked:
            lease, record = worker.take()
            worker.answer(lease, worker.payload(record.id)["request"]["messages"][0]["content"])
        answers = [one.result(120) for one in asked]
    contents = [answer.json["choices"][0]["message"]["content"] for answer in answers]
    assert contents == [f"number {number}" for number in range(200)]
    assert server.waiting() == 0


def test_client_that_leaves(server: RunningApi, worker: FakeWorker, connection: Redis) -> None:
    """A job whose client hung up is cancelled after the grace, not before."""
    waiting = server.connect()
    send(waiting, "POST", PATH, chat_body("to be left"))
    _, record = worker.take()
    waiting.close()
    maintenance = Maintenance(connection, Settings())
    wait_until(lambda: server.waiting() == 0, "the server's noticing")
    maintenance.run_once()
    assert status_of(connection, record.id) is Status.IN_PROGRESS

    def is_cancelled() -> bool:
        maintenance.run_once()
        return status_of(connection, record.id) is Status.CANCELLED

    wait_until(is_cancelled, "the cancelling")


def test_retry_joins(server: RunningApi, worker: FakeWorker, connection: Redis) -> None:
    """A client's own retry of the same request gets the first try's job, which is then not cancelled."""
    waiting = server.connect()
    send(waiting, "POST", PATH, chat_body("join me"), {"x-stainless-retry-count": "0"})
    lease, record = worker.take()
    waiting.close()
    wait_until(lambda: server.waiting() == 0, "the server's noticing")
    with closing(server.connect()) as again:
        send(again, "POST", PATH, chat_body("join me"), {"x-stainless-retry-count": "1"})
        wait_until(lambda: server.waiting() == 1, "the retry")
        time.sleep(3.1)  # the grace of the first try
        Maintenance(connection, Settings()).run_once()
        worker.answer(lease)
        answer = receive(again)
    assert answer.status == 200
    assert answer.json["id"] == record.id
    assert Jobs(connection, Settings()).queued() == 0


def test_other_body_does_not_join(server: RunningApi, worker: FakeWorker) -> None:
    """A retry of another request is a job of its own."""
    with closing(server.connect()) as one, closing(server.connect()) as other:
        send(one, "POST", PATH, chat_body("one"))
        lease, record = worker.take()
        send(other, "POST", PATH, chat_body("other"), {"x-stainless-retry-count": "1"})
        other_lease, other_record = worker.take()
        assert other_record.id != record.id
        worker.answer(other_lease)
        worker.answer(lease)
        assert receive(other).json["id"] == other_record.id
        assert receive(one).json["id"] == record.id


def test_deadline(server: RunningApi, connection: Redis) -> None:
    """When the client's time is up it gets a 504, and its job never starts."""
    answer = server.chat("late", {"X-Request-Timeout": "0.5", "x-stainless-read-timeout": "600"})
    assert (answer.status, answer.error["code"]) == (504, "deadline_exceeded")
    assert answer.headers["x-should-retry"] == "false"
    (record,) = Jobs(connection, Settings()).newest()
    assert record.status is Status.FAILED


@pytest.mark.parametrize(("told", "given"), [("3", 600), ("1234", 1234)])
def test_a_clients_own_timeout_is_no_deadline(server: RunningApi, worker: FakeWorker, told: str, given: float) -> None:
    """What OpenAI's client says of its timeout is when it hangs up: no job has less time for it, and one may have more."""
    with closing(server.connect()) as waiting:
        send(waiting, "POST", PATH, chat_body(), {"x-stainless-read-timeout": told})
        lease, record = worker.take()
        assert record.deadline_at - record.created_at == pytest.approx(given, abs=1)
        worker.answer(lease)
        receive(waiting)


@pytest.mark.parametrize("cause", [Cause.USAGE_LIMIT, Cause.UTILIZATION])
def test_usage_limit_beyond_the_deadline(server: RunningApi, connection: Redis, cause: Cause) -> None:
    """A client that would wait for a reset after its deadline is told so at once, with the time."""
    until = time.time() + 3600
    Gate(connection).close(cause, until, "five hour limit", "five_hour")
    answer = server.chat("limited", {"X-Request-Timeout": "60"})
    assert (answer.status, answer.error["code"]) == (429, f"{cause}_reached")
    assert 3500 < int(answer.headers["retry-after"]) <= 3600
    assert time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(until)) in answer.error["message"]
    (record,) = Jobs(connection, Settings()).newest()
    assert record.status is Status.FAILED


def test_what_takes_longer_than_the_client_stays_is_said_at_once(server: RunningApi, connection: Redis) -> None:
    """A limit that ends after the client's own timeout is told while it is there to hear of it."""
    Gate(connection).close(Cause.USAGE_LIMIT, time.time() + 60, "five hour limit", "five_hour")
    answer = server.chat("limited", {"x-stainless-read-timeout": "5"})
    assert (answer.status, answer.error["code"]) == (429, "usage_limit_reached")


def test_usage_limit_before_the_deadline(server: RunningApi, connection: Redis, worker: FakeWorker) -> None:
    """A client whose deadline is after the reset waits for it."""
    Gate(connection).close(Cause.USAGE_LIMIT, time.time() + 3, "five hour limit", "five_hour")
    with closing(server.connect()) as waiting:
        send(waiting, "POST", PATH, chat_body(), {"X-Request-Timeout": "60"})
        lease, _ = worker.take()
        time.sleep(1.5)  # a look at the gate
        worker.answer(lease)
        assert receive(waiting).status == 200


@pytest.mark.parametrize("probe_in", [3600, -1])
@pytest.mark.parametrize("stream", [False, True])
def test_login_that_does_not_work(server: RunningApi, connection: Redis, probe_in: float, *, stream: bool) -> None:
    """Without a login a client hears at once why, and that trying again is of no use; what is asynchronous waits."""
    Gate(connection).close(Cause.LOGIN, math.inf, "invalid x-api-key", probe_at=time.time() + probe_in)
    time.sleep(1.1)  # what the server knows of the gate may be a second old
    began = time.monotonic()
    answer = server.chat("no login", stream=stream)
    assert time.monotonic() - began < 60
    assert (answer.status, answer.error["code"]) == (503, "login_required")
    assert "(invalid x-api-key)" in answer.error["message"]
    assert answer.headers["x-should-retry"] == "false"
    later = server.chat("later", {"Prefer": "respond-async"}).json["id"]
    assert status_of(connection, later) is Status.QUEUED


def test_a_login_that_may_be_another_by_now(server: RunningApi, connection: Redis, worker: FakeWorker) -> None:
    """While all workers start, their login may work: a client waits for what they find."""
    worker_status.write(connection, WorkerStatus(name="w", state=WorkerState.STARTING))
    Gate(connection).close(Cause.LOGIN, math.inf, "invalid x-api-key", probe_at=time.time() + 3600)
    time.sleep(1.1)
    with closing(server.connect()) as waiting:
        send(waiting, "POST", PATH, chat_body())
        lease, _ = worker.take()
        worker.answer(lease)
        assert receive(waiting).status == 200


@pytest.mark.parametrize(
    ("state", "code", "said"),
    [
        (None, "no_worker", "No worker is running."),
        (WorkerState.UNAVAILABLE, "no_worker_ready", "Claude could not be started: no such file"),
        (WorkerState.WAITING_FOR_LOGIN, "login_required", "login"),
    ],
)
def test_nobody_serves(redis_url: str, connection: Redis, state: WorkerState | None, code: str, said: str) -> None:
    """When that has lasted, a client hears at once why; it waits for workers that start, and what is asynchronous waits too."""
    with api(redis_url, NIGHTSHIFT_NO_WORKER_GRACE_SECONDS="1") as server:
        worker_status.write(connection, WorkerStatus(name="w", state=WorkerState.STARTING))
        answer = server.chat("starting", {"X-Request-Timeout": "2.5"})
        assert (answer.status, answer.error["code"]) == (504, "deadline_exceeded")
        worker_status.remove(connection, "w")
        if state is not None:
            reason = "Claude could not be started: no such file"
            worker_status.write(connection, WorkerStatus(name="w", state=state, reason=reason))
        answer = server.chat("a while", {"X-Request-Timeout": "20"})
        assert (answer.status, answer.error["code"]) == (503, code)
        assert said in answer.error["message"]
        assert min(_seconds_until(server, code) for _ in range(5)) < 1, "each has waited the grace"
        assert server.chat("a stream", stream=True).error["code"] == code
        later = server.chat("later", {"Prefer": "respond-async"}).json["id"]
        assert status_of(connection, later) is Status.QUEUED


def _seconds_until(server: RunningApi, code: str) -> float:
    """How long a client waits for an error; on a busy machine one in five may be late."""
    began = time.monotonic()
    assert server.chat("at once").error["code"] == code
    return time.monotonic() - began


def test_lost_subscription(own_redis: RedisForTests) -> None:
    """What is published while the listener has no connection is looked up when it has one again."""
    from redis import Redis

    from tests.fake_worker import FakeWorker

    with api(own_redis.url) as server, closing(server.connect()) as waiting:
        send(waiting, "POST", PATH, chat_body())
        with Redis.from_url(own_redis.url) as connection:
            worker = FakeWorker(connection)
            lease, _ = worker.take()
            connection.execute_command("CLIENT", "KILL", "TYPE", "pubsub")
            worker.answer(lease)
        assert receive(waiting).status == 200


def test_too_many_waiting(connection: Redis, redis_url: str, worker: FakeWorker) -> None:
    """Beyond the cap a client is refused before a job is made; /health still answers."""
    with api(redis_url, NIGHTSHIFT_MAX_WAITING="2", NIGHTSHIFT_API_THREADS="4") as server:
        first = [server.connect() for _ in range(2)]
        for waiting in first:
            send(waiting, "POST", PATH, chat_body())
        wait_until(lambda: server.waiting() == Jobs(connection, Settings()).queued() == 2, "two waiting clients")
        answer = server.chat()
        assert (answer.status, answer.error["code"]) == (429, "too_many_waiting")
        assert int(answer.headers["retry-after"]) >= 1
        assert Jobs(connection, Settings()).queued() == 2
        for _ in first:
            lease, _record = worker.take()
            worker.answer(lease)
        assert [receive(waiting).status for waiting in first] == [200, 200]
        for waiting in first:
            waiting.close()


def test_sigterm(redis_url: str, connection: Redis) -> None:
    """SIGTERM sends waiting clients away with a 503 and advice; then it is gone, the jobs live on for a while."""
    with api(redis_url) as server:
        waiting = [server.connect() for _ in range(100)]
        # A stream's head is sent after some seconds, which a busy machine needs for a hundred requests: the streams come last.
        for number, one in enumerate(waiting):
            send(one, "POST", PATH, chat_body(stream=number >= 90), {"x-stainless-read-timeout": "600"})
        wait_until(lambda: server.waiting() == Jobs(connection, Settings()).queued() == 100, "waiting clients")
        server.process.terminate()
        answers = [receive(one) for one in waiting]
        server.process.wait(120)
    assert {answer.status for answer in answers} == {503}
    assert {answer.error["code"] for answer in answers} == {"server_stopping"}
    assert all(int(answer.headers["retry-after"]) >= 1 for answer in answers)
    Maintenance(connection, Settings()).run_once()
    assert Jobs(connection, Settings()).queued() == 100


def test_leaving(redis_url: str, worker: FakeWorker) -> None:
    """After SIGUSR2 who waits still has an answer; after SIGTERM on top of it, a 503, and then it ends."""
    with api(redis_url) as server:
        answered, late = server.connect(), server.connect()
        send(answered, "POST", PATH, chat_body())
        lease, _ = worker.take()
        send(late, "POST", PATH, chat_body())
        wait_until(lambda: server.waiting() == 2, "waiting clients")
        server.process.send_signal(signal.SIGUSR2)
        worker.answer(lease)
        assert receive(answered).status == 200
        server.process.terminate()
        refused = receive(late)
        assert (refused.status, refused.error["code"]) == (503, "server_stopping")
        assert server.process.wait(120) == 0  # a connection that is kept lingers a little


def test_outcome_between_submit_and_register(make_client: MakeClient, connection: Redis, worker: FakeWorker) -> None:
    """An outcome that is published before the waiter registers is found: no wake-up is lost."""
    client = make_client()
    # The listener must be there already: it looks around when it subscribes, which would hide a lost wake-up.
    listener = client.application.extensions[EXTENSION].waiting.listener
    event = listener.register("chatcmpl-other")

    def hears() -> bool:
        connection.publish(DONE, json.dumps({"id": "chatcmpl-other"}))
        return bool(event.wait(0.05))

    wait_until(hears, "the listener's hearing")
    real = Jobs.submit
    done = threading.Event()

    def slow(self: Jobs, *args: Any, **options: Any) -> Submission:
        made = real(self, *args, **options)
        lease, record = worker.take()
        told = listener.register(record.id)
        worker.answer(lease)
        assert told.wait(60)  # the one wake-up there is has been spent
        listener.forget(record.id, told)
        done.set()
        return made

    Jobs.submit = slow  # type: ignore[method-assign]
    try:
        began = time.monotonic()
        response = client.post(PATH, json=chat_body(), headers={"X-Request-Timeout": "60"})
    finally:
        Jobs.submit = real  # type: ignore[method-assign]
    assert done.is_set()
    assert response.status_code == 200
    assert time.monotonic() - began < 30


def test_no_new_wait_while_stopping(make_client: MakeClient, connection: Redis) -> None:
    """Once the process stops, a request is sent away before a job is made of it."""
    client = make_client()
    client.application.extensions[EXTENSION].waiting.stop()
    response = client.post(PATH, json=chat_body())
    assert (response.status_code, response.get_json()["error"]["code"]) == (503, "server_stopping")
    assert Jobs(connection, Settings()).queued() == 0


def test_retry_after_the_grace(client: FlaskClient, connection: Redis) -> None:
    """A retry that comes when its first try has been given up is a new job, not the old one's error."""
    record = _first_try(client)
    Jobs(connection, Settings()).cancel(record, errors.client_left())
    again = client.post(PATH, json=chat_body(), headers={"x-stainless-retry-count": "1", "Prefer": "respond-async"})
    assert again.get_json()["id"] != record


def test_retry_after_the_answer(client: FlaskClient, connection: Redis, worker: FakeWorker) -> None:
    """A retry that comes when its first try's answer is there gets that answer, and nothing runs twice."""
    record = _first_try(client)
    lease, _ = worker.take()
    worker.answer(lease, "once")
    again = client.post(PATH, json=chat_body(), headers={"x-stainless-retry-count": "2"})
    assert again.get_json()["id"] == record
    assert Jobs(connection, Settings()).queued() == 0


def _first_try(client: FlaskClient) -> str:
    """A request whose 202 did not reach its client, say. The job's id."""
    return str(client.post(PATH, json=chat_body(), headers={"Prefer": "respond-async"}).get_json()["id"])
