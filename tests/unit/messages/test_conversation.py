"""The messages of a request, as Claude takes them: what is decided about each thing that it does not take as it is."""

from __future__ import annotations

from base64 import b64encode
from typing import Any

import pytest

from app.batches.endpoints import CHAT_COMPLETIONS, NOTHING, RESPONSES, accept_line
from app.batches.formats.line import Line, LineError
from app.errors import ErrorReply
from app.messages.conversation import conversation
from app.openai.accept import accept
from app.openai.responses.accept import accept as accept_response
from app.settings import Settings

PNG = f"data:image/jpg;base64,{b64encode(bytes([137]) + b'PNG' + bytes([13, 10, 26, 10]) + bytes(9)).decode()}"
NO_IMAGE = f"data:image/png;base64,{b64encode(b'no image').decode()}"
ASK: dict[str, Any] = {"role": "user", "content": "hi"}


def call(*ids: str, arguments: str = "{}", name: str = "f") -> dict[str, Any]:
    called = [{"id": one, "type": "function", "function": {"name": name, "arguments": arguments}} for one in ids]
    return {"role": "assistant", "content": None, "tool_calls": called}


def result(call_id: str, content: Any = "42") -> dict[str, Any]:
    return {"role": "tool", "tool_call_id": call_id, "content": content}


def image(url: str) -> dict[str, Any]:
    return {"type": "image_url", "image_url": {"url": url}}


def file(data: str, **fields: str) -> dict[str, Any]:
    return {"type": "file", "file": {"file_data": data, **fields}}


FAULTS = [
    ([ASK, {"role": "assistant", "content": "It is"}], "messages[1]", "newer models refuse"),
    ([{"role": "assistant", "content": ""}], "messages[0]", "from the user or a tool"),
    ([ASK, call("a")], "messages[1].tool_calls[0]", "the call 'a' has no result"),
    ([ASK, call("a", "b"), result("b"), ASK], "messages[1].tool_calls[0]", "the call 'a' has no result"),
    ([ASK, call("a"), ASK, result("a")], "messages[1].tool_calls[0]", "before any other"),
    ([ASK, call("a"), result("a"), call("b")], "messages[3].tool_calls[0]", "the call 'b' has no result"),
    ([ASK, result("a")], "messages[1].tool_call_id", "answers no tool call"),
    ([ASK, call("a"), result("a"), ASK, result("a")], "messages[4].tool_call_id", "answers no tool call"),
    ([ASK, call("a"), result("a"), result("a")], "messages[3].tool_call_id", "has a result already"),
    ([ASK, call("a", "a"), result("a")], "messages[1].tool_calls[1].id", "another call has this id"),
    ([ASK, call("a", arguments="{"), result("a")], "messages[1].tool_calls[0].function.arguments", "have to be JSON"),
    ([ASK, call("a", arguments='{"x": NaN}'), result("a")], "messages[1].tool_calls[0].function.arguments", "JSON"),
    ([ASK, call("a", arguments="[]"), result("a")], "messages[1].tool_calls[0].function.arguments", "a JSON object"),
    ([ASK, call("a", name="a.b"), result("a")], "messages[1].tool_calls[0].function.name", "1 to 64 letters"),
    (
        [{"role": "user", "content": [{"type": "text", "text": "a"}, image("http://x/")]}],
        "messages[0].content[1].image_url",
        "https URL",
    ),
    ([{"role": "user", "content": [image(NO_IMAGE)]}], "messages[0].content[0].image_url", "no PNG"),
    (
        [{"role": "user", "content": [file("data:application/zip;base64,UEsDBA==")]}],
        "messages[0].content[0].file.file_data",
        "neither a PDF nor text",
    ),
    ([ASK, call("a"), result("a", [image(NO_IMAGE)])], "messages[2].content[0].image_url", "no PNG"),
]


@pytest.mark.parametrize(("messages", "param", "reason"), FAULTS)
def test_the_door_names_what_claude_has_no_form_for(messages: list[dict[str, Any]], param: str, reason: str) -> None:
    """A 400 that names the place and says what to do: of a request by itself, and of a batch's line before anything runs."""
    body = {"model": "sonnet", "messages": messages}
    with pytest.raises(ErrorReply, match=reason) as refused:
        accept(body, Settings())
    assert (refused.value.status, refused.value.param, refused.value.code) == (400, param, "invalid_value")
    with pytest.raises(LineError) as line:
        accept_line(Line("a", body), CHAT_COMPLETIONS, Settings())
    assert line.value.param == f"body.{param}"


@pytest.mark.parametrize(
    ("given", "param"),
    [
        ([ASK, {"role": "assistant", "content": "It is"}], "input[1]"),
        ([ASK, {"type": "function_call", "call_id": "a", "name": "f", "arguments": "{"}], "input[1].arguments"),
        (
            [
                {"type": "reasoning", "summary": []},
                ASK,
                {"type": "function_call", "call_id": "a", "name": "f", "arguments": "{}"},
            ],
            "input[2]",
        ),
        (
            [{"role": "user", "content": [{"type": "input_image", "image_url": NO_IMAGE}]}],
            "input[0].content[0].image_url",
        ),
        (
            [
                ASK,
                {"type": "function_call", "call_id": "a", "name": "f", "arguments": "{}"},
                {"type": "function_call_output", "call_id": "a", "output": [{"type": "input_file", "file_data": "?"}]},
            ],
            "input[2].output[0].file_data",
        ),
        ([ASK, {"type": "function_call_output", "call_id": "a", "output": ""}], "input[1].call_id"),
    ],
)
def test_a_response_request_is_held_against_the_same(given: list[dict[str, Any]], param: str) -> None:
    """Its items are named as it has them, also in a batch's line."""
    body = {"model": "sonnet", "input": given}
    with pytest.raises(ErrorReply) as refused:
        accept_response(body, Settings(), NOTHING)
    assert (refused.value.status, refused.value.param) == (400, param)
    with pytest.raises(LineError) as line:
        accept_line(Line("a", body), RESPONSES, Settings())
    assert line.value.param == f"body.{param}"


def test_instructions_alone_are_what_is_asked() -> None:
    """Claude answers a user: so a system message that is all there is becomes the user's."""
    found = conversation(
        [{"role": "system", "content": "Tell a joke."}, {"role": "developer", "content": "A short one."}]
    )
    assert (found.system, found.turns) == (None, [{"role": "user", "content": "Tell a joke.\n\nA short one."}])
    accept({"model": "sonnet", "messages": [{"role": "system", "content": "Tell a joke."}]}, Settings())


@pytest.mark.parametrize("arguments", ["", "  ", "null", "{}"])
def test_a_call_without_arguments_has_none(arguments: str) -> None:
    """However a client writes that."""
    found = conversation([ASK, call("a", arguments=arguments), result("a")])
    assert found.turns[1]["content"][0]["input"] == {}


def test_a_result_may_be_images_and_files() -> None:
    """As blocks, each by what its bytes are; a result that is text only stays one text."""
    parts = [{"type": "text", "text": "seen"}, image(PNG), file("data:text/plain,hello", filename="a.txt")]
    found = conversation([ASK, call("a", "b"), result("a", parts), result("b", [{"type": "text", "text": "42"}])])
    shown, plain = found.turns[2]["content"]
    assert [block["type"] for block in shown["content"]] == ["text", "image", "document"]
    assert shown["content"][1]["source"]["media_type"] == "image/png"
    assert shown["content"][2] == {
        "type": "document",
        "source": {"type": "text", "media_type": "text/plain", "data": "hello"},
        "title": "a.txt",
    }
    assert plain["content"] == "42"


def test_an_id_that_is_used_again_is_replaced() -> None:
    """Some models count their calls anew in each turn, and Claude wants each id once: call and result stay together."""
    turns = [ASK, call("f:0"), result("f:0", "1"), call("f:0", "b"), result("b", "2"), result("f:0", "3")]
    blocks = [block for turn in conversation(turns).turns for block in turn["content"] if isinstance(block, dict)]
    called = [block["id"] for block in blocks if block["type"] == "tool_use"]
    answered = {block["tool_use_id"]: block["content"] for block in blocks if block["type"] == "tool_result"}
    assert len(set(called)) == 3
    assert [answered[one] for one in called] == ["1", "3", "2"]


def test_system_messages_may_stand_anywhere() -> None:
    """They are no turns, and so are not between a call and its result."""
    found = conversation([ASK, call("a"), {"role": "system", "content": "be brief"}, result("a")])
    assert (found.system, [turn["role"] for turn in found.turns]) == ("be brief", ["user", "assistant", "user"])
