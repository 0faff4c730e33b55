"""A turn, folded from events."""

from __future__ import annotations

from typing import Any

import pytest

from app.messages.failure import FailureKind, TurnFailed
from workers.claude.turn import MAX_MESSAGES, Turn, TurnResult


def feed(turn: Turn, text: str, reason: str, *, output_tokens: int = 3, tool: str | None = None) -> None:
    """One message of the API's stream."""
    start: dict[str, Any] = {"id": "msg_1", "model": "m", "usage": {"input_tokens": 10, "output_tokens": 1}}
    turn.on_stream_event({"type": "message_start", "message": start})
    block = {"type": "tool_use", "id": "t", "name": tool, "input": {}} if tool else {"type": "text", "text": ""}
    turn.on_stream_event({"type": "content_block_start", "index": 0, "content_block": block})
    delta = {"type": "input_json_delta", "partial_json": text} if tool else {"type": "text_delta", "text": text}
    turn.on_stream_event({"type": "content_block_delta", "index": 0, "delta": delta})
    turn.on_stream_event({"type": "content_block_stop", "index": 0})
    usage = {"output_tokens": output_tokens, "input_tokens": None}
    turn.on_stream_event({"type": "message_delta", "delta": {"stop_reason": reason}, "usage": usage})


def result(**keywords: Any) -> TurnResult:
    """A result that is no error unless it is said to be."""
    values: dict[str, Any] = {
        "is_error": False,
        "status": None,
        "subtype": "success",
        "text": "",
        "cost_usd": 0.5,
    }
    return TurnResult(**{**values, **keywords})


def new_turn(*, may_call_again: bool = False, max_tokens: int | None = None) -> Turn:
    return Turn("u", None, may_call_again=may_call_again, max_tokens=max_tokens)


@pytest.mark.parametrize(
    ("text", "reason", "is_cut"),
    [
        ("hello", "end_turn", False),
        ("hello", "stop_sequence", False),
        ("hello", "max_tokens", True),
        ("hello", "model_context_window_exceeded", True),
        ("hello", "refusal", True),
        ("", "end_turn", True),
        ("  \n", "end_turn", True),
    ],
)
def test_what_the_cli_would_continue_is_cut(text: str, reason: str, is_cut: bool) -> None:
    """Told at the very event that ends the message."""
    turn = new_turn()
    feed(turn, text, reason)
    assert turn.is_cut is is_cut


def test_what_comes_after_the_cut_is_not_the_answers() -> None:
    """The hidden request's answer may be read before the process is dead."""
    turn = new_turn()
    feed(turn, "hello", "max_tokens")
    feed(turn, "and more", "end_turn")
    answer = turn.answer(None)
    assert (answer.text, answer.stop_reason, answer.usage["output_tokens"]) == ("hello", "max_tokens", 3)


@pytest.mark.parametrize(
    ("text", "tool", "max_tokens", "may_be_cut"),
    [
        ("hello", None, None, False),
        ("hello", None, 1000, False),
        ("", None, 16, True),
        ("h" * 468, None, 1000, True),
        ("é" * 234, None, 1000, True),
        ("h" * 467, None, 1000, False),
        ("h" * 468, "mcp__client__f", 1000, True),
    ],
)
def test_an_answer_that_may_soon_be_cut(text: str, tool: str | None, max_tokens: int | None, may_be_cut: bool) -> None:
    """Where its client has set a limit; by the bytes that are there."""
    turn = new_turn(max_tokens=max_tokens)
    assert turn.may_be_cut is False
    feed(turn, text, "end_turn", tool=tool)
    assert turn.may_be_cut is may_be_cut


def test_prose_in_place_of_a_value_will_be_cut() -> None:
    """As soon as there is a word of it."""
    turn = new_turn(may_call_again=True)
    feed(turn, '{"a": 1}', "tool_use", tool="StructuredOutput")
    assert turn.may_be_cut is False
    turn = new_turn(may_call_again=True)
    feed(turn, "well", "end_turn")
    assert turn.may_be_cut is True


def test_hidden_thoughts_may_be_long() -> None:
    """What is told of them says nothing about their tokens."""
    turn = new_turn(max_tokens=1000)
    turn.on_stream_event({"type": "message_start", "message": {"id": "msg_1", "model": "m"}})
    assert turn.may_be_cut is False
    block = {"type": "redacted_thinking", "data": "x"}
    turn.on_stream_event({"type": "content_block_start", "index": 0, "content_block": block})
    assert turn.may_be_cut is True


def test_usage_is_the_apis() -> None:
    """Start and end of one message are merged; several messages are added up."""
    turn = new_turn(may_call_again=True)
    feed(turn, '{"a":', "tool_use", tool="StructuredOutput", output_tokens=5)
    assert turn.usage() == {"input_tokens": 10, "output_tokens": 5}
    feed(turn, "done", "end_turn", output_tokens=7)
    assert turn.usage() == {"input_tokens": 20, "output_tokens": 12}


def test_an_answer_in_two_pieces_is_none() -> None:
    """A second message that nothing called for means that the CLI asked again by itself."""
    turn = new_turn()
    feed(turn, "one", "end_turn")
    feed(turn, "two", "end_turn")
    assert turn.is_repeated
    with pytest.raises(TurnFailed) as caught:
        turn.answer(None)
    assert caught.value.kind is FailureKind.SERVER


def test_a_model_that_calls_what_is_not_there_is_stopped() -> None:
    """The CLI would ask it again for ever, where a value is wanted."""
    turn = new_turn(may_call_again=True)
    for _ in range(MAX_MESSAGES + 1):
        assert not turn.is_repeated
        feed(turn, "{}", "tool_use", tool="nobodys")
    assert turn.is_repeated
    with pytest.raises(TurnFailed):
        turn.answer(None)


@pytest.mark.parametrize(
    ("pieces", "text"),
    [
        (["a\ud83d", "\ude00b"], "a\U0001f600b"),
        (["a\ud83d\ude00b"], "a\U0001f600b"),
        (["a\ud83d", "b\ude00", "c\ud83d"], "a\ufffdb\ufffdc\ufffd"),
        (["\ud83d", "\ud83d", "\ude00"], "\ufffd\U0001f600"),
        (["\U0001f600\0\u2028", ""], "\U0001f600\0\u2028"),
    ],
)
@pytest.mark.parametrize("tool", [None, "mcp__client__f"])
def test_half_characters(pieces: list[str], text: str, tool: str | None) -> None:
    """A pair that came in two pieces is one character; a half alone is told as what it is, and can be stored."""
    told: list[Any] = []
    turn = Turn("u", told.append, may_call_again=False)
    turn.on_stream_event({"type": "message_start", "message": {"id": "m", "model": "m", "usage": {}}})
    block = {"type": "tool_use", "id": "t", "name": tool, "input": {}} if tool else {"type": "text", "text": ""}
    turn.on_stream_event({"type": "content_block_start", "index": 0, "content_block": block})
    for piece in pieces:
        delta = {"type": "input_json_delta", "partial_json": piece} if tool else {"type": "text_delta", "text": piece}
        turn.on_stream_event({"type": "content_block_delta", "index": 0, "delta": delta})
    turn.on_stream_event({"type": "content_block_stop", "index": 0})
    turn.on_stream_event({"type": "message_delta", "delta": {"stop_reason": "end_turn"}})
    answer = turn.answer(None)
    assert (answer.tool_calls[0].arguments if tool else answer.text) == text
    assert "".join(one.arguments if tool else one.text for one in told) == text


def test_half_a_character_in_an_error() -> None:
    """Nor is there one in an error's message."""
    turn = new_turn()
    turn.on_error("invalid_request", "API Error: 400 \ud800")
    turn.result = result(is_error=True, status=400)
    failure = turn.failure(None, limit_is_new=False)
    assert failure is not None
    assert "\ufffd" in failure.message


def test_a_result_without_an_end_is_no_answer() -> None:
    """Text that just stops is not handed out."""
    turn = new_turn()
    turn.on_stream_event({"type": "message_start", "message": {"id": "m", "model": "m", "usage": {}}})
    turn.result = result(text="half an answ")
    with pytest.raises(TurnFailed):
        turn.answer(None)


@pytest.mark.parametrize("text", ["", " \n"])
@pytest.mark.parametrize("reason", ["stop_sequence", "end_turn"])
def test_an_empty_text_is_an_answer(text: str, reason: str) -> None:
    """The client's own stop came first, or the model had nothing to say."""
    turn = new_turn()
    feed(turn, text, reason)
    assert turn.answer(None).text == text


def test_tool_calls_are_the_callers() -> None:
    """Names lose the server's prefix; input that was cut off is handed out as it came."""
    turn = new_turn()
    feed(turn, '{"a": 1}', "tool_use", tool="mcp__client__f")
    turn.result = result(is_error=True, subtype="error_during_execution")
    assert turn.failure(None, limit_is_new=False) is None
    (call,) = turn.answer(0.1).tool_calls
    assert (call.name, call.input) == ("f", {"a": 1})
    cut = new_turn()
    feed(cut, '{"a": ', "max_tokens", tool="mcp__client__f")
    assert cut.answer(None).tool_calls[0].input == '{"a": '


def test_an_error_wins_over_text() -> None:
    """What was said before an error is no answer."""
    turn = new_turn()
    feed(turn, "hello", "end_turn")
    turn.on_error("server_error", "API Error: 529 Overloaded")
    turn.result = result(is_error=True, status=529)
    failure = turn.failure(None, limit_is_new=False)
    assert failure is not None
    assert (failure.kind, failure.message) == (FailureKind.OVERLOADED, "Overloaded")
    assert failure.usage == {"input_tokens": 10, "output_tokens": 3}
