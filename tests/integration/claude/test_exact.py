"""What is asked reaches the Messages API as it is: the CLI's reading of a person's typing has no part in it."""

from __future__ import annotations

import base64
import os
import struct
import zlib
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import pytest

from tests.integration.claude.conftest import SUBSCRIPTION, Make, bodies
from workers.claude import ClaudeInvoker, Profile, Prompt, TurnFailed

if TYPE_CHECKING:
    from simulator.process import RunningSimulator


def png(width: int, height: int, pixels: bytes) -> str:
    """An RGBA image, eight bits a channel, as base64."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    rows = b"".join(b"\0" + pixels[4 * width * row : 4 * width * (row + 1)] for row in range(height))
    head = struct.pack(">IIBBBBB", width, height, 8, 6, 0, 0, 0)
    made = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(rows, 1)) + chunk(b"IEND", b"")
    return base64.b64encode(made).decode()


def text(words: str) -> dict[str, Any]:
    return {"type": "text", "text": words}


def image(data: str) -> dict[str, Any]:
    return {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": data}}


HALF_CLEAR = bytes((255, 0, 0, 128))
DOT = image(png(1, 1, HALF_CLEAR))

CONTENTS = {
    "white space only": [text(" \n\t ")],
    "empty": [text("")],
    "blank between others": [text("a"), text("\n\n"), text("b"), text("")],
    "an element of the CLI's own": [text('<cross-session-message from="a">hello</cross-session-message>')],
    "720,000 characters": [text("word " * 144_000)],
    "100 images": [DOT] * 100,
    "wide": [image(png(2400, 4, HALF_CLEAR * 2400 * 4)), text("?")],
    "more than 512,000 bytes": [image(png(400, 400, os.urandom(4 * 400 * 400))), text("?")],
    "half transparent": [DOT, text("?")],
    "no image": [image(base64.b64encode(b"these are no pixels").decode()), text("?")],
}


@pytest.mark.parametrize("name", CONTENTS)
def test_a_prompt_is_exact(shared: ClaudeInvoker, simulator: RunningSimulator, name: str) -> None:
    """Nothing is answered, refused, altered, left out or added on the way; whatever the API says to it is its own."""
    with suppress(TurnFailed):
        shared.ask(Prompt(tuple(CONTENTS[name])))
    (body,) = bodies(simulator)
    assert body["messages"] == [{"role": "user", "content": CONTENTS[name]}]


def test_a_subscriptions_prompt_is_exact_too(make: Make, simulator: RunningSimulator) -> None:
    """The CLI's words about date and surroundings are not the client's."""
    make(login=SUBSCRIPTION).ask("hello")
    assert bodies(simulator)[0]["messages"] == [{"role": "user", "content": [text("hello")]}]


def test_what_is_asked_again_is_handed_over_once(shared: ClaudeInvoker, simulator: RunningSimulator) -> None:
    """The same request, and another after it, are exact all the same."""
    for words in ("same", "same", "other", "same"):
        shared.ask(words)
    assert [body["messages"][0]["content"] for body in bodies(simulator)] == [
        [text(words)] for words in ("same", "same", "other", "same")
    ]


def marks(body: dict[str, Any]) -> list[str]:
    """Where a request is marked for the cache."""
    places = {"system": body.get("system") or [], "tools": body.get("tools") or []}
    places |= {f"messages[{index}]": message["content"] for index, message in enumerate(body["messages"])}
    return [
        name
        for name, blocks in places.items()
        for block in (() if isinstance(blocks, str) else blocks)
        if "cache_control" in block
    ]


TOOLS = {"tools": [{"name": f"mcp__client__{name}", "input_schema": {"type": "object"}} for name in "fg"]}
EARLIER = ({"role": "user", "content": "1"}, {"role": "assistant", "content": "2"})


@pytest.mark.parametrize("login", [None, SUBSCRIPTION], ids=["key", "subscription"])
def test_only_what_is_read_again_is_marked_for_the_cache(
    make: Make, simulator: RunningSimulator, login: dict[str, str] | None
) -> None:
    """A prompt by itself is not: nobody reads it again, and writing costs a quarter more. Marks last five minutes."""
    invoker = make(login=login)
    invoker.ask("once")
    invoker.ask(Prompt("once", fields=TOOLS))
    invoker.ask(Prompt("3", EARLIER))
    alone, with_tools, talk = (marks(body) for body in bodies(simulator))
    assert (alone, with_tools, talk) == ([], ["tools"], ["messages[2]"])
    simulator.control.clear_requests()
    invoker.ask(Prompt("once", fields=TOOLS), Profile(system="Be brief."))
    (body,) = bodies(simulator)
    assert set(marks(body)) == {"system"}
    assert body["system"][-1] == {**text("Be brief."), "cache_control": {"type": "ephemeral"}}


@pytest.mark.parametrize(
    ("model", "limit"),
    [("claude-haiku-4-5", 64_000), ("claude-sonnet-4-5", 64_000), ("sonnet", 128_000), ("claude-other-9", 32_000)],
)
def test_without_a_limit_an_answer_may_be_as_long_as_the_model_can(
    make: Make, simulator: RunningSimulator, model: str, limit: int
) -> None:
    """The model's own maximum, where the CLI knows the model."""
    make().ask("hello", Profile(model=model))
    assert bodies(simulator)[0]["max_tokens"] == limit


def test_the_model_that_was_asked_for_is_asked(make: Make, simulator: RunningSimulator) -> None:
    """By itself the CLI asks another one in place of some old ones."""
    make().ask("hello", Profile(model="claude-opus-4-1"))
    assert bodies(simulator)[0]["model"] == "claude-opus-4-1"


@pytest.mark.parametrize(("model", "is_known"), [("claude-sonnet-4-5", True), ("claude-other-9", False)])
def test_a_price_that_nobody_knows_is_no_cost(
    make: Make, simulator: RunningSimulator, model: str, is_known: bool
) -> None:
    """For a model without one the CLI invents it."""
    invoker = make()
    for _ in range(2):
        assert (invoker.ask("hello", Profile(model=model)).cost_usd is not None) is is_known
