"""Whatever comes, parsers raise their own error and nothing else, and text goes through them unchanged.

`NIGHTSHIFT_FUZZ_EXAMPLES=20000` looks for longer than each run has time for.
"""

from __future__ import annotations

import json
import os
from contextlib import suppress
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from app import window
from app.batches.endpoints import CHAT_COMPLETIONS, NOTHING, RESPONSES, accept_line
from app.batches.formats.json_file import FormatError
from app.batches.formats.line import LineError, parse
from app.batches.formats.template import fill
from app.errors import ErrorReply
from app.json_text import JsonError
from app.json_text import parse as parse_json
from app.messages import to_claude
from app.openai.accept import accept
from app.openai.fields import FIELDS
from app.openai.responses.accept import accept as accept_response
from app.openai.responses.request import RESPONSE_FIELDS
from app.settings import Settings
from workers.claude import to_cli

_examples = os.environ.get("NIGHTSHIFT_FUZZ_EXAMPLES")
bounded = settings(
    max_examples=int(_examples or 100),
    derandomize=_examples is None,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
)
TEXT = st.text(st.characters(exclude_categories=["Cs"]))
#: words that requests are made of, so that some of what is made looks like one
WORDS = st.sampled_from(
    [
        "type",
        "text",
        "role",
        "user",
        "assistant",
        "tool",
        "function",
        "name",
        "content",
        "json_schema",
        "schema",
        "message",
        "input_text",
        "function_call",
        "function_call_output",
        "call_id",
        "arguments",
        "image_url",
        "url",
        "$ref",
        "#",
    ]
)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | TEXT | WORDS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(WORDS | TEXT, inner, max_size=4),
    max_leaves=12,
)


def body(names: Any) -> Any:
    """An object with fields of these names."""
    return st.dictionaries(st.sampled_from(sorted(names)) | TEXT, JSON, max_size=6).map(
        lambda sent: {"model": "sonnet", **sent}
    )


@bounded
@given(body(FIELDS))
def test_a_chat_request(sent: dict[str, Any]) -> None:
    """Anything is accepted, or refused with an error reply."""
    with suppress(ErrorReply):
        accept(sent, Settings())


@bounded
@given(body(RESPONSE_FIELDS))
def test_a_response_request(sent: dict[str, Any]) -> None:
    """Anything is accepted, or refused with an error reply."""
    with suppress(ErrorReply):
        accept_response(sent, Settings(), NOTHING)


@bounded
@given(st.sampled_from([CHAT_COMPLETIONS, RESPONSES]), JSON, JSON)
def test_a_line(endpoint: str, custom_id: Any, sent: Any) -> None:
    """Any line is a request, or has a fault."""
    raw = json.dumps({"custom_id": custom_id, "method": "POST", "url": endpoint, "body": sent}).encode()
    with suppress(LineError):
        accept_line(parse(raw, endpoint), endpoint, Settings())


@bounded
@given(st.binary() | st.text().map(lambda text: json.dumps(text).encode()))
def test_json(raw: bytes) -> None:
    """Any bytes are JSON, then the same that they are for others, or are refused."""
    with suppress(JsonError):
        assert parse_json(raw) == json.loads(raw)


@bounded
@given(st.text() | st.from_regex(r"\d{1,2}:\d{2}-\d{1,2}:\d{2}( [A-Za-z/._-]{1,20})?", fullmatch=True))
def test_a_window(text: str) -> None:
    """Any text is a window, or is told not to be one."""
    with suppress(window.WindowError):
        window.parse(text).is_open(0)


@bounded
@given(TEXT, st.dictionaries(TEXT, TEXT, max_size=3), TEXT)
def test_a_template(template: str, row: dict[str, str], value: str) -> None:
    """Any template is filled or refused, and a value stands in it unchanged, whatever it looks like."""
    with suppress(FormatError):
        fill(template, row, 1)
    assert fill("<{column}>", {"column": value}, 1) == f"<{value}>"


TURN = st.tuples(st.sampled_from(["system", "developer", "user", "assistant"]), TEXT.filter(str.strip))


@bounded
@given(st.lists(TURN, max_size=5), TEXT.filter(str.strip))
def test_no_message_forges_a_turn(turns: list[tuple[str, str]], last: str) -> None:
    """Each text is in the turn of its own role, to the letter, and what is handed over is JSON."""
    messages = [{"role": role, "content": text} for role, text in [*turns, ("user", last)]]
    accepted = accept({"model": "sonnet", "messages": messages}, Settings())
    asked = to_claude(accepted.payload)
    found = [(turn["role"], text) for turn in asked.messages for text in texts(turn["content"])]
    assert found == [(role, text) for role, text in [*turns, ("user", last)] if role in ("user", "assistant")]
    assert (asked.system or "") == "\n\n".join(text for role, text in turns if role in ("system", "developer"))
    assert json.loads(json.dumps(asked.messages)) == json.loads(json.dumps(asked.messages, ensure_ascii=False))
    assert isinstance(json.loads(to_cli(asked).prompt.in_body(asked.system, is_bare=True)), dict)


def texts(content: Any) -> list[str]:
    """The texts of a turn."""
    return [content] if isinstance(content, str) else [block["text"] for block in content]
