"""Text that is empty or white space, wherever it may be."""

from __future__ import annotations

from typing import Any

import pytest

from app.errors import ErrorReply
from app.messages import to_claude

CALL = {"id": "c1", "type": "function", "function": {"name": "f", "arguments": "{}"}}
RESULT = {"role": "tool", "tool_call_id": "c1", "content": "42"}


def asked(*messages: dict[str, Any]) -> Any:
    return to_claude({"claude_model": "sonnet", "request": {"model": "gpt-4o", "messages": list(messages)}})


def user(content: Any) -> dict[str, Any]:
    return {"role": "user", "content": content}


def part(text: str) -> dict[str, Any]:
    return {"type": "text", "text": text}


SAID = {"role": "assistant", "content": "said"}


@pytest.mark.parametrize("blank", ["", " ", "\n\t\u2003"])
@pytest.mark.parametrize(
    ("before", "after"),
    [((), ()), ((user("1"), SAID), ()), ((), (SAID, user("3")))],
    ids=["alone", "last", "first"],
)
def test_a_users_blank_text_is_refused_where_it_is(before: tuple[Any, ...], after: tuple[Any, ...], blank: str) -> None:
    """Alone, in an earlier turn, and as a part beside others: Claude takes none, so the place is named."""
    at = f"messages[{len(before)}].content"
    for content, place in ((blank, at), ([part("x"), part(blank)], f"{at}[1].text"), ([part(blank)], f"{at}[0].text")):
        with pytest.raises(ErrorReply) as refused:
            asked(*before, user(content), *after)
        assert (refused.value.status, refused.value.param) == (400, place)


@pytest.mark.parametrize("blank", ["", "\n\n", None, [part(" "), {"type": "refusal", "refusal": ""}]])
def test_what_the_assistant_did_not_say_is_left_out(blank: Any) -> None:
    """Claude says nothing now and then and takes no such turn back; a conversation can go on from it, calls beside it too."""
    found = asked(user("1"), {"role": "assistant", "content": blank}, user("2"))
    assert [block["text"] for block in found.messages[0]["content"]] == ["1", "2"]
    found = asked(user("1"), {"role": "assistant", "content": blank, "tool_calls": [CALL]}, RESULT)
    assert [block["type"] for block in found.messages[1]["content"]] == ["tool_use"]


def test_one_blank_part_of_the_assistants_is_left_out() -> None:
    """What it did say stays."""
    found = asked(user("1"), {"role": "assistant", "content": [part("a"), part("\n"), part("b")]}, user("2"))
    assert [block["text"] for block in found.messages[1]["content"]] == ["a", "b"]


@pytest.mark.parametrize("result", ["", "  ", [part("")]])
def test_a_tools_result_may_be_blank(result: Any) -> None:
    """A function that gives nothing back is no mistake, and Claude takes it."""
    found = asked(
        user("1"), {"role": "assistant", "content": None, "tool_calls": [CALL]}, {**RESULT, "content": result}
    )
    assert found.messages[2]["content"][0]["content"] == (result if isinstance(result, str) else "")


def test_a_system_text_that_is_white_space_is_refused() -> None:
    """Unless it is empty, which asks for nothing, or others have words: they are one text."""
    with pytest.raises(ErrorReply) as refused:
        asked({"role": "system", "content": ""}, {"role": "developer", "content": " "}, user("1"))
    assert refused.value.param == "messages[1].content"
    assert asked({"role": "system", "content": ""}, user("1")).system is None
    both = asked({"role": "system", "content": "A"}, {"role": "system", "content": " "}, user("1"))
    assert both.system == "A\n\n "
