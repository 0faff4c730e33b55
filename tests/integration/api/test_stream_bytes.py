"""Streams byte by byte, read as clients do whose parsers are stricter than the format.

openai-go before 3.43.0: a blank line ends an event, also one without data, and an event's data must be JSON or begin with
`[DONE]`. go-openai 1.42: a line that does not begin with `data: ` is no event, whether a comment or blank; more than 300 of
these between two events are an error.
"""

from __future__ import annotations

import json
import time
from contextlib import closing
from typing import TYPE_CHECKING, Any

import pytest

from api.openai.stream import BEGIN_SECONDS, SILENCE_SECONDS, silence_seconds
from app import errors
from app.error_codes import ErrorCode
from app.jobs import transitions
from app.jobs.record import JobKind
from app.openai.responses.objects import finished
from app.outcome import Outcome
from app.settings import Settings
from tests.fake_worker import completion
from tests.integration.api.running import send

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.fake_worker import FakeWorker
    from tests.integration.api.running import RunningApi

#: go-openai's bound on lines that are no events
EMPTY_LINES = 300
COST = {"x-nightshift-attempts": "1", "x-nightshift-cost-usd": "0.001200"}
BODIES: dict[str, dict[str, Any]] = {
    "/v1/chat/completions": {"messages": [{"role": "user", "content": "hi"}]},
    "/v1/responses": {"input": "hi"},
}


def as_openai_go(stream: bytes) -> Iterator[Any]:
    """The events' data, parsed. Raises `ValueError` where that client fails."""
    data = b""
    for line in stream.split(b"\n")[:-1]:
        if line:
            name, _, value = line.partition(b":")
            data += value.removeprefix(b" ") if name == b"data" else b""
            continue
        yield "[DONE]" if data.startswith(b"[DONE]") else json.loads(data)
        data = b""
    assert not data, "the stream ends in the midst of an event"


def as_go_openai(stream: bytes) -> Iterator[Any]:
    """The chunks, parsed, and the number of lines before each that are none. Raises `ValueError` where that client fails."""
    skipped = 0
    for line in stream.split(b"\n"):
        if not line.startswith(b"data: "):
            skipped += 1
            if skipped > EMPTY_LINES:
                raise ValueError("stream has sent too many empty messages")
            continue
        text = line.removeprefix(b"data: ")
        yield "[DONE]" if text == b"[DONE]" else json.loads(text), skipped
        skipped = 0


def streamed(server: RunningApi, worker: FakeWorker, path: str, error: errors.ErrorReply | None = None) -> bytes:
    """All bytes of a stream whose client bears a second's silence and has heard four comments before its end."""
    with closing(server.connect()) as connection:
        body = {"model": "sonnet", "stream": True, **BODIES[path]}
        send(connection, "POST", path, body, {"x-stainless-read-timeout": "1"})
        response = connection.getresponse()
        found = b""
        while found.count(b": keep-alive\n") < 4:
            found += response.readline()
        lease, record = worker.take()
        if error is not None:
            worker.fail(lease, error)
        elif record.kind == JobKind.RESPONSE:
            asked = worker.payload(record.id)["response"]
            body = finished(record, asked, completion(record.id, "an answer"), time.time())
            transitions.publish(worker.connection, worker.settings, lease, Outcome(body=body, headers=COST))
        else:
            worker.answer(lease, "an answer", **COST)
        return found + response.read()


def test_comments_are_no_frames_of_their_own(server: RunningApi, worker: FakeWorker) -> None:
    """Comments, those of the cost included, are followed by their event's own line, and strict parsers read the whole."""
    found = streamed(server, worker, "/v1/chat/completions")
    lines = found.split(b"\n")
    comments = [index for index, line in enumerate(lines) if line.startswith(b":")]
    assert len(comments) >= 6
    assert all(lines[index + 1] for index in comments)
    assert found.endswith(
        b": x-nightshift-attempts: 1\n: x-nightshift-cost-usd: 0.001200\ndata: [DONE]\n\n",
    )
    events = list(as_openai_go(found))
    assert events == [chunk for chunk, _ in as_go_openai(found)]
    assert events[-1] == "[DONE]"
    deltas = [choice["delta"].get("content") or "" for event in events[:-1] for choice in event["choices"]]
    assert "".join(deltas) == "an answer"


def test_the_comments_of_a_response(server: RunningApi, worker: FakeWorker) -> None:
    """The events of `/v1/responses`, which have names, are read whole, too."""
    found = streamed(server, worker, "/v1/responses")
    events = list(as_openai_go(found))
    assert [event["type"] for event in events][:2] == ["response.created", "response.in_progress"]
    assert [event["sequence_number"] for event in events] == list(range(len(events)))
    assert b": x-nightshift-cost-usd: 0.001200\nevent: response.completed\n" in found


@pytest.mark.parametrize("path", list(BODIES))
def test_an_error_after_comments(server: RunningApi, worker: FakeWorker, path: str) -> None:
    """An error that comes after comments is an event that a strict parser reads."""
    found = streamed(server, worker, path, errors.rate_limited("slow down", ErrorCode.OVERLOADED, 7))
    last = list(as_openai_go(found))[-1]
    error = last["error"] if path.endswith("completions") else last["response"]["error"]
    assert "slow down" in error["message"]


@pytest.mark.parametrize(
    ("read_timeout", "silence"), [(None, SILENCE_SECONDS), (600.0, SILENCE_SECONDS), (10.0, 5.0), (1.0, 0.5)]
)
def test_how_often_a_comment_comes(read_timeout: float | None, silence: float) -> None:
    """Every 15 s, oftener only where the client's read timeout asks for it."""
    assert SILENCE_SECONDS == 15
    assert silence_seconds(read_timeout) == silence


def test_a_queue_of_the_longest_default_wait_is_no_flood() -> None:
    """The comments of a request's whole patience are fewer than go-openai bears."""
    assert Settings().request_timeout_seconds / SILENCE_SECONDS < EMPTY_LINES / 4


def test_the_first_comment_opens_the_stream_once(server: RunningApi, worker: FakeWorker) -> None:
    """A client that tells no timeout gets the headers and one comment after three seconds, and no other for as long again."""
    with closing(server.connect()) as connection:
        began = time.monotonic()
        send(
            connection,
            "POST",
            "/v1/chat/completions",
            {"model": "sonnet", "stream": True, **BODIES["/v1/chat/completions"]},
        )
        response = connection.getresponse()
        assert response.readline() == b": keep-alive\n"
        opened = time.monotonic() - began
        assert BEGIN_SECONDS <= opened < SILENCE_SECONDS
        connection.sock.settimeout(BEGIN_SECONDS + 1)
        with pytest.raises(TimeoutError):
            response.readline()
        lease, _ = worker.take()
        worker.answer(lease)
