"""Finished chat completions read again by OpenAI's own client."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import openai
import pytest

from tests.openai_schema import openai_schema

if TYPE_CHECKING:
    from tests.acceptance.stack import Stack

PIXEL = "data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="


def test_retrieve_and_delete(stack: Stack) -> None:
    """A finished one is read again as it was, and is gone once it is deleted."""
    client: Any = stack.client(_strict_response_validation=True)
    made = client.chat.completions.create(model="sonnet", messages=[{"role": "user", "content": "hello"}], store=True)
    assert client.chat.completions.retrieve(made.id).choices == made.choices
    assert client.chat.completions.delete(made.id).deleted
    with pytest.raises(openai.NotFoundError):
        client.chat.completions.retrieve(made.id)
    with pytest.raises(openai.NotFoundError):
        client.chat.completions.delete(made.id)


def test_what_is_none(stack: Stack) -> None:
    """An id of nothing, of a response, or of a completion that failed is a 404."""
    client: Any = stack.client()
    response = client.responses.create(model="sonnet", input="hello")
    stack.simulator.add_rule({"error": {"status": 400, "message": "no"}})
    failed = stack.wait_for(stack.submit("fail"))
    for completion_id in ("chatcmpl-none", response.id, failed["id"]):
        with pytest.raises(openai.NotFoundError):
            client.chat.completions.retrieve(completion_id)


def test_list_and_update(stack: Stack) -> None:
    """Those that were stored are found by their metadata and model, page by page; the metadata can be changed."""
    client: Any = stack.client(_strict_response_validation=True)
    check = openai_schema("ChatCompletionList")
    made = []
    for doc in ("a", "b", "c"):
        message = {"role": "user", "content": f"document {doc}"}
        fields = {"metadata": {"step": "extract", "doc": doc}, "store": doc != "c"}
        made.append(client.chat.completions.create(model="haiku", messages=[message], **fields).id)

    def found(**query: Any) -> list[str]:
        return [one.id for one in client.chat.completions.list(**query)]

    step = {"step": "extract"}
    assert found(metadata=step, limit=1) == made[:2]
    assert found(metadata=step, order="desc", limit=1) == [made[1], made[0]]
    assert found(metadata={**step, "doc": "b"}, model="haiku") == [made[1]]
    assert found(metadata=step, model="sonnet") == []
    check(stack.http("GET", "/v1/chat/completions").body)
    jobs = stack.http("GET", "/v1/jobs?metadata[step]=extract&metadata[doc]=c").body["data"]
    assert [job["id"] for job in jobs] == made[2:]

    changed = client.chat.completions.update(made[0], metadata={"step": "checked"})
    assert changed.metadata == {"step": "checked"}
    assert client.chat.completions.retrieve(made[0]).metadata == changed.metadata
    assert found(metadata=step) == made[1:2]
    assert found(metadata=changed.metadata) == made[:1]


def test_messages(stack: Stack) -> None:
    """A stored completion's messages as they were sent, first to last or the other way, page by page."""
    client: Any = stack.client()
    picture = {"type": "image_url", "image_url": {"url": PIXEL}}
    sent = [
        {"role": "system", "content": "Be short."},
        {"role": "user", "content": [{"type": "text", "text": "What is this?"}, picture]},
        {"role": "assistant", "content": "A dot."},
        {"role": "user", "content": "Sure?", "name": "me"},
    ]
    made = client.chat.completions.create(model="sonnet", messages=sent, store=True)
    found = list(client.chat.completions.messages.list(made.id, limit=3))
    assert [one.id for one in found] == [f"{made.id}-{number}" for number in range(4)]
    assert [(one.role, one.content) for one in found] == [
        ("system", "Be short."),
        ("user", None),
        ("assistant", "A dot."),
        ("user", "Sure?"),
    ]
    assert [part.type for part in found[1].content_parts] == ["text", "image_url"]
    assert found[1].content_parts[1].image_url.url == PIXEL
    backwards = client.chat.completions.messages.list(made.id, order="desc", limit=2).data
    assert [one.content for one in backwards] == ["Sure?", "A dot."]


def test_messages_that_are_not_kept(stack: Stack) -> None:
    """Without `store: true` they are a 404 that says so; so are those of an unknown completion."""
    client: Any = stack.client()
    made = client.chat.completions.create(model="sonnet", messages=[{"role": "user", "content": "hello"}])
    with pytest.raises(openai.NotFoundError, match="'store': true"):
        client.chat.completions.messages.list(made.id)
    with pytest.raises(openai.NotFoundError):
        client.chat.completions.messages.list("chatcmpl-none")
