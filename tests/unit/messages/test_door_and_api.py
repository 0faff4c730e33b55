"""What the door lets in, the Messages API takes: the door's rules held against the simulator's, which are the API's."""

from __future__ import annotations

from base64 import b64encode
from typing import Any

from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st

from app.errors import ErrorReply
from app.messages import to_claude
from app.openai.accept import Accepted, accept
from app.settings import Settings
from simulator.validation import check_request

bounded = settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])

PNG = bytes([137]) + b"PNG\r\n\x1a\n" + (13).to_bytes(4, "big") + b"IHDR" + (1).to_bytes(4, "big") * 2 + b"\x08"
JPEG = b"\xff\xd8\xff\xe0" + bytes(20)
BYTES = st.sampled_from(
    [PNG, JPEG, b"GIF89a" + bytes(9), b"RIFF0000WEBPVP8 ", b"%PDF-1.7", b"text", b" ", b"", b"\xff"]
)
LABELS = st.sampled_from(
    ["image/png", "IMAGE/JPG", "image/svg+xml", "application/pdf", "text/plain;charset=latin-1", "", "x"]
)
URLS = st.builds(
    lambda label, data: f"data:{label};base64,{b64encode(data).decode()}", LABELS, BYTES
) | st.sampled_from(["data:,hello", "http://x/", "?", "data:image/png;base64"])
TEXT = st.sampled_from(["hello", "a ", "\n b"])
IDS = st.sampled_from(["a", "b", "f:0"])
ARGUMENTS = st.sampled_from(["{}", "", "null", '{"x": 1}', "{", "[]"])

TEXT_PART = st.builds(lambda text: {"type": "text", "text": text}, TEXT)
IMAGE_PART = st.builds(lambda url: {"type": "image_url", "image_url": {"url": url}}, URLS)
FILE_PART = st.builds(
    lambda data, name: {"type": "file", "file": {"file_data": data, "filename": name}},
    URLS,
    st.sampled_from(["a.txt", "a"]),
)
PARTS = TEXT | st.lists(TEXT_PART | IMAGE_PART | FILE_PART, min_size=1, max_size=3)
CALL = st.builds(
    lambda id_, arguments: {"id": id_, "type": "function", "function": {"name": "f", "arguments": arguments}},
    IDS,
    ARGUMENTS,
)
MESSAGE = st.one_of(
    st.builds(lambda content: {"role": "user", "content": content}, PARTS),
    st.builds(lambda content: {"role": "system", "content": content}, TEXT),
    st.builds(lambda content: {"role": "assistant", "content": content}, TEXT | st.lists(TEXT_PART, min_size=1)),
    st.builds(
        lambda content, calls: {"role": "assistant", "content": content, "tool_calls": calls},
        st.none() | TEXT,
        st.lists(CALL, min_size=1, max_size=2),
    ),
    st.builds(lambda id_, content: {"role": "tool", "tool_call_id": id_, "content": content}, IDS, PARTS),
)
FIELDS = st.fixed_dictionaries(
    {},
    optional={
        "stop": st.lists(st.sampled_from(["\n\n", " ", "END", "\nQ:"]), max_size=3),
        "temperature": st.sampled_from([0, 0.5, 1, 1.5]),
        "top_p": st.sampled_from([0.1, 0.97, 1]),
        "reasoning_effort": st.sampled_from(["none", "low", "high"]),
        "max_tokens": st.sampled_from([100, 5000]),
    },
)


def answered(messages: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The conversation with a result after each call, and a question at its end: what is most often sent."""
    found: list[dict[str, Any]] = []
    for message in messages:
        if message["role"] == "tool":
            continue
        found.append(message)
        calls = message.get("tool_calls", ())
        found += [{"role": "tool", "tool_call_id": call["id"], "content": "42"} for call in calls]
    return [*found, {"role": "user", "content": "and now?"}]


def outcome(sent: dict[str, Any]) -> tuple[Accepted[Any] | None, ErrorReply | None]:
    """What the door says."""
    try:
        return accept(sent, Settings()), None
    except ErrorReply as error:
        return None, error


@bounded
@given(st.lists(MESSAGE, min_size=1, max_size=6), st.booleans(), FIELDS)
def test_what_is_accepted_is_taken(messages: list[dict[str, Any]], is_answered: bool, fields: dict[str, Any]) -> None:
    """Any conversation is a 400 with its place, or a request that the API does not refuse."""
    sent = {"model": "claude-opus-4-0", "messages": answered(messages) if is_answered else messages, **fields}
    accepted, error = outcome(sent)
    if accepted is None:
        event("refused")
        assert error is not None
        assert (error.status, (error.param or "").partition("[")[0]) in {(400, "messages"), (400, "temperature")}
        return
    event("accepted")
    asked = to_claude(accepted.payload)
    body: dict[str, Any] = {
        "model": asked.model,
        "max_tokens": asked.max_tokens or 32_000,
        "messages": [dict(message) for message in asked.messages],
        "stop_sequences": list(asked.stop_sequences),
        **asked.sampling,
    }
    if asked.system is not None:
        body["system"] = [{"type": "text", "text": asked.system}]
    if asked.thinking is not None:
        body["thinking"] = {"type": "enabled", "budget_tokens": asked.thinking.tokens}
    check_request(body)
