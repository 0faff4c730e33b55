"""What is written to the wire and when."""

import json
from collections.abc import Callable
from typing import Any

from simulator.answers import answer
from simulator.message_request import MessageRequest
from simulator.rules import Respond
from simulator.script import MALFORMED_EVENT, Pace, Script, stream_script, whole_script

MakeRequest = Callable[..., MessageRequest]

LONG = {"text": "abcd" * 100}


def stream(request: MessageRequest, respond: dict[str, Any], pace: Pace | None = None) -> Script:
    """Return the stream that ``respond`` makes of ``request``."""
    parsed = Respond.model_validate(respond)
    return stream_script(answer(request, parsed), parsed, pace or Pace(), {})


def events(script: Script) -> list[dict[str, Any]]:
    """Return the JSON of a script's events."""
    data = b"".join(write.data for write in script.writes).decode()
    return [json.loads(part.split("data: ", 1)[1]) for part in data.split("\n\n") if part]


def texts(script: Script) -> list[str]:
    """Return a script's text deltas."""
    return [event["delta"]["text"] for event in events(script) if event["type"] == "content_block_delta"]


def test_an_unpaced_stream_is_one_write(make_request: MakeRequest) -> None:
    """Without a token rate the whole stream goes out at once, in the public order of events."""
    script = stream(make_request(), {"text": "hi"})
    assert len(script.writes) == 1
    assert [event["type"] for event in events(script)] == [
        "message_start",
        "ping",
        "content_block_start",
        "content_block_delta",
        "content_block_stop",
        "message_delta",
        "message_stop",
    ]
    assert events(script)[-2]["usage"]["output_tokens"] == 1


def test_a_paced_stream_takes_its_tokens_time(make_request: MakeRequest) -> None:
    """The last write is due when all tokens are, after the latency, and no text is lost."""
    script = stream(make_request(), LONG, Pace(latency_seconds=1, tokens_per_second=50))
    assert script.writes[0].at == 1
    assert abs(script.writes[-1].at - 3) < 1e-6
    assert "".join(texts(script)) == LONG["text"]
    assert len(texts(script)) == 100


def test_tool_input_and_thinking_are_streamed_in_pieces(make_request: MakeRequest) -> None:
    """A tool's input arrives as pieces of JSON, and thinking ends with its signature."""
    call = {"name": "f", "input": {"text": "x" * 100}}
    found = events(stream(make_request(), {"thinking": "hm", "tool_calls": [call]}))
    deltas = [event["delta"] for event in found if event["type"] == "content_block_delta"]
    assert [delta["type"] for delta in deltas[:2]] == ["thinking_delta", "signature_delta"]
    assert json.loads("".join(delta["partial_json"] for delta in deltas[2:])) == call["input"]
    assert len(deltas) > 4


def test_break_comes_after_its_deltas(make_request: MakeRequest) -> None:
    """A broken stream has as many deltas as asked for, all of them at most, and no end."""
    script = stream(make_request(), {**LONG, "break_after_deltas": 3})
    assert script.broken
    assert len(texts(script)) == 3
    everything = stream(make_request(), {"text": "hi", "break_after_deltas": 99})
    assert texts(everything) == ["hi"]
    assert events(everything)[-1]["type"] == "content_block_stop"


def test_stream_error_ends_the_stream(make_request: MakeRequest) -> None:
    """An error event takes the place of the rest."""
    script = stream(make_request(), {**LONG, "stream_error": {"after_deltas": 1}})
    assert events(script)[-1] == {"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}}
    assert not script.broken


def test_malformed_event_and_hang_within_a_stream(make_request: MakeRequest) -> None:
    """A malformed event and a pause come where they are asked for."""
    respond = {**LONG, "malformed_sse_after_deltas": 2, "hang_after_deltas": 2, "hang_seconds": 5}
    script = stream(make_request(), respond)
    assert [write.at for write in script.writes] == [0, 5]
    assert script.writes[1].data.startswith(MALFORMED_EVENT)


def test_whole_answer_is_one_body(make_request: MakeRequest) -> None:
    """An answer that is not streamed is the message's JSON; a token rate delays it as a whole."""
    respond = Respond(text="abcd" * 10)
    script = whole_script(answer(make_request(), respond), respond, Pace(tokens_per_second=5), {})
    (write,) = script.writes
    body = json.loads(write.data)
    assert (write.at, body["content"][0]["text"], body["stop_reason"]) == (2, "abcd" * 10, "end_turn")
    assert body["type"] == "message"


def test_a_held_answer_has_its_place(make_request: MakeRequest) -> None:
    """Before the answer, or after as many deltas as asked for."""
    assert stream(make_request(), {**LONG, "held": True}).held == 0
    assert stream(make_request(), LONG).held is None
    script = stream(make_request(), {**LONG, "held": True, "hang_after_deltas": 2}, Pace(tokens_per_second=50))
    assert script.held is not None
    before = Script(200, {}, script.writes[: script.held])
    assert len(texts(before)) == 2
    assert "".join(texts(script)) == LONG["text"]
