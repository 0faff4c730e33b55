"""`/v1/files` and `/v1/batches` over real HTTP, by OpenAI's own client and by hand."""

from __future__ import annotations

import contextlib
import json
from typing import TYPE_CHECKING, Any

import openai
import psutil
import pytest
from openai import OpenAI

from app import worker_status
from app.batches.leadership import Leadership
from app.batches.record import batch_key
from app.batches.storage.local_disk import LocalDisk
from app.worker_status import WorkerState, WorkerStatus
from tests.integration.api.running import RunningApi, api

if TYPE_CHECKING:
    import http.client
    from collections.abc import Iterator
    from pathlib import Path

    from redis import Redis

    from tests.integration.api.conftest import MakeClient

LIMIT = 60 * 1024 * 1024


@pytest.fixture(scope="module")
def _files_server(
    _redis_for_session: Any, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[RunningApi, Path]]:
    directory = tmp_path_factory.mktemp("data")
    with api(
        _redis_for_session.url, NIGHTSHIFT_DATA_DIR=str(directory), NIGHTSHIFT_MAX_FILE_BYTES=str(LIMIT)
    ) as running:
        yield running, directory


@pytest.fixture
def server(_files_server: tuple[RunningApi, Path], connection: Redis) -> RunningApi:
    del connection
    return _files_server[0]


@pytest.fixture
def data_dir(_files_server: tuple[RunningApi, Path]) -> Path:
    return _files_server[1]


@pytest.fixture
def client(server: RunningApi) -> OpenAI:
    return OpenAI(base_url=server.url, api_key="unused", max_retries=0)


def form(content: bytes, purpose: str = "batch", **fields: str) -> tuple[bytes, dict[str, str]]:
    parts = [f'--xyz\r\nContent-Disposition: form-data; name="{k}"\r\n\r\n{v}\r\n' for k, v in fields.items()]
    head = (
        '--xyz\r\nContent-Disposition: form-data; name="file"; filename="upload"\r\n'
        "Content-Type: application/octet-stream\r\n\r\n"
    )
    tail = f'\r\n--xyz\r\nContent-Disposition: form-data; name="purpose"\r\n\r\n{purpose}\r\n--xyz--\r\n'
    data = "".join(parts).encode() + head.encode() + content + tail.encode()
    return data, {"Content-Type": "multipart/form-data; boundary=xyz"}


def test_a_file_comes_back_byte_by_byte(client: OpenAI) -> None:
    """What was uploaded is listed, described, read back as it was, and gone once it is deleted."""
    content = bytes(range(256)) * 100 + b"\r\n--no boundary\r\n"
    made = client.files.create(file=("night.jsonl", content), purpose="batch")
    assert (made.bytes, made.filename, made.purpose, made.status) == (len(content), "night.jsonl", "batch", "processed")
    assert made.expires_at is not None
    assert client.files.retrieve(made.id).id == made.id
    assert client.files.content(made.id).content == content
    assert [one.id for one in client.files.list(purpose="batch")] == [made.id]
    assert client.files.delete(made.id).deleted
    with pytest.raises(openai.NotFoundError):
        client.files.content(made.id)


def test_lists_have_pages(client: OpenAI) -> None:
    """Newest first or oldest first, as many as asked for, from the one after the last."""
    ids = [client.files.create(file=(f"{n}", b"x"), purpose="batch").id for n in range(5)]
    assert [one.id for one in client.files.list(limit=2)] == ids[::-1]
    assert [one.id for one in client.files.list(order="asc", limit=2)] == ids
    page = client.files.list(limit=2)
    assert (page.has_more, len(page.data)) == (True, 2)


def test_expires_after(client: OpenAI) -> None:
    """A file's time is set by its upload, within OpenAI's bounds."""
    made = client.files.create(
        file=("a", b"x"), purpose="batch", expires_after={"anchor": "created_at", "seconds": 3600}
    )
    assert made.expires_at == made.created_at + 3600
    with pytest.raises(openai.BadRequestError) as refused:
        client.files.create(file=("a", b"x"), purpose="batch", expires_after={"anchor": "created_at", "seconds": 1})
    assert refused.value.param == "expires_after.seconds"


def test_chunked_uploads_without_a_length(server: RunningApi, client: OpenAI) -> None:
    """A body in chunks, as Node sends it, with the purpose behind the file, is a file like any other."""
    content = b"0123456789" * 200_000
    data, headers = form(content)
    connection = server.connect()
    connection.request("POST", "/v1/files", iter([data[i : i + 50_000] for i in range(0, len(data), 50_000)]), headers)
    response = connection.getresponse()
    made = json.loads(response.read())
    connection.close()
    assert (response.status, made["bytes"], made["filename"]) == (200, len(content), "upload")
    assert client.files.content(made["id"]).content == content


def test_an_upload_costs_no_memory(server: RunningApi) -> None:
    """While 50 MB are uploaded the API's memory grows by a small part of it."""
    worker = psutil.Process(server.process.pid).children()[0]
    send_file(server, b"x" * 1000)
    before = worker.memory_info().rss
    assert send_file(server, b"0123456789\n" * (50 * 1024 * 1024 // 11)).status == 200
    assert worker.memory_info().rss - before < 15 * 1024 * 1024


def send_file(server: RunningApi, content: bytes, purpose: str = "batch") -> http.client.HTTPResponse:
    connection = server.connect(60)
    data, headers = form(content, purpose)
    connection.request("POST", "/v1/files", data, headers)
    response = connection.getresponse()
    response.read()
    connection.close()
    return response


@pytest.mark.parametrize("chunked", [True, False])
def test_a_file_beyond_the_limit_is_refused(server: RunningApi, data_dir: Path, chunked: bool) -> None:
    """With and without a length the answer is 413, and nothing stays on the disk."""
    data, headers = form(b"x" * (LIMIT + 2 * 1024 * 1024))
    connection = server.connect(60)
    pieces = iter([data[i : i + 1_000_000] for i in range(0, len(data), 1_000_000)])
    # It may be refused before all of it was sent.
    with contextlib.suppress(BrokenPipeError, ConnectionResetError):
        connection.request("POST", "/v1/files", pieces if chunked else data, headers)
    response = connection.getresponse()
    assert (response.status, json.loads(response.read())["error"]["code"]) == (413, "file_too_large")
    connection.close()
    assert list((data_dir / "batches" / "files").glob(".part-*")) == []


@pytest.mark.parametrize(
    ("sent", "status", "code"),
    [
        (form(b"x", purpose="batch_output"), 400, "invalid_value"),
        ((b"x", {"Content-Type": "application/json"}), 415, "unsupported_media_type"),
        ((form(b"x")[0][:-40], form(b"x")[1]), 400, "invalid_multipart"),
        ((b"--xyz--\r\n", form(b"x")[1]), 400, "missing_required_parameter"),
    ],
)
def test_bad_uploads(
    server: RunningApi, data_dir: Path, sent: tuple[bytes, dict[str, str]], status: int, code: str
) -> None:
    """What is no upload is refused by its name, and leaves nothing on the disk."""
    answer = server.ask("POST", "/v1/files", *sent)
    assert (answer.status, answer.error["code"]) == (status, code)
    assert list((data_dir / "batches" / "files").glob(".part-*")) == []


@pytest.mark.parametrize("purpose", ["assistants", "evals", "fine-tune", "user_data", "vision"])
def test_files_of_other_purposes_are_kept(client: OpenAI, purpose: Any) -> None:
    """They are listed by their purpose, read back, kept until they are deleted, and no batch can be made of them."""
    made = client.files.create(file=("notes.txt", b"keep this"), purpose=purpose)
    assert (made.purpose, made.expires_at) == (purpose, None)
    assert [one.id for one in client.files.list(purpose=purpose)] == [made.id]
    assert client.files.content(made.id).content == b"keep this"
    with pytest.raises(openai.BadRequestError, match=f"purpose is '{purpose}'"):
        client.batches.create(input_file_id=made.id, endpoint="/v1/chat/completions", completion_window="24h")
    assert client.files.delete(made.id).deleted
    assert [one.id for one in client.files.list(purpose=purpose)] == []


def test_a_kept_file_can_have_an_end(client: OpenAI) -> None:
    """`expires_after` holds for every purpose."""
    after: Any = {"anchor": "created_at", "seconds": 3600}
    made = client.files.create(file=("notes.txt", b"x"), purpose="user_data", expires_after=after)
    assert made.expires_at == made.created_at + 3600


def test_what_a_batch_must_not_be_made_of(client: OpenAI) -> None:
    """No file, another endpoint, a window that is none, too much metadata: a 400 that names the field."""
    good = client.files.create(file=("a", b"x"), purpose="batch").id
    made: dict[str, Any] = {"input_file_id": good, "endpoint": "/v1/chat/completions", "completion_window": "24h"}
    for wrong, param in (
        ({"input_file_id": "file-none"}, "input_file_id"),
        ({"endpoint": "/v1/embeddings"}, "endpoint"),
        ({"completion_window": "1y"}, "completion_window"),
        ({"metadata": {"a": "x" * 513}}, "metadata.a"),
        ({"output_expires_after": {"anchor": "created_at", "seconds": 5}}, "output_expires_after.seconds"),
    ):
        with pytest.raises(openai.BadRequestError) as refused:
            client.batches.create(**{**made, **wrong})
        assert refused.value.param == param
    with pytest.raises(openai.NotFoundError):
        client.batches.retrieve("batch_none")


def test_a_repeated_creation_makes_one_batch(client: OpenAI) -> None:
    """A retry of OpenAI's client, whose answer was lost, gets the batch that its first try made."""
    good = client.files.create(file=("a", b"x"), purpose="batch").id
    made: dict[str, Any] = {"input_file_id": good, "endpoint": "/v1/chat/completions", "completion_window": "24h"}
    first = client.batches.create(**made)
    again = client.batches.create(**made, extra_headers={"x-stainless-retry-count": "1"})
    other = client.batches.create(**made)
    assert again.id == first.id
    assert other.id != first.id
    assert [one.id for one in client.batches.list(limit=1)] == [other.id, first.id]


def test_a_cancelled_batch_can_be_cancelled_again_and_not_retried(client: OpenAI, server: RunningApi) -> None:
    """Cancelling twice is the same as once; a batch that has not ended has nothing to run again."""
    good = client.files.create(file=("a", b"x"), purpose="batch").id
    batch = client.batches.create(input_file_id=good, endpoint="/v1/chat/completions", completion_window="24h")
    assert client.batches.cancel(batch.id).status == "cancelling"
    assert client.batches.cancel(batch.id).status == "cancelling"
    answer = server.ask("POST", f"/v1/batches/{batch.id}/retry_failed", {})
    assert (answer.status, answer.error["code"]) == (409, "batch_not_retryable")


def test_a_batch_says_that_it_waits_for_a_worker_beyond_the_reserve(
    make_client: MakeClient, connection: Redis, tmp_path: Path
) -> None:
    """While all workers with a Claude are reserved; not any more when there is another."""
    client = make_client(reserve=1, data_dir=tmp_path)
    data, headers = form(b"{}")
    file_id = client.post("/v1/files", data=data, headers=headers).get_json()["id"]
    wanted = {"input_file_id": file_id, "endpoint": "/v1/chat/completions", "completion_window": "24h"}
    made = client.post("/v1/batches", json=wanted).get_json()
    connection.hset(batch_key(made["id"]), "status", "in_progress")

    def waits_for() -> str | None:
        found: str | None = client.get(f"/v1/batches/{made['id']}").get_json()["nightshift"]["waiting_for"]
        return found

    assert waits_for() == "no_feeder"
    assert Leadership(connection, LocalDisk(tmp_path / "batches")).hold()
    worker_status.write(connection, WorkerStatus(name="w1", state=WorkerState.BUSY))
    worker_status.write(connection, WorkerStatus(name="w2", state=WorkerState.UNAVAILABLE))
    assert waits_for() == "reserve"
    worker_status.write(connection, WorkerStatus(name="w2", state=WorkerState.IDLE))
    assert waits_for() is None
