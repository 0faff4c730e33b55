"""The stream of a text completion: whatever was streamed, the client has the whole once it ends."""

from __future__ import annotations

import json
from typing import Any

import pytest

from api.openai.chunks import TextChunks
from app.errors import ErrorReply
from app.openai.text_completions import KIND, text_choice


def completion(text: str = "hello", reason: str = "stop") -> dict[str, Any]:
    return {
        "id": "cmpl-1",
        "object": KIND,
        "created": 1,
        "model": "claude-test",
        "choices": [text_choice(text, reason)],
        "usage": {"total_tokens": 3},
    }


def streamed(sent: list[str], whole: dict[str, Any], **options: Any) -> list[Any]:
    shape = TextChunks("cmpl-1", 1, "haiku", **{"include_usage": False, **options})
    events = [data for text in sent for data in shape.piece({"delta": {"content": text}, "model": "claude-test"})]
    events += shape.end(whole)
    assert events.pop() == b"data: [DONE]\n\n"
    return [json.loads(data.removeprefix(b"data: ")) for data in events]


@pytest.mark.parametrize("echo", ["", "Say: "])
@pytest.mark.parametrize("sent", [[], ["he"], ["h", "e", "llo"]])
def test_the_outcome_fills_what_is_missing(sent: list[str], echo: str) -> None:
    """The texts of all chunks are the completion's text, the echoed prompt first, and the last says why it ended."""
    found = streamed(sent, completion(f"{echo}hello"), echo=echo)
    assert "".join(one["choices"][0]["text"] for one in found) == f"{echo}hello"
    assert [one["choices"][0]["finish_reason"] for one in found] == [None] * (len(found) - 1) + ["stop"]
    assert {(one["id"], one["object"], one["model"]) for one in found} == {("cmpl-1", KIND, "claude-test")}
    assert all("usage" not in one for one in found)


def test_usage_comes_last() -> None:
    """With `include_usage` every chunk has a usage, null but for the last, which has no choices."""
    found = streamed(["hello"], completion(), include_usage=True)
    assert [one["usage"] for one in found] == [None, None, {"total_tokens": 3}]
    assert found[-1]["choices"] == []


def test_text_that_does_not_begin_so_is_no_end() -> None:
    """An outcome that is not the text's continuation is an error, never a mixture."""
    with pytest.raises(ErrorReply) as caught:
        streamed(["other"], completion())
    assert caught.value.code == "stream_interrupted"


def test_a_refusal_after_text() -> None:
    """What the client has read stays, and the reason says that it is not the completion."""
    found = streamed(["I"], completion("", "content_filter"))
    assert [one["choices"][0]["text"] for one in found] == ["I", ""]
    assert found[-1]["choices"][0]["finish_reason"] == "content_filter"
