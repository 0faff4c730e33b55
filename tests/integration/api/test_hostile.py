"""What nobody sends who means well. Each is told in OpenAI's shape, the API goes on, and nothing of it is left."""

from __future__ import annotations

import contextlib
import gzip
import json
import select
import socket
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import psutil
import pytest

from tests.integration.api.running import RunningApi, api, chat_body
from tests.redis_server import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from redis import Redis

    from tests.redis_server import RedisForTests

ASYNC = {"Prefer": "respond-async"}
MAX_FILE = 1_000_000


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where uploads go."""
    return tmp_path_factory.mktemp("data")


@pytest.fixture(scope="module")
def _server(_redis_for_session: RedisForTests, data: Path) -> Iterator[RunningApi]:
    with api(_redis_for_session.url, NIGHTSHIFT_DATA_DIR=str(data), NIGHTSHIFT_MAX_FILE_BYTES=str(MAX_FILE)) as running:
        yield running


@pytest.fixture
def server(_server: RunningApi, connection: Redis) -> Iterator[RunningApi]:
    """The API, which afterwards answers as before."""
    del connection
    yield _server
    assert _server.chat(headers=ASYNC).status == 202
    assert not [line for line in _server.lines if "[INTERNAL]" in line]


def raw(server: RunningApi, sent: bytes, seconds: float = 10) -> bytes:
    """What comes back for these bytes, until there is an answer or the connection is closed."""
    with socket.create_connection(("127.0.0.1", server.port), timeout=seconds) as connection:
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            connection.sendall(sent)
        found = b""
        with contextlib.suppress(ConnectionResetError):
            while b"}}" not in found and b'"queued"' not in found and (piece := connection.recv(65536)):
                found += piece
        return found


def error_of(answer: bytes) -> tuple[int, dict[str, Any]]:
    """The status and the error of an answer."""
    head, _, body = answer.partition(b"\r\n\r\n")
    error = json.loads(body)["error"]
    assert set(error) == {"message", "type", "param", "code"}
    assert b"application/json" in head
    return int(head.split()[1]), error


def messages(text: str) -> bytes:
    """A request whose text is JSON as it stands here."""
    return b'{"model":"sonnet","messages":[{"role":"user","content":' + text.encode() + b"}]}"


def deep(opening: str, closing: str) -> str:
    return opening * 10_000 + closing * 10_000


@pytest.mark.parametrize(
    ("body", "param"),
    [
        (messages('"a\\ud800b"'), "messages[0].content"),
        (messages('"a"').replace(b'"sonnet"', b'"sonnet","metadata":{"a":"\\udc00"}'), "metadata.a"),
        (b'{"model":"\\udfff"}', "model"),
        (b'{"model":"sonnet","\\ud800":1}', "\\ud800"),
        (messages('"\xff"').decode().encode("latin-1"), None),
        (messages('"\ud800"'.encode("utf-8", "surrogatepass").decode("latin-1")).decode().encode("latin-1"), None),
        (b"[" * 10_000 + b"]" * 10_000, None),
        (messages(deep("[", "]")), None),
        (messages(f'"a"}}],"metadata":{deep("[", "]")},"x":[{{"a":1'), None),
        (
            messages(
                f'"a"}}],"response_format":{deep(chr(123) + chr(34) + "not" + chr(34) + ":", chr(125))},"x":[{{"a":1'
            ),
            None,
        ),
        (messages('"a"}],"temperature":NaN,"x":[{"a":1'), None),
        (messages('"a"}],"temperature":1e999,"x":[{"a":1'), "temperature"),
        (messages(f'"a"}}],"max_tokens":{"9" * 5000},"x":[{{"a":1'), None),
        (messages('"a"').decode().encode("utf-16"), None),
    ],
)
def test_what_is_no_request(server: RunningApi, body: bytes, param: str | None) -> None:
    """Half characters, depths, numbers without end: a 400 that names the field where it can be known."""
    answer = server.ask("POST", "/v1/chat/completions", body, ASYNC)
    assert (answer.status, answer.error["param"]) == (400, param), answer.body


@pytest.mark.parametrize(
    "text",
    [
        "a\0b",
        "\u202eabc\u2066\u2069\ufeff",
        "\U0001f600" * 3,
        "e\u0301\u00e9",
        "\r\n\t\x7f\x85\u2028",
        "x" * 10_000_000,
    ],
)
def test_text_arrives_as_it_was_sent(server: RunningApi, connection: Redis, text: str) -> None:
    """NUL, marks of direction, pairs, and ten megabytes stand in the queue to the letter."""
    answer = server.chat(text, ASYNC, metadata={"a": text[:500]})
    assert answer.status == 202
    kept: Any = connection.get(f"nightshift:job:{answer.json['id']}:request")
    assert json.loads(kept)["request"]["messages"][0]["content"] == text
    assert server.ask("GET", f"/v1/jobs/{answer.json['id']}").json["metadata"] == {"a": text[:500]}


def test_the_last_of_two_keys_counts(server: RunningApi) -> None:
    """As with every JSON reader, here and at OpenAI's."""
    answer = server.ask("POST", "/v1/chat/completions", b'{"model":"sonnet","model":"none","messages":[]}')
    assert answer.error["param"] == "messages"


@pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/files"])
def test_compressed(server: RunningApi, path: str) -> None:
    """A compressed body, a bomb perhaps, is refused for what it is."""
    headers = {**ASYNC, "Content-Encoding": "gzip"}
    if path == "/v1/files":
        headers["Content-Type"] = "multipart/form-data; boundary=x"
    answer = server.ask("POST", path, gzip.compress(b"0" * 10_000_000), headers)
    assert (answer.status, answer.error["param"]) == (415, "Content-Encoding")


HEAD = b"POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (HEAD + b"Content-Length: -1\r\n\r\n", 400),
        (HEAD + b"Content-Length: 5\r\nContent-Length: 6\r\n\r\n{}    ", 400),
        (HEAD + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400),
        (HEAD + b"Content-Length: 1" + b"0" * 12 + b"\r\n\r\n{", 413),
        (HEAD + b"Content-Length: 10\r\n\r\n" + messages('"a"'), 400),
        (HEAD + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n{}\r\n0\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: localhost\r\n" + b"".join(b"A%d: 1\r\n" % n for n in range(1000)) + b"\r\n", 431),
        (b"GET / HTTP/1.1\r\nHost: localhost\r\nA: " + b"x" * 2_000_000, 431),
        (b"GET /" + b"x" * 1_000_000, 414),
        (b"GET / HTTP/1.1\r\nHost: localhost\r\nA: a\0b\r\n\r\n", 400),
        (b"GET /v1/files/..%2f..%2fetc%2fpasswd HTTP/1.1\r\nHost: localhost\r\n\r\n", 404),
        (b"GET /v1/files/%2e%2e/content HTTP/1.1\r\nHost: localhost\r\n\r\n", 404),
        (b"GET /v1/batches/..%5c..%5cx/output HTTP/1.1\r\nHost: localhost\r\n\r\n", 404),
        (b"GET /v1/files/a%00b/content HTTP/1.1\r\nHost: localhost\r\n\r\n", 404),
        (b"GET /v1/jobs/%ff%fe HTTP/1.1\r\nHost: localhost\r\n\r\n", 404),
        (b"GET /v1/jobs?after=%ff%00 HTTP/1.1\r\nHost: localhost\r\n\r\n", 400),
        (b"GET /v1/jobs?after=%ed%a0%80 HTTP/1.1\r\nHost: localhost\r\n\r\n", 400),
        (b"GET /v1/jobs?after=\xed\xa0\x80 HTTP/1.1\r\nHost: localhost\r\n\r\n", 400),
        (b"GET /v1/jobs?metadata[\xff]=\xfe HTTP/1.1\r\nHost: localhost\r\n\r\n", 400),
        (b"GET /v1/jobs/\xed\xa0\x80 HTTP/1.1\r\nHost: localhost\r\n\r\n", 400),
    ],
)
def test_http_that_lies(server: RunningApi, sent: bytes, status: int) -> None:
    """Lengths, chunks, heads and paths that are not what they say: one clear answer."""
    found, error = error_of(raw(server, sent))
    assert (found, bool(error["message"])) == (status, True), error


HALF = b"\xed\xa0\x80\xff"


@pytest.mark.parametrize(
    ("name", "status"),
    [
        (b"Idempotency-Key", 202),
        (b"x-request-id", 202),
        (b"X-Client-Request-Id", 202),
        (b"traceparent", 202),
        (b"User-Agent", 202),
        (b"X-Request-Timeout", 400),
        (b"Content-Encoding", 415),
        (b"Authorization", 202),
        (b"x-stainless-read-timeout", 202),
        (b"Content-Type", 415),
    ],
)
def test_headers_that_are_no_text(server: RunningApi, name: bytes, status: int) -> None:
    """Bytes that are no UTF-8, half a character among them: used as they are, left aside, or refused."""
    body = messages('"a"')
    head = HEAD.replace(b"Content-Type: application/json\r\n", b"") if name == b"Content-Type" else HEAD
    sent = (
        head + b"Prefer: respond-async\r\n" + name + b": " + HALF + b"\r\nContent-Length: %d\r\n\r\n" % len(body) + body
    )
    assert raw(server, sent).startswith(b"HTTP/1.1 %d " % status)


FORM = (
    b"POST /v1/files HTTP/1.1\r\nHost: localhost\r\nContent-Type: multipart/form-data; boundary=x\r\n%s\r\n\r\n"
    b'--x\r\nContent-Disposition: form-data; name="purpose"\r\n\r\nbatch\r\n'
    b'--x\r\nContent-Disposition: form-data; name="file"; filename="f"\r\n\r\n'
)


@pytest.mark.parametrize("length", [b"Content-Length: 500000", b"Transfer-Encoding: chunked"])
def test_an_upload_that_breaks_off(server: RunningApi, data: Path, length: bytes) -> None:
    """A client that hangs up amid its file leaves no file, no part of it, and nothing in Redis."""
    form = FORM % length
    if b"chunked" in length:
        head, _, rest = form.partition(b"\r\n\r\n")
        form = head + b"\r\n\r\n%x\r\n" % 400_000 + rest
    with socket.create_connection(("127.0.0.1", server.port)) as connection:
        connection.sendall(form + b"0" * 100_000)
        wait_until(lambda: bool(files(data)), "the part of a file")
    wait_until(lambda: not files(data), "no file")
    assert server.ask("GET", "/v1/files").json["data"] == []


def test_an_upload_without_end(server: RunningApi, data: Path) -> None:
    """Beyond the limit it is a 413, though the client goes on, and the end of the connection."""
    head, _, form = (FORM % b"Transfer-Encoding: chunked").partition(b"\r\n\r\n")
    answer, sent = b"", 0
    with socket.create_connection(("127.0.0.1", server.port), timeout=120) as connection:
        connection.sendall(head + b"\r\n\r\n" + b"%x\r\n" % len(form) + form + b"\r\n")
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            while sent < 100 * MAX_FILE and not select.select([connection], [], [], 0)[0]:
                connection.sendall(b"%x\r\n" % 65536 + b"0" * 65536 + b"\r\n")
                sent += 65536
        with contextlib.suppress(ConnectionResetError):
            while piece := connection.recv(65536):
                answer += piece
    assert sent < 100 * MAX_FILE
    status, error = error_of(answer)
    assert (status, error["code"]) == (413, "file_too_large")
    wait_until(lambda: not files(data), "no file")


def test_a_thousand_idle_connections(redis_url: str, tmp_path: Path) -> None:
    """Who says nothing, or half a head, takes no thread from who asks."""
    few = {"NIGHTSHIFT_API_THREADS": "64", "NIGHTSHIFT_MAX_WAITING": "8", "NIGHTSHIFT_DATA_DIR": str(tmp_path)}
    with contextlib.ExitStack() as held:
        server = held.enter_context(api(redis_url, **few))
        for number in range(1000):
            idle = held.enter_context(socket.create_connection(("127.0.0.1", server.port)))
            if number < 50:
                # They have ten seconds for the rest.
                idle.sendall(b"GET / HTTP/1.1\r\nHost: loc")
        assert server.chat(headers=ASYNC).status == 202


def test_clients_that_do_not_close(server: RunningApi) -> None:
    """Who was sent away and stays takes a thread for two seconds, never the one that accepts."""
    connections = [socket.create_connection(("127.0.0.1", server.port)) for _ in range(30)]
    try:
        for connection in connections:
            connection.sendall(b"no HTTP\r\n\r\n")
            assert connection.recv(1000)
        assert server.chat(headers=ASYNC).status == 202
    finally:
        for connection in connections:
            connection.close()


def test_memory_comes_back(server: RunningApi) -> None:
    """Forty bodies of ten megabytes, eight at a time, refused, leave the API as it was."""

    def resident() -> int:
        tree = [server.process.pid, *(one.pid for one in psutil.Process(server.process.pid).children())]
        return sum(psutil.Process(pid).memory_info().rss for pid in tree)

    body = json.dumps(chat_body("x" * 10_000_000, temperature=9)).encode()
    server.ask("POST", "/v1/chat/completions", body)
    before = resident()
    with ThreadPoolExecutor(8) as clients:
        answers = clients.map(lambda _: server.ask("POST", "/v1/chat/completions", body).status, range(40))
        assert set(answers) == {400}
    assert resident() < before + 60_000_000


def files(data: Path) -> list[Path]:
    """All files under the data dir but locks."""
    return [path for path in data.rglob("*") if path.is_file() and path.suffix != ".lock" and path.stat().st_size]
