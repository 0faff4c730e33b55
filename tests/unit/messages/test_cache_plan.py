"""Where the marks of a batch's line are, by either way; and that what the model reads is the same text."""

from __future__ import annotations

import json
from typing import Any

import pytest

from app.messages import to_claude
from app.messages.request import as_blocks
from workers.claude.dialect import to_cli
from workers.messages_api.body import body_of

TALK: list[dict[str, Any]] = [
    {"role": "user", "content": "one"},
    {"role": "assistant", "content": "two"},
    {"role": "user", "content": [{"type": "text", "text": "three"}, {"type": "text", "text": "four five"}]},
]
SYSTEM: dict[str, Any] = {"role": "system", "content": "Be brief."}
FIVE, HOUR = {"type": "ephemeral"}, {"type": "ephemeral", "ttl": "1h"}


def body(messages: list[dict[str, Any]], cache: dict[str, Any] | None, **fields: Any) -> dict[str, Any]:
    payload: dict[str, Any] = {"claude_model": "opus", "request": {"messages": messages, **fields}}
    return body_of(to_claude(payload if cache is None else payload | {"cache": cache}))


def marks(sent: dict[str, Any]) -> list[tuple[str, Any]]:
    """Each text of the messages that has a mark, with it."""
    blocks = [block for message in sent["messages"] for block in as_blocks(message["content"])]
    return [(block["text"], block["cache_control"]) for block in blocks if "cache_control" in block]


@pytest.mark.parametrize(
    ("cache", "marked"),
    [
        (None, [("four five", FIVE)]),
        ({"ttl": "5m"}, []),
        ({"ttl": "5m", "blocks": 1}, [("one", FIVE)]),
        ({"ttl": "5m", "blocks": 2}, [("two", FIVE)]),
        ({"ttl": "1h", "blocks": 3}, [("three", HOUR)]),
        ({"ttl": "5m", "blocks": 4}, [("four five", FIVE)]),
        ({"ttl": "5m", "blocks": 3, "characters": 4}, [("four", FIVE)]),
        ({"ttl": "5m", "blocks": 0, "characters": 2}, [("on", FIVE)]),
        ({"ttl": "5m", "blocks": 2, "characters": 5}, []),
        ({"ttl": ""}, []),
        ({"ttl": "", "blocks": 3, "characters": 4}, []),
    ],
)
def test_the_head_ends_with_a_mark(cache: dict[str, Any] | None, marked: list[tuple[str, Any]]) -> None:
    """A text that is all head is not parted: the API takes no blank one."""
    sent = body(TALK, cache)
    assert marks(sent) == marked
    said = ["".join(block["text"] for block in as_blocks(message["content"])) for message in sent["messages"]]
    assert said == ["one", "two", "threefour five"]


@pytest.mark.parametrize(
    ("cache", "mark"), [(None, FIVE), ({"ttl": "5m"}, FIVE), ({"ttl": "1h"}, HOUR), ({"ttl": ""}, None)]
)
def test_system_text_and_functions_are_kept_as_long(cache: dict[str, Any] | None, mark: Any) -> None:
    assert body([SYSTEM, *TALK], cache)["system"][0].get("cache_control") == mark
    tools = [{"type": "function", "function": {"name": name}} for name in "fg"]
    first, last = body(TALK, cache, tools=tools)["tools"]
    assert (first.get("cache_control"), last.get("cache_control")) == (None, mark)


def test_a_repair_leaves_the_head_where_it_is() -> None:
    """The further words come behind it."""
    payload = {"claude_model": "opus", "request": {"messages": TALK}, "cache": {"blocks": 3, "characters": 4}}
    again = to_claude(payload).again("Once more.")
    assert marks(body_of(again)) == [("four", FIVE)]


@pytest.mark.parametrize("ttl", ["5m", "1h", ""])
def test_by_the_command_line_it_is_the_same_for_five_minutes(ttl: str) -> None:
    payload = {"claude_model": "opus", "request": {"messages": [SYSTEM, *TALK]}, "cache": {"ttl": ttl, "blocks": 3}}
    request = to_claude(payload)
    asked = to_cli(request)
    by_cli = json.loads(asked.prompt.in_body(asked.profile.system, is_bare=True))
    expected = body_of(to_claude(payload | {"cache": {"ttl": ttl and "5m", "blocks": 3}}))
    assert (by_cli["system"], by_cli["messages"]) == (expected["system"], expected["messages"])
