"""The shape of a stream's chunks."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from api.openai.chunks import DONE, Chunks, error_event, trailers
from app import errors
from app.errors import ErrorReply

if TYPE_CHECKING:
    from collections.abc import Iterable


def chunks(*, include_usage: bool = False) -> Chunks:
    return Chunks("chatcmpl-1", 1700000000, "sonnet", include_usage=include_usage)


def piece(content: str, **more: Any) -> dict[str, Any]:
    return {"delta": {"content": content}, **more}


def completion(content: str | None = "hello", finish_reason: str = "stop", **message: Any) -> dict[str, Any]:
    whole = {"role": "assistant", "content": content, "refusal": None, **message}
    return {
        "id": "chatcmpl-1",
        "model": "claude-x",
        "choices": [{"index": 0, "message": whole, "finish_reason": finish_reason}],
        "usage": {"prompt_tokens": 1, "completion_tokens": 2, "total_tokens": 3},
    }


def parsed(events: Iterable[bytes]) -> list[dict[str, Any]]:
    found = []
    for event in events:
        assert event.startswith(b"data: ")
        assert event.endswith(b"\n\n")
        assert event.count(b"\n") == 2
        if event != DONE:
            found.append(json.loads(event[6:]))
    return found


def deltas(events: Iterable[bytes]) -> list[dict[str, Any]]:
    return [one["choices"][0]["delta"] for one in parsed(events) if one["choices"]]


def test_a_whole_stream() -> None:
    """Role first, then text, then the reason, then the end; id, time and model are the same in all."""
    shaped = chunks()
    events = [
        *shaped.piece(piece("hel", model="claude-x")),
        *shaped.piece(piece("lo")),
        *shaped.end(completion()),
    ]
    assert events[-1] == DONE
    found = parsed(events)
    assert [one["choices"][0]["delta"] for one in found] == [
        {"role": "assistant", "content": "", "refusal": None},
        {"content": "hel"},
        {"content": "lo"},
        {},
    ]
    assert [one["choices"][0]["finish_reason"] for one in found] == [None, None, None, "stop"]
    heads = {(one["id"], one["object"], one["created"], one["model"]) for one in found}
    assert heads == {("chatcmpl-1", "chat.completion.chunk", 1700000000, "claude-x")}
    assert all("usage" not in one and "system_fingerprint" not in one for one in found)


def test_usage() -> None:
    """With include_usage each chunk has a usage of null, and one more, without choices, has the numbers."""
    shaped = chunks(include_usage=True)
    found = parsed([*shaped.piece(piece("hello")), *shaped.end(completion())])
    assert [one["usage"] for one in found[:-1]] == [None] * 3
    assert found[-1]["choices"] == []
    assert found[-1]["usage"]["total_tokens"] == 3


def test_trailers() -> None:
    """Comments that belong to the event after them; nothing where there is nothing to tell."""
    assert trailers({"x-a": "1", "x-b": "2"}) == b": x-a: 1\n: x-b: 2\n"
    assert trailers({}) == b""


@pytest.mark.parametrize("sent", [[], ["he"], ["h", "e", "llo"]])
def test_the_outcome_fills_what_lacks(sent: list[str]) -> None:
    """Whatever part of the text was streamed, the client has the whole once it ends."""
    shaped = chunks()
    events = [event for text in sent for event in shaped.piece(piece(text))]
    events += shaped.end(completion("hello"))
    assert "".join(delta.get("content") or "" for delta in deltas(events)) == "hello"


def test_another_beginning_is_an_error() -> None:
    """Text that is not the answer's beginning is never completed as if it were."""
    shaped = chunks()
    list(shaped.piece(piece("help")))
    with pytest.raises(ErrorReply) as caught:
        list(shaped.end(completion("hello")))
    assert caught.value.code == "stream_interrupted"


CALLS = [
    {"id": "call_1", "type": "function", "function": {"name": "f", "arguments": '{"x": 1}'}},
    {"id": "call_2", "type": "function", "function": {"name": "g", "arguments": "{}"}},
]


def test_tool_calls_of_the_outcome() -> None:
    """Calls that were not streamed come as deltas, each with its index, and the reason is tool_calls."""
    found = parsed(chunks().end(completion(None, "tool_calls", tool_calls=CALLS)))
    calls = [one["choices"][0]["delta"]["tool_calls"] for one in found[1:-1]]
    assert calls == [[{"index": 0, **CALLS[0]}], [{"index": 1, **CALLS[1]}]]
    assert found[-1]["choices"][0]["finish_reason"] == "tool_calls"


def test_tool_calls_that_were_streamed() -> None:
    """Of a call that was streamed in part, only the rest of the arguments comes at the end."""
    shaped = chunks()
    function = {"name": "f", "arguments": '{"x"'}
    begun = {"index": 0, "id": "call_1", "type": "function", "function": function}
    list(shaped.piece({"delta": {"tool_calls": [begun]}}))
    found = deltas(shaped.end(completion(None, "tool_calls", tool_calls=CALLS)))
    assert found == [
        {"tool_calls": [{"index": 0, "function": {"arguments": ": 1}"}}]},
        {"tool_calls": [{"index": 1, **CALLS[1]}]},
        {},
    ]


def test_refusal() -> None:
    """A refusal comes as such, also after text."""
    shaped = chunks()
    list(shaped.piece(piece("I ")))
    assert deltas(shaped.end(completion(None, refusal="No."))) == [{"refusal": "No."}, {}]


@pytest.mark.parametrize("text", ["\u2028 \u0085 \r\n", "\U0001f600", "\ud800", 'a "quoted" \\ one'])
def test_any_text_survives(text: str) -> None:
    """No character of the answer ends an event or is lost."""
    shaped = chunks()
    assert deltas(shaped.piece(piece(text)))[-1] == {"content": text}
    assert deltas(shaped.end(completion(text + "x")))[0] == {"content": "x"}


def test_error() -> None:
    """An error has OpenAI's four keys and no choices."""
    assert parsed([error_event(errors.internal())]) == [errors.internal().body()]
