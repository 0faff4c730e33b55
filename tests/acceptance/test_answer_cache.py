"""The whole stack with a cache of answers: each way to ask, and how a hit is named and counted."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import httpx

from tests.acceptance.stack import Stack, stack_fixture
from tests.redis_server import wait_until

if TYPE_CHECKING:
    from openai import OpenAI

stack = stack_fixture("module", settings={"NIGHTSHIFT_ANSWER_CACHE": "1h"})

CACHE = "x-nightshift-cache"


def ask(client: OpenAI, text: str, **fields: Any) -> Any:
    return client.chat.completions.with_raw_response.create(
        model="haiku", messages=[{"role": "user", "content": text}], **fields
    )


def test_a_hit_is_named_and_costs_nothing(stack: Stack) -> None:
    client = stack.client()
    first, second = ask(client, "Cached?"), ask(client, "Cached?")
    assert (first.headers.get(CACHE), second.headers.get(CACHE)) == (None, "hit")
    assert len(stack.asked("Cached?")) == 1
    one, two = first.parse(), second.parse()
    assert one.choices[0].message.content == two.choices[0].message.content
    assert one.id != two.id
    assert (two.usage.total_tokens, float(second.headers["x-nightshift-cost-usd"])) == (0, 0)
    job = stack.job(two.id)
    assert (job["status"], job["cache"], job["way"]) == ("completed", "hit", None)
    metrics = httpx.get(f"{stack.url}/metrics").text
    assert 'nightshift_answers_total{way="cache"}' in metrics


def test_a_stream_and_a_response_get_it_too(stack: Stack) -> None:
    client = stack.client()
    answer = ask(client, "Streamed?").parse().choices[0].message.content
    body = {"model": "haiku", "messages": [{"role": "user", "content": "Streamed?"}], "stream": True}
    streamed = httpx.post(f"{stack.url}/v1/chat/completions", json=body, timeout=60).text
    assert f": {CACHE}: hit\n" in streamed
    chunks = [json.loads(line[6:]) for line in streamed.splitlines() if line.startswith("data: {")]
    assert "".join(choice["delta"].get("content") or "" for one in chunks for choice in one["choices"]) == answer
    assert chunks[-1]["choices"][0]["finish_reason"] == "stop"
    assert client.responses.create(model="haiku", input="Streamed?").output_text == answer
    assert len(stack.asked("Streamed?")) == 1


def test_a_request_says_no(stack: Stack) -> None:
    client = stack.client()
    ask(client, "Fresh?")
    for number, fields in enumerate(
        (
            {"extra_headers": {"Cache-Control": "no-cache"}},
            {"extra_headers": {"Cache-Control": "max-age=0, no-store"}},
            {"metadata": {"cache": "off"}},
        )
    ):
        assert CACHE not in ask(client, "Fresh?", **fields).headers
        assert len(stack.asked("Fresh?")) == 2 + number
    assert ask(client, "Fresh?").headers[CACHE] == "hit"


def test_lines_of_a_batch(stack: Stack) -> None:
    client = stack.client()
    ask(client, "Line 1?")

    def run(metadata: dict[str, str] | None = None) -> tuple[list[dict[str, Any]], dict[str, Any]]:
        lines = [
            {
                "custom_id": f"c{number}",
                "method": "POST",
                "url": "/v1/chat/completions",
                "body": {"model": "haiku", "messages": [{"role": "user", "content": f"Line {number}?"}]},
            }
            for number in (1, 2)
        ]
        data = "\n".join(map(json.dumps, lines)).encode()
        file = client.files.create(file=("lines.jsonl", data), purpose="batch")
        batch = client.batches.create(
            input_file_id=file.id, endpoint="/v1/chat/completions", completion_window="24h", metadata=metadata
        )
        wait_until(lambda: client.batches.retrieve(batch.id).status == "completed", "the batch")
        output = client.files.content(client.batches.retrieve(batch.id).output_file_id or "").text
        found = httpx.get(f"{stack.url}/v1/batches/{batch.id}/report").json()
        return sorted(map(json.loads, output.splitlines()), key=lambda one: str(one["custom_id"])), found

    (one, two), report = run()
    assert one["nightshift"] == {"cache": "hit", "cost_usd": 0}
    assert two["nightshift"]["way"] == "cli"
    assert report["ways"] == {"cache": 1, "cli": 1}
    _, report = run({"cache": "off"})
    assert report["ways"] == {"cli": 2}
    _, report = run()
    assert report["ways"] == {"cache": 2}
    assert report["cost_usd"] == 0
