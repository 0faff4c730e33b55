"""A stream's events as an answer: whole, or a failure; and nothing made up between."""

from __future__ import annotations

import json
from typing import Any

import pytest

from app.messages.answer import CallDelta, Delta, TextDelta
from app.messages.failure import FailureKind, TurnFailed
from workers.messages_api import reading
from workers.messages_api.reading import Reading

START: dict[str, Any] = {
    "type": "message_start",
    "message": {"id": "msg_1", "model": "claude-x", "content": [], "usage": {"input_tokens": 5, "output_tokens": 1}},
}
STOP: dict[str, Any] = {"type": "message_stop"}


def begin(index: int, **block: Any) -> dict[str, Any]:
    return {"type": "content_block_start", "index": index, "content_block": block}


def text(piece: str, index: int = 0) -> dict[str, Any]:
    return {"type": "content_block_delta", "index": index, "delta": {"type": "text_delta", "text": piece}}


def arguments(piece: str, index: int = 0) -> dict[str, Any]:
    return {
        "type": "content_block_delta",
        "index": index,
        "delta": {"type": "input_json_delta", "partial_json": piece},
    }


def end(reason: str | None = "end_turn", **usage: Any) -> dict[str, Any]:
    return {"type": "message_delta", "delta": {"stop_reason": reason}, "usage": usage}


def fed(*events: dict[str, Any], value_tool: str | None = None) -> tuple[Reading, list[Delta]]:
    pieces: list[Delta] = []
    one = Reading(pieces.append, value_tool)
    for event in events:
        one.take(json.dumps(event))
    return one, pieces


def test_a_text_comes_in_pieces_and_as_a_whole() -> None:
    """With the usage that was reported last, which replaces the first and is never added to it."""
    one, pieces = fed(START, begin(0, type="text", text=""), text("Hel"), text("lo"), end(output_tokens=9), STOP)
    answer = one.answer()
    assert (answer.text, answer.stop_reason, answer.usage) == (
        "Hello",
        "end_turn",
        {"input_tokens": 5, "output_tokens": 9},
    )
    assert pieces == [TextDelta("Hel", "claude-x"), TextDelta("lo", "claude-x")]


def test_calls_have_their_letters_and_their_order() -> None:
    """The arguments are what came, letter for letter; a value's own tool is no call of the client's."""
    one, pieces = fed(
        START,
        begin(0, type="tool_use", id="t1", name="give_answer", input={}),
        arguments('{"n": 1}', 0),
        begin(1, type="tool_use", id="t2", name="f", input={}),
        arguments('{"a": ', 1),
        arguments("1.0}", 1),
        begin(2, type="tool_use", id="t3", name="g", input={}),
        end("tool_use"),
        STOP,
        value_tool="give_answer",
    )
    answer = one.answer()
    assert [(call.name, call.arguments, call.input) for call in answer.tool_calls] == [
        ("f", '{"a": 1.0}', {"a": 1.0}),
        ("g", "{}", {}),
    ]
    assert [call.input for call in answer.value_calls] == [{"n": 1}]
    told = [(piece.index, piece.name, piece.arguments) for piece in pieces if isinstance(piece, CallDelta)]
    assert told == [(0, "f", ""), (0, "f", '{"a": '), (0, "f", "1.0}"), (1, "g", "")]


def test_halves_of_a_pair_are_joined_or_replaced() -> None:
    """No piece and no answer has a character that UTF-8 does not know."""
    one, pieces = fed(
        START,
        begin(0, type="text", text=""),
        text("a\ud83d"),
        text("\ude00b\ud83d"),
        {"type": "content_block_stop", "index": 0},
        end(),
        STOP,
    )
    assert one.answer().text == "a\U0001f600b\ufffd"
    assert "".join(piece.text for piece in pieces if isinstance(piece, TextDelta)) == one.answer().text


def test_what_is_not_known_is_left_aside() -> None:
    """New events, blocks and deltas, as Anthropic asks of its clients."""
    one, _ = fed(
        START,
        {"type": "mood", "mood": "good"},
        begin(0, type="dance", steps=3),
        {"type": "content_block_delta", "index": 0, "delta": {"type": "dance_delta", "step": 1}},
        begin(1, type="thinking", thinking=""),
        {"type": "content_block_delta", "index": 1, "delta": {"type": "thinking_delta", "thinking": "hm"}},
        {"type": "content_block_delta", "index": 1, "delta": {"type": "signature_delta", "signature": "x"}},
        begin(7, type="text", text=""),
        text("yes", 7),
        end(),
        STOP,
    )
    assert (one.answer().text, one.answer().thinking) == ("yes", "hm")


@pytest.mark.parametrize(
    "events",
    [
        (),
        (STOP,),
        (START,),
        (START, STOP),
        (START, begin(0, type="text", text=""), text("half"), end()),
        (START, begin(0, type="text", text=""), text("half"), end(None), STOP),
        (START, begin(0, type="tool_use", id="t", name="f"), arguments('{"a":')),
    ],
)
def test_what_has_no_end_is_no_answer(events: tuple[dict[str, Any], ...]) -> None:
    """However well the stream itself ended; what was used so far is kept."""
    one, _ = fed(*events)
    with pytest.raises(TurnFailed) as caught:
        one.answer()
    assert caught.value.kind is FailureKind.SERVER
    assert caught.value.usage == (START["message"]["usage"] if START in events else None)


def test_an_unknown_reason_is_an_unknown_end() -> None:
    """What there is of it may be no answer."""
    one, _ = fed(START, end("pause_turn"), STOP)
    with pytest.raises(TurnFailed, match="pause_turn") as caught:
        one.answer()
    assert caught.value.kind is FailureKind.UNKNOWN_END


def test_an_error_in_the_stream_has_its_own_kind() -> None:
    """By its type: the status of the stream, 200, says nothing."""
    one, _ = fed(START)
    with pytest.raises(TurnFailed) as caught:
        one.take('{"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}}')
    assert (caught.value.kind, caught.value.status, caught.value.usage) == (
        FailureKind.OVERLOADED,
        None,
        START["message"]["usage"],
    )


def test_an_answer_has_a_size(monkeypatch: pytest.MonkeyPatch) -> None:
    """A stream without an end is ended here."""
    monkeypatch.setattr(reading, "MAX_CHARACTERS", 1000)
    one, _ = fed(START, begin(0, type="text", text=""))
    for _ in range(4):
        one.take(json.dumps(text("x" * 100)))
    with pytest.raises(TurnFailed, match="larger than any answer") as caught:
        one.take(json.dumps(text("x" * 1000)))
    assert caught.value.kind is FailureKind.SERVER


@pytest.mark.parametrize("data", ["", "{", "null", "[]", "1", '"a"', "{}", '{"type": "content_block_start"}'])
def test_what_is_no_event_is_said(data: str) -> None:
    """With one of the errors that the engine takes for a broken answer."""
    one, _ = fed(START)
    with pytest.raises((ValueError, LookupError, TypeError, AttributeError)):
        one.take(data)
