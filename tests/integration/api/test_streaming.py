"""Streams over real HTTP, with worker that play the worker."""

from __future__ import annotations

import json
import socket
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from typing import TYPE_CHECKING, Any, ClassVar

import openai
import pytest

from app import errors
from app.error_codes import ErrorCode
from app.gate import Cause, Gate
from app.jobs import recovery
from app.jobs.change import Reason
from app.jobs.record import Status
from app.jobs.store import Jobs
from app.maintenance import Maintenance
from app.messages.answer import TextDelta
from app.settings import Settings
from tests.fake_worker import FakeWorker
from tests.integration.api.running import api, chat_body, send
from tests.redis_server import wait_until
from workers.streaming import DeltaWriter

if TYPE_CHECKING:
    from collections.abc import Iterator
    from http.client import HTTPConnection, HTTPResponse

    from redis import Redis

    from app.jobs.change import Lease
    from tests.integration.api.running import RunningApi
    from tests.redis_server import RedisForTests

PATH = "/v1/chat/completions"
KEEP_ALIVE = ": keep-alive"


class Teller:
    """What a worker does while Claude writes."""

    made: ClassVar[list[Teller]] = []

    def __init__(self, connection: Redis, lease: Lease) -> None:
        self._writer = DeltaWriter(connection, lease, expires_at=time.time() + 60)
        self.made.append(self)

    def tell(self, text: str) -> None:
        self._writer.put(TextDelta(text, "claude-test"))

    def stop(self) -> None:
        self._writer.stop()

    def end(self) -> None:
        self.stop()
        self._writer._thread.join(10)


@pytest.fixture(autouse=True)
def _no_teller_is_left(connection: Redis) -> Iterator[None]:
    """One that still writes when its connection is closed would fail in its thread."""
    yield
    while Teller.made:
        Teller.made.pop().end()


class Reader:
    """An open stream, read event by event."""

    def __init__(self, connection: HTTPConnection) -> None:
        self.response: HTTPResponse = connection.getresponse()

    def next(self, *, keep_alives: bool = False) -> str:
        """The next event or comment; empty at the body's end."""
        line = self.response.readline().decode().rstrip("\n")
        if line and not line.startswith(":"):
            assert self.response.readline() == b"\n"
        if line == KEEP_ALIVE and not keep_alives:
            return self.next()
        return line

    def chunk(self) -> dict[str, Any]:
        """The next event, parsed."""
        line = self.next()
        assert line.startswith("data: {"), line
        found: dict[str, Any] = json.loads(line[6:])
        return found

    def delta(self) -> dict[str, Any]:
        """The next chunk's delta."""
        found: dict[str, Any] = self.chunk()["choices"][0]["delta"]
        return found

    def content(self, length: int) -> str:
        """That many characters of content, role and comments left out."""
        found = ""
        while len(found) < length:
            found += self.delta().get("content", "")
        return found


def ask(
    server: RunningApi, content: str = "hi", headers: dict[str, str] | None = None, **fields: Any
) -> HTTPConnection:
    connection = server.connect()
    send(connection, "POST", PATH, chat_body(content, stream=True, **fields), headers)
    return connection


def status_of(connection: Redis, job_id: str) -> Status:
    record = Jobs(connection, Settings()).get(job_id)
    assert record is not None
    return record.status


def test_piece_by_piece(server: RunningApi, worker: FakeWorker, connection: Redis) -> None:
    """Each piece reaches the client before the next is written; then come the reason, the end and nothing more."""
    with closing(ask(server, stream_options={"include_usage": True})) as asked:
        lease, record = worker.take()
        assert record.streams
        teller = Teller(connection, lease)
        teller.tell("grü")
        reader = Reader(asked)
        assert reader.response.status == 200
        assert reader.response.headers["content-type"].startswith("text/event-stream")
        assert reader.response.headers["x-accel-buffering"] == "no"
        first = reader.chunk()
        assert first["choices"][0]["delta"]["role"] == "assistant"
        assert (first["id"], first["model"], first["usage"]) == (record.id, "claude-test", None)
        assert reader.delta() == {"content": "grü"}
        for text in ("ß", "e", " an alle"):
            teller.tell(text)
            assert reader.delta() == {"content": text}
        teller.stop()
        worker.answer(lease, "grüße an alle!")
        assert reader.delta() == {"content": "!"}
        assert reader.chunk()["choices"][0]["finish_reason"] == "stop"
        assert reader.chunk()["usage"]["total_tokens"] == 2
        assert reader.next() == "data: [DONE]"
        assert reader.response.read() == b""
    assert server.waiting() == 0


def test_poll_what_was_streamed(server: RunningApi, worker: FakeWorker) -> None:
    """The job of a stream has the completion as its result."""
    with closing(ask(server)) as asked:
        lease, record = worker.take()
        worker.answer(lease, "whole")
        reader = Reader(asked)
        assert reader.content(5) == "whole"
        job = server.ask("GET", f"/v1/jobs/{record.id}").json
        assert job["result"]["choices"][0]["message"]["content"] == "whole"


def test_keep_alive(server: RunningApi, worker: FakeWorker) -> None:
    """A client that bears a second's silence is kept by comments while its job is queued, and has its answer then."""
    with closing(ask(server, headers={"x-stainless-read-timeout": "1"})) as asked:
        reader = Reader(asked)
        assert [reader.next(keep_alives=True) for _ in range(4)] == [KEEP_ALIVE] * 4
        lease, record = worker.take()
        assert record.deadline_at - record.created_at > 60
        worker.answer(lease, "late")
        assert reader.content(4) == "late"


def test_an_early_error_is_an_http_error(server: RunningApi, worker: FakeWorker) -> None:
    """What goes wrong before the first byte has its true status and advice."""
    with closing(ask(server)) as asked:
        lease, _ = worker.take()
        worker.fail(lease, errors.rate_limited("slow down", ErrorCode.OVERLOADED, 7))
        response = asked.getresponse()
        assert response.status == 429
        assert response.headers["retry-after"] == "7"
        assert json.loads(response.read())["error"]["code"] == "overloaded"


@pytest.mark.parametrize("has_begun", [False, True])
def test_a_late_error_is_an_event(server: RunningApi, worker: FakeWorker, connection: Redis, has_begun: bool) -> None:
    """What goes wrong after the first byte is an event with OpenAI's four keys, and the last one."""
    with closing(ask(server, headers={"x-stainless-read-timeout": "1"})) as asked:
        reader = Reader(asked)
        assert reader.response.status == 200
        lease, _ = worker.take()
        if has_begun:
            Teller(connection, lease).tell("begun")
            assert reader.content(5) == "begun"
        worker.fail(lease, errors.upstream_failed("it broke"))
        assert reader.chunk() == errors.upstream_failed("it broke").body()
        assert reader.response.read() == b""


@pytest.mark.parametrize(
    ("fields", "headers", "param"),
    [
        ({"stream_options": {"include_usage": True}}, {}, "stream_options"),
        ({"stream": True, "callback_url": "https://example.com/"}, {}, "stream"),
        ({"stream": True}, {"Prefer": "respond-async"}, "stream"),
        ({"stream": "yes"}, {}, "stream"),
        ({"stream": True, "max_tokens": 0}, {}, "max_tokens"),
    ],
)
def test_refused(server: RunningApi, fields: dict[str, Any], headers: dict[str, str], param: str) -> None:
    """A request that can't be streamed is a plain 400 that names why."""
    answer = server.chat(headers=headers, **fields)
    assert (answer.status, answer.error["param"]) == (400, param)


def test_a_death_before_the_first_piece_is_invisible(server: RunningApi, worker: FakeWorker, connection: Redis) -> None:
    """The second run's answer follows on the same stream."""
    with closing(ask(server)) as asked:
        lease, _ = worker.take()
        recovery.worker_died(connection, Settings(), lease, Reason.WORKER_DIED)
        second, _ = worker.take()
        assert second.execution_id != lease.execution_id
        dead = Teller(connection, lease)
        dead.tell("from the dead")
        Teller(connection, second).tell("alive")
        reader = Reader(asked)
        assert reader.content(5) == "alive"
        worker.answer(second, "alive")
        assert reader.chunk()["choices"][0]["finish_reason"] == "stop"


def test_a_death_after_the_first_piece_is_an_error(server: RunningApi, worker: FakeWorker, connection: Redis) -> None:
    """The client hears that the answer broke off, and never a second beginning; nobody runs the job again."""
    with closing(ask(server)) as asked:
        lease, record = worker.take()
        Teller(connection, lease).tell("once upon")
        reader = Reader(asked)
        assert reader.content(9) == "once upon"
        recovery.worker_died(connection, Settings(), lease, Reason.WORKER_DIED)
        assert reader.chunk()["error"]["code"] == "stream_interrupted"
        assert reader.response.read() == b""
    assert status_of(connection, record.id) is Status.FAILED


def test_leaving_cancels(server: RunningApi, worker: FakeWorker, connection: Redis) -> None:
    """A stream that is left ends its job after the grace."""
    asked = ask(server)
    lease, record = worker.take()
    Teller(connection, lease).tell("begun")
    assert Reader(asked).content(5) == "begun"
    leave(asked)
    wait_until(lambda: server.waiting() == 0, "the server's noticing")

    def is_cancelled() -> bool:
        Maintenance(connection, Settings()).run_once()
        return status_of(connection, record.id) is Status.CANCELLED

    assert status_of(connection, record.id) is Status.IN_PROGRESS
    wait_until(is_cancelled, "the cancelling")


def leave(connection: HTTPConnection) -> None:
    """Close it at once, although its response still refers to the socket."""
    connection.sock.shutdown(socket.SHUT_RDWR)
    connection.close()


def test_a_retry_reads_from_the_beginning(server: RunningApi, worker: FakeWorker, connection: Redis) -> None:
    """A client's own retry joins the job, is given the text from its beginning, and what follows."""
    asked = ask(server, "again")
    lease, record = worker.take()
    teller = Teller(connection, lease)
    for text in ("one ", "two "):
        teller.tell(text)
    assert Reader(asked).content(8) == "one two "
    leave(asked)
    wait_until(lambda: server.waiting() == 0, "the server's noticing")
    with closing(ask(server, "again", {"x-stainless-retry-count": "1"})) as again:
        reader = Reader(again)
        assert reader.content(8) == "one two "
        teller.tell("three")
        assert reader.content(5) == "three"
        worker.answer(lease, "one two three")
        end = reader.chunk()
    assert (end["id"], end["choices"][0]["finish_reason"]) == (record.id, "stop")


def test_the_deadline(server: RunningApi, worker: FakeWorker, connection: Redis) -> None:
    """A deadline that passes in mid-stream ends it with an error, and the job."""
    with closing(ask(server, headers={"X-Request-Timeout": "2"})) as asked:
        lease, record = worker.take()
        Teller(connection, lease).tell("begun")
        reader = Reader(asked)
        assert reader.content(5) == "begun"
        assert reader.chunk()["error"]["code"] == "deadline_exceeded"
    assert status_of(connection, record.id) is Status.FAILED


def test_a_usage_limit_that_shows_at_once(server: RunningApi, connection: Redis) -> None:
    """A limit that outlasts the deadline is a 429."""
    _close_for_an_hour(connection)
    with closing(ask(server, headers={"X-Request-Timeout": "30"})) as asked:
        response = Reader(asked).response
        assert response.status == 429
        assert json.loads(response.read())["error"]["code"] == "usage_limit_reached"


def test_a_usage_limit_that_shows_later(server: RunningApi, connection: Redis) -> None:
    """When the stream is open already, the limit is an event in it."""
    with closing(ask(server, headers={"X-Request-Timeout": "30", "x-stainless-read-timeout": "1"})) as asked:
        reader = Reader(asked)
        assert reader.response.status == 200
        _close_for_an_hour(connection)
        assert reader.chunk()["error"]["code"] == "usage_limit_reached"


def _close_for_an_hour(connection: Redis) -> None:
    Gate(connection).close(Cause.USAGE_LIMIT, time.time() + 3600, "five hours")


def test_a_stop(redis_url: str, worker: FakeWorker, connection: Redis) -> None:
    """SIGTERM ends the streams with an error that says to come back; the job goes on for its client's return."""
    with api(redis_url) as server, closing(ask(server)) as asked:
        lease, record = worker.take()
        Teller(connection, lease).tell("begun")
        reader = Reader(asked)
        assert reader.content(5) == "begun"
        server.process.terminate()
        assert reader.chunk()["error"]["code"] == "server_stopping"
        assert status_of(connection, record.id) is Status.IN_PROGRESS


def test_a_client_that_does_not_read(server: RunningApi, worker: FakeWorker, connection: Redis) -> None:
    """It costs no memory and no thread for ever: when its deadline passes it is cut off, and its place is free."""
    with socket.create_connection(("127.0.0.1", server.port)) as slow:
        slow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        body = json.dumps(chat_body("slow", stream=True)).encode()
        head = f"POST {PATH} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nX-Request-Timeout: 4\r\n"
        slow.sendall(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body)
        lease, record = worker.take()
        teller = Teller(connection, lease)
        for _ in range(200):
            teller.tell("x" * 50_000)
            time.sleep(0.001)
        wait_until(lambda: server.waiting() == 0, "the end of the stream")
        teller.stop()
    assert status_of(connection, record.id) is Status.FAILED


def test_many_streams_with_one_listener(server: RunningApi, worker: FakeWorker, connection: Redis) -> None:
    """50 streams at once share one subscription, and each gets its own text, whole and in order."""
    before = len(connection.client_list(_type="pubsub"))

    def read(number: int) -> str:
        with closing(ask(server, f"number {number}")) as asked:
            reader, found = Reader(asked), ""
            while (event := reader.next()) != "data: [DONE]":
                found += json.loads(event[6:])["choices"][0]["delta"].get("content", "")
            return found

    with ThreadPoolExecutor(50) as pool:
        asked = [pool.submit(read, number) for number in range(50)]
        wait_until(lambda: server.waiting() == 50, "50 streams")
        assert len(connection.client_list(_type="pubsub")) <= max(1, before)
        held: list[tuple[Lease, Teller, str]] = []
        for _ in asked:
            lease, record = worker.take()
            name = worker.payload(record.id)["request"]["messages"][0]["content"]
            held.append((lease, Teller(connection, lease), name))
        for piece in range(20):
            for _, teller, name in held:
                teller.tell(f"[{name}: {piece}]")
        for lease, _, name in held:
            worker.answer(lease, "".join(f"[{name}: {piece}]" for piece in range(20)))
        texts = [one.result(30) for one in asked]
    assert texts == ["".join(f"[number {number}: {piece}]" for piece in range(20)) for number in range(50)]
    wait_until(lambda: server.waiting() == 0, "free places")


def test_streams_take_places(redis_url: str, worker: FakeWorker, connection: Redis) -> None:
    """A stream counts among those who wait, and gives its place back when it ends."""
    with api(redis_url, NIGHTSHIFT_MAX_WAITING="1") as server, closing(ask(server)) as asked:
        lease, _ = worker.take()
        Teller(connection, lease).tell("begun")
        reader = Reader(asked)
        assert reader.content(5) == "begun"
        assert server.chat().error["code"] == "too_many_waiting"
        worker.answer(lease, "begun")
        reader.response.read()
        with closing(ask(server)) as second:
            worker.answer(worker.take()[0], "two")
            assert Reader(second).content(3) == "two"


def test_redis_goes_and_comes_back(own_redis: RedisForTests) -> None:
    """A stream outlives a Redis that is away for a moment: it stays open, and the outcome completes it."""
    from redis import Redis as Client

    with api(own_redis.url) as server, Client.from_url(own_redis.url) as connection:
        worker = FakeWorker(connection)
        with closing(ask(server)) as asked:
            lease, _ = worker.take()
            Teller(connection, lease).tell("begun")
            reader = Reader(asked)
            assert reader.content(5) == "begun"
            # This server keeps nothing, so that what it knew is carried over.
            kept = {key: connection.dump(key) for key in connection.scan_iter("*")}
            own_redis.stop()
            own_redis.start()
            for key, value in kept.items():
                connection.restore(key, 0, value, replace=True)
            worker.answer(lease, "begun and ended")
            assert reader.content(10) == " and ended"


@pytest.fixture
def stock(server: RunningApi) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=server.url, api_key="unused", max_retries=0) as client:
        yield client


def test_the_stock_client_raises_from_an_error_event(
    stock: openai.OpenAI, worker: FakeWorker, connection: Redis
) -> None:
    """An error in mid-stream is an exception of OpenAI's client, after the text that came before it."""
    create: Any = stock.chat.completions.create
    with ThreadPoolExecutor(1) as pool:
        asked = pool.submit(
            create,
            model="sonnet",
            messages=[{"role": "user", "content": "hi"}],
            stream=True,
        )
        lease, _ = worker.take()
        Teller(connection, lease).tell("begun")
        chunks = iter(asked.result(10))
        assert next(chunks).choices[0].delta.role == "assistant"
        assert next(chunks).choices[0].delta.content == "begun"
        worker.fail(lease, errors.stream_interrupted("its worker died"))
        with pytest.raises(openai.APIError) as caught:
            next(chunks)
    assert caught.value.code == "stream_interrupted"
