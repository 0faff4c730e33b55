"""Each endpoint that makes something makes it once for one request, however often and at once that is sent."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest

from tests.integration.api.running import RunningApi, api

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from redis import Redis

MESSAGE = {"role": "user", "content": "hi"}
LINE = b'{"custom_id": "a"}\n'


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("data")


@pytest.fixture(scope="module")
def _made(_redis_for_session: Any, data_dir: Path) -> Iterator[RunningApi]:
    settings = {"NIGHTSHIFT_DATA_DIR": str(data_dir), "NIGHTSHIFT_CALLBACK_ALLOWED_HOSTS": "localhost"}
    with api(_redis_for_session.url, **settings) as running:
        yield running


@pytest.fixture
def server(_made: RunningApi, connection: Redis) -> RunningApi:
    """On an empty Redis."""
    del connection
    return _made


@dataclass(frozen=True)
class Endpoint:
    """How something is made there: by a body that says what, of a kind."""

    path: str
    body: Callable[[RunningApi, str], bytes]
    headers: tuple[tuple[str, str], ...] = (("Content-Type", "application/json"),)

    def make(self, server: RunningApi, text: str, **headers: str) -> tuple[int, Any]:
        answer = server.ask("POST", self.path, self.body(server, text), {**dict(self.headers), **headers})
        return answer.status, answer.json


def chat(_: RunningApi, text: str) -> bytes:
    return json.dumps({"model": "haiku", "messages": [MESSAGE], "user": text}).encode()


def response(_: RunningApi, text: str) -> bytes:
    items = [{"role": "user", "content": text}, {"type": "function_call_output", "call_id": "c", "output": "x"}]
    call = {"type": "function_call", "call_id": "c", "name": "f", "arguments": "{}"}
    return json.dumps({"model": "haiku", "input": [items[0], call, items[1]], "background": True}).encode()


def batch(server: RunningApi, text: str) -> bytes:
    file_id = server.ask("POST", "/v1/files", form(server, "night"), dict(FORM)).json["id"]
    made = {"input_file_id": file_id, "endpoint": "/v1/chat/completions", "completion_window": "24h"}
    return json.dumps({**made, "metadata": {"who": text}}).encode()


def form(_: RunningApi, text: str) -> bytes:
    head = '--xyz\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\n'
    tail = '\r\n--xyz\r\nContent-Disposition: form-data; name="purpose"\r\n\r\nbatch\r\n--xyz--\r\n'
    return f"{head}{text}{tail}".encode()


def webhook(_: RunningApi, text: str) -> bytes:
    return json.dumps({"name": text, "url": "http://localhost/hook", "event_types": ["batch.completed"]}).encode()


FORM = (("Content-Type", "multipart/form-data; boundary=xyz"), ("Idempotency-Key", "the file of a batch"))
ENDPOINTS = {
    "chat": Endpoint("/v1/chat/completions", chat, (("Content-Type", "application/json"), ("Prefer", "respond-async"))),
    "responses": Endpoint("/v1/responses", response),
    "batches": Endpoint("/v1/batches", batch),
    "files": Endpoint("/v1/files", form, FORM[:1]),
    "webhooks": Endpoint("/v1/webhook_endpoints", webhook),
}


@pytest.fixture(params=ENDPOINTS)
def endpoint(request: pytest.FixtureRequest) -> Endpoint:
    return ENDPOINTS[request.param]


def test_one_key_makes_one_thing(server: RunningApi, endpoint: Endpoint) -> None:
    """The same body under a key is answered with what was made first, and another body is a 409 that clients do not repeat."""
    status, first = endpoint.make(server, "one", **{"Idempotency-Key": "k"})
    assert status in (200, 202)
    status, again = endpoint.make(server, "one", **{"Idempotency-Key": "k"})
    assert (status in (200, 202), again["id"]) == (True, first["id"])
    assert again.get("signing_secret") == first.get("signing_secret")
    status, other = endpoint.make(server, "two", **{"Idempotency-Key": "k"})
    assert (status, other["error"]["code"]) == (409, "idempotency_key_reused")
    assert endpoint.make(server, "one")[1]["id"] != first["id"]


@pytest.mark.parametrize("header", ["Idempotency-Key", "x-stainless-retry-count"])
def test_eight_at_once_make_one_thing(server: RunningApi, endpoint: Endpoint, header: str) -> None:
    """However many tries of one request come together, by a key or as a client's own retries, one thing is made."""
    body = endpoint.body(server, "together")
    headers = {**dict(endpoint.headers), header: "1"}
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: server.ask("POST", endpoint.path, body, headers), range(8)))
    assert {answer.status for answer in answers} <= {200, 202}
    assert len({answer.json["id"] for answer in answers}) == 1


def test_a_retry_finds_what_its_first_try_made(server: RunningApi, endpoint: Endpoint) -> None:
    """OpenAI's client says how often it has sent a request before: the later tries get what the first one made."""
    first = endpoint.make(server, "again", **{"x-stainless-retry-count": "0"})[1]["id"]
    assert endpoint.make(server, "again", **{"x-stainless-retry-count": "1"})[1]["id"] == first
    assert endpoint.make(server, "other", **{"x-stainless-retry-count": "1"})[1]["id"] != first


def test_the_order_of_fields_is_no_other_body(server: RunningApi) -> None:
    """A program that writes the same request in another way repeats it."""
    key = {"Idempotency-Key": "order", "Content-Type": "application/json", "Prefer": "respond-async"}
    one = b'{"model": "haiku", "messages": [{"role": "user", "content": "hi"}]}'
    two = b'{"messages":[{"content":"hi","role":"user"}],"model":"haiku"}'
    ids = {server.ask("POST", "/v1/chat/completions", body, key).json["id"] for body in (one, two)}
    assert len(ids) == 1


def test_a_loser_leaves_nothing_on_the_disk(server: RunningApi, data_dir: Path) -> None:
    """Of batches and files that were made at once, only the ones that count have bytes."""
    before = set((data_dir / "batches").glob("*")) | set((data_dir / "batches" / "files").glob("*"))
    test_eight_at_once_make_one_thing(server, ENDPOINTS["batches"], "Idempotency-Key")
    test_eight_at_once_make_one_thing(server, ENDPOINTS["files"], "Idempotency-Key")
    after = set((data_dir / "batches").glob("*")) | set((data_dir / "batches" / "files").glob("*"))
    names = sorted(path.name.partition("_")[0].partition("-")[0] for path in after - before if path.name[0] != ".")
    assert [name for name in names if name != "files"] == ["batch", "file", "file"]


def test_a_rotation_that_is_repeated_keeps_the_old_secret(server: RunningApi) -> None:
    """A second rotation would end the secret that the receiver has: a retry gets the first one's."""
    made = ENDPOINTS["webhooks"].make(server, "rotated")[1]
    path = f"/v1/webhook_endpoints/{made['id']}/rotate_secret"
    body = b'{"keep_old_secret_active_for_24_hours": true}'
    json_type = {"Content-Type": "application/json"}
    first = server.ask("POST", path, body, json_type).json["signing_secret"]
    again = server.ask("POST", path, body, {**json_type, "x-stainless-retry-count": "1"}).json["signing_secret"]
    assert made["signing_secret"] != first == again
    assert server.ask("POST", path, body, json_type).json["signing_secret"] != first
