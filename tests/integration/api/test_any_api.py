"""Two APIs on machines of their own, behind a balancer that hands each connection to the next one: a client notices nothing."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import threading
from contextlib import closing
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from app.jobs import transitions
from app.openai.payload import as_asked
from app.outcome import Outcome
from tests.fake_worker import completion
from tests.integration.api.running import api, chat_body, receive, send

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from redis import Redis

    from tests.fake_worker import FakeWorker
    from tests.integration.api.running import RunningApi
    from tests.redis_server import RedisForTests

CHAT = "/v1/chat/completions"
OPERATOR = {"Authorization": "Bearer operator"}


class RoundRobin:
    """A balancer of connections that knows nothing of HTTP."""

    def __init__(self, ports: Sequence[int]) -> None:
        self._ports = itertools.cycle(ports)
        #: which port each connection went to
        self.taken: list[int] = []
        self.port = 0
        self._loop = asyncio.new_event_loop()
        self._ready = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> RoundRobin:
        self._thread.start()
        self._ready.wait()
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()

    def _run(self) -> None:
        async def begin() -> None:
            server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
            self.port = server.sockets[0].getsockname()[1]
            self._ready.set()

        asyncio.set_event_loop(self._loop)
        self._loop.run_until_complete(begin())
        self._loop.run_forever()
        for task in asyncio.all_tasks(self._loop):
            task.cancel()
        self._loop.run_until_complete(asyncio.sleep(0))
        self._loop.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        port = next(self._ports)
        self.taken.append(port)
        there, back = await asyncio.open_connection("127.0.0.1", port)
        with contextlib.suppress(OSError):
            await asyncio.gather(_pump(reader, back), _pump(there, writer))
        for one in (back, writer):
            one.close()


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(65536):
        writer.write(data)
        await writer.drain()
    with contextlib.suppress(OSError):
        writer.write_eof()


@pytest.fixture(scope="module")
def machines(
    _redis_for_session: RedisForTests, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[RunningApi, RunningApi]]:
    def machine(name: str) -> Any:
        return api(
            _redis_for_session.url,
            NIGHTSHIFT_DATA_DIR=str(tmp_path_factory.mktemp(name)),
            NIGHTSHIFT_API_KEYS="operator",
            NIGHTSHIFT_CALLBACK_ALLOWED_HOSTS="localhost",
        )

    with machine("a") as first, machine("b") as second:
        yield first, second


@pytest.fixture
def balanced(machines: tuple[RunningApi, RunningApi], connection: Redis) -> Iterator[tuple[RunningApi, RoundRobin]]:
    """The address that clients have, and what is behind it."""
    del connection
    with RoundRobin([one.port for one in machines]) as balancer:
        yield replace(machines[0], port=balancer.port), balancer


def test_each_request_may_come_to_another_api(
    machines: tuple[RunningApi, RunningApi], balanced: tuple[RunningApi, RoundRobin], worker: FakeWorker
) -> None:
    """What one has made, the next one shows, waits for, streams, cancels and repeats: jobs, responses, keys, endpoints, pauses, the page."""
    client, balancer = balanced

    def ask(method: str, path: str, body: Any = None, **headers: str) -> Any:
        answer = client.ask(method, path, body, {**OPERATOR, **headers})
        assert answer.status < 300, answer.body
        return answer.json

    def twice(path: str) -> list[Any]:
        """As both show it."""
        return [ask("GET", path), ask("GET", path)]

    # A client that waits, whose answer comes by Redis, not by the API that took it.
    for _ in machines:
        with closing(client.connect()) as waiting:
            send(waiting, "POST", CHAT, chat_body("hi"), OPERATOR)
            worker.answer(worker.take()[0], "good evening")
            assert receive(waiting).json["choices"][0]["message"]["content"] == "good evening"

    # A job that is asked for once, repeated elsewhere, and polled at both.
    made = [
        ask("POST", CHAT, chat_body("later"), **{"Prefer": "respond-async", "Idempotency-Key": "k"})["id"]
        for _ in machines
    ]
    assert len(set(made)) == 1
    job = f"/v1/jobs/{made[0]}"
    assert [one["status"] for one in twice(job)] == ["queued", "queued"]
    worker.answer(worker.take()[0], "done")
    assert [one["result"]["choices"][0]["message"]["content"] for one in twice(job)] == ["done", "done"]

    # A background stream that is begun at one, left, and read on at the other; it is cancelled at either.
    response = ask("POST", "/v1/responses", {"model": "sonnet", "input": "hi", "background": True})["id"]
    lease, record = worker.take()
    outcome = as_asked(Outcome(body=completion(record.id, "a long story")), worker.payload(record.id), record)
    transitions.publish(worker.connection, worker.settings, lease, outcome)
    assert [one["status"] for one in twice(f"/v1/responses/{response}")] == ["completed", "completed"]
    for _ in machines:
        stream = client.ask("GET", f"/v1/responses/{response}?stream=true&starting_after=1", headers=OPERATOR)
        assert b"response.completed" in stream.body and b"a long story" in stream.body
    cancelled = ask("POST", CHAT, chat_body("never"), Prefer="respond-async")["id"]
    ask("POST", f"/v1/jobs/{cancelled}/cancel")
    assert [one["status"] for one in twice(f"/v1/jobs/{cancelled}")] == ["cancelled", "cancelled"]

    # Streams of answers, at each.
    for _ in machines:
        with closing(client.connect()) as reading:
            send(reading, "POST", CHAT, chat_body("hi", stream=True), OPERATOR)
            worker.answer(worker.take()[0], "piece by piece")
            body = receive(reading).body
            assert b"piece by piece" in body and body.rstrip().endswith(b"[DONE]")

    # What the operator sets holds at both at once.
    key = ask("POST", "/v1/keys", {"name": "ann"})["key"]
    for _ in machines:
        assert client.ask("GET", "/v1/models", headers={"Authorization": f"Bearer {key}"}).status == 200
    wanted = {"name": "mine", "url": "http://localhost:9/", "event_types": ["response.completed"]}
    endpoint = ask("POST", "/v1/webhook_endpoints", wanted)["id"]
    assert [[one["id"] for one in found["data"]] for found in twice("/v1/webhook_endpoints")] == [[endpoint]] * 2
    ask("POST", "/v1/gate/pause")
    assert [found["open"] for found in twice("/v1/gate")] == [False, False]
    ask("POST", "/v1/gate/resume")
    assert [found["open"] for found in twice("/v1/gate")] == [True, True]

    # The page of each, live.
    for _ in machines:
        with closing(client.connect()) as page:
            send(page, "GET", "/page/live", headers=OPERATOR)
            events = page.getresponse()
            assert events.readline() == b"retry: 2000\n"
            events.readline()
            assert "headline" in json.loads(events.readline().removeprefix(b"data: "))
    assert set(balancer.taken) == {one.port for one in machines}


def test_bytes_that_are_elsewhere_are_named(balanced: tuple[RunningApi, RoundRobin]) -> None:
    """With data dirs of their own, a file's record is there at both, and its content at one; the other says where it is."""
    client, _ = balanced
    line = json.dumps({"custom_id": "a", "method": "POST", "url": CHAT, "body": chat_body()}).encode()
    boundary = b"x"
    body = (
        b'--x\r\nContent-Disposition: form-data; name="purpose"\r\n\r\nbatch\r\n'
        b'--x\r\nContent-Disposition: form-data; name="file"; filename="n.jsonl"\r\n\r\n' + line + b"\r\n--x--\r\n"
    )
    head = {**OPERATOR, "Content-Type": f"multipart/form-data; boundary={boundary.decode()}"}
    file_id = client.ask("POST", "/v1/files", body, head).json["id"]
    assert [client.ask("GET", f"/v1/files/{file_id}", headers=OPERATOR).status for _ in range(2)] == [200, 200]
    found = [client.ask("GET", f"/v1/files/{file_id}/content", headers=OPERATOR) for _ in range(2)]
    assert sorted(one.status for one in found) == [200, 503]
    assert next(one for one in found if one.status == 503).error["code"] == "files_elsewhere"
