"""The events of a streamed response: their order, their numbers, and that any two readings agree."""

from __future__ import annotations

import json
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest

from api.openai.response_events import ResponseEvents
from app import errors
from app.jobs.record import JobRecord, Status
from app.openai.responses import objects
from tests.openai_schema import openai_schema

if TYPE_CHECKING:
    from collections.abc import Iterable

ASKED: dict[str, Any] = {"model": "sonnet", "input": []}


def record(*, background: bool = False) -> JobRecord:
    return JobRecord(
        id="resp_1",
        kind="response",
        status=Status.QUEUED,
        model="sonnet",
        created_at=1,
        deadline_at=2,
        background=background,
    )


def shape(*, background: bool = False, after: int = -1) -> ResponseEvents:
    job = record(background=background)
    return ResponseEvents(
        job.id,
        partial(objects.response_object, job, ASKED),
        partial(objects.failed, job, ASKED),
        is_background=background,
        after=after,
    )


def body(content: str | None = None, *, finish_reason: str = "stop", **message: Any) -> dict[str, Any]:
    usage = {"prompt_tokens": 1, "completion_tokens": 2, "total_tokens": 3}
    choice = {"message": {"content": content, **message}, "finish_reason": finish_reason}
    return objects.finished(record(), ASKED, {"model": "claude", "choices": [choice], "usage": usage}, 5)


def call(index: int, arguments: str) -> dict[str, Any]:
    return {"id": f"call_{index}", "type": "function", "function": {"name": f"f{index}", "arguments": arguments}}


def text(content: str) -> dict[str, Any]:
    return {"delta": {"content": content}, "model": "claude"}


def calls(*pieces: dict[str, Any]) -> dict[str, Any]:
    return {"delta": {"tool_calls": list(pieces)}}


def events(shape: ResponseEvents, pieces: Iterable[dict[str, Any]], end: dict[str, Any]) -> list[dict[str, Any]]:
    sent = [*shape.opening()]
    for piece in pieces:
        sent += shape.piece(piece)
    sent += shape.end(end)
    found = []
    for data in sent:
        name, line = data.decode().removesuffix("\n\n").split("\n")
        found.append(json.loads(line.removeprefix("data: ")))
        assert name == f"event: {found[-1]['type']}"
    return found


def told(found: list[dict[str, Any]], kind: str) -> str:
    return "".join(event["delta"] for event in found if event["type"] == kind)


TEXT, ARGUMENTS = "response.output_text.delta", "response.function_call_arguments.delta"
BOTH = [call(0, '{"a":1}'), call(1, '{"b":2}')]
#: pieces, and the message that they are the beginning of
RUNS: list[tuple[list[dict[str, Any]], dict[str, Any]]] = [
    ([], {"content": "hello"}),
    ([text("he"), text("ll")], {"content": "hello"}),
    ([text("he")], {"content": "hello", "tool_calls": BOTH}),
    (
        [text("hello"), calls({"index": 0, **call(0, "")}, {"index": 0, "function": {"arguments": '{"a"'}})],
        {"content": "hello", "tool_calls": BOTH},
    ),
    ([calls({"index": 0, **BOTH[0]}), calls({"index": 1, **call(1, "")})], {"tool_calls": BOTH}),
    ([calls({"index": 1, **BOTH[1]})], {"tool_calls": BOTH}),
    ([], {"refusal": "no"}),
]


@pytest.mark.parametrize(("pieces", "message"), RUNS)
def test_whatever_came_before(pieces: list[dict[str, Any]], message: dict[str, Any]) -> None:
    """The deltas make the answer, each item begins and ends once and in its order, and numbers count from 0."""
    end = body(**message)
    found = events(shape(), pieces, end)
    assert [event["sequence_number"] for event in found] == list(range(len(found)))
    assert told(found, TEXT) == (message.get("content") or "")
    assert told(found, ARGUMENTS) == "".join(one["function"]["arguments"] for one in message.get("tool_calls", ()))
    edges = [event for event in found if event["type"].startswith("response.output_item.")]
    assert [event["output_index"] for event in edges] == [n // 2 for n in range(2 * len(end["output"]))]
    assert [event["item"] for event in edges[1::2]] == end["output"]
    assert found[-1] == {"type": "response.completed", "sequence_number": len(found) - 1, "response": end}


@pytest.mark.parametrize(("pieces", "message"), RUNS)
def test_by_openais_schema(pieces: list[dict[str, Any]], message: dict[str, Any]) -> None:
    """Each event is one of OpenAI's."""
    validate = openai_schema("ResponseStreamEvent")
    for event in events(shape(), pieces, body(**message)):
        validate(event)


@pytest.mark.parametrize(("pieces", "message"), RUNS)
def test_taken_up_again(pieces: list[dict[str, Any]], message: dict[str, Any]) -> None:
    """From wherever a reading stopped, another one that had other pieces gives the rest exactly once."""
    end = body(**message)
    whole = events(shape(background=True), pieces, end)
    for stopped in range(len(whole)):
        after = whole[stopped]["sequence_number"]
        rest = events(shape(background=True, after=after), [], end)
        for kind in (TEXT, ARGUMENTS):
            assert told(whole[: stopped + 1], kind) + told(rest, kind) == told(whole, kind)
        assert all(event["sequence_number"] > after for event in rest)
        if rest:
            assert rest[-1] == whole[-1]


def test_a_cut_answer() -> None:
    """It ends with `response.incomplete`."""
    found = events(shape(), [text("cut")], body("cut", finish_reason="length"))
    assert found[-1]["type"] == "response.incomplete"
    assert found[-1]["response"]["incomplete_details"] == {"reason": "max_output_tokens"}


def test_text_that_a_refusal_follows() -> None:
    """What was sent stays, and the refusal is a part after it."""
    found = events(shape(), [text("well, ")], body(refusal="no"))
    assert told(found, "response.refusal.delta") == "no"
    assert {event["content_index"] for event in found if event["type"].startswith("response.refusal")} == {1}


@pytest.mark.parametrize(
    ("pieces", "message"),
    [
        ([text("other")], {"content": "hello"}),
        ([text("x")], {"tool_calls": BOTH}),
        ([calls({"index": 0, **BOTH[0]})], {"content": "x"}),
    ],
)
def test_pieces_of_another_answer(pieces: list[dict[str, Any]], message: dict[str, Any]) -> None:
    """What does not begin as it was told is an error and no end."""
    with pytest.raises(errors.ErrorReply) as caught:
        events(shape(), pieces, body(**message))
    assert caught.value.code == "stream_interrupted"


@pytest.mark.parametrize("has_ended", [True, False])
def test_errors(has_ended: bool) -> None:
    """A response that failed says so; a stream that ends alone is an `error`, in this endpoint's words."""
    error = errors.invalid_request("'max_tokens' is wrong", param="max_tokens")
    data = shape().error(error, has_ended=has_ended).decode().split("data: ")[1]
    found = json.loads(data)
    openai_schema("ResponseStreamEvent")(found)
    if has_ended:
        assert (found["type"], found["response"]["status"]) == ("response.failed", "failed")
    else:
        assert (found["type"], found["param"]) == ("error", "max_output_tokens")
