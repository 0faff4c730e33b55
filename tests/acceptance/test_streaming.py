"""Streams on the whole stack, read by OpenAI's own client."""

from __future__ import annotations

import asyncio
import json
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import openai
import pytest

from tests.acceptance.stack import Stack, mended_fixture, stack_fixture
from tests.redis_server import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    import psutil
    from openai.types.chat import ChatCompletionChunk

WORDS = " ".join(f"word{number}" for number in range(20))


def messages(content: str) -> list[Any]:
    return [{"role": "user", "content": content}]


def begin(stack: Stack, content: str, **fields: Any) -> Iterator[ChatCompletionChunk]:
    """An open stream."""
    create: Any = stack.client().chat.completions.create
    return iter(create(model="sonnet", messages=messages(content), stream=True, **fields))


def text_of(chunks: Iterable[ChatCompletionChunk]) -> str:
    return "".join(choice.delta.content or "" for chunk in chunks for choice in chunk.choices)


def first_text(chunks: Iterator[ChatCompletionChunk]) -> str:
    """The first text, waited for."""
    return next(text for chunk in chunks if (text := text_of([chunk])))


def job_of(stack: Stack, status: str) -> str:
    """The id of the newest job that has this status, waited for."""

    def found() -> list[dict[str, Any]]:
        return list(stack.http("GET", f"/v1/jobs?status={status}&limit=1").body["data"])

    wait_until(lambda: bool(found()), f"a job {status}")
    return str(found()[0]["id"])


def test_token_by_token(stack: Stack) -> None:
    """What Claude has written is there before it writes the rest, of one id and one model, and makes the text that the job keeps."""
    stack.simulator.add_rule({"text": WORDS, "held": True, "hang_after_deltas": 3}, tokens_per_second=100)
    chunks = []
    for chunk in begin(stack, "slowly"):
        chunks.append(chunk)
        if text_of([chunk]):
            stack.simulator.clear_rules()
    assert len([chunk for chunk in chunks if text_of([chunk])]) >= 2
    assert text_of(chunks) == WORDS
    assert chunks[0].choices[0].delta.role == "assistant"
    assert chunks[-1].choices[0].finish_reason == "stop"
    assert {(chunk.id, chunk.model) for chunk in chunks} == {(chunks[0].id, chunks[0].model)}
    assert chunks[0].model.startswith("simulated-claude-")
    job = stack.wait_for(chunks[0].id)
    assert job["result"]["choices"][0]["message"]["content"] == WORDS
    assert job["result"]["model"] == chunks[0].model


def test_usage(stack: Stack) -> None:
    """include_usage gives what Claude reported, in one last chunk without choices."""
    stack.simulator.add_rule({"text": "x", "usage": {"input_tokens": 4711, "output_tokens": 815}})
    chunks = list(begin(stack, "count", stream_options={"include_usage": True}))
    assert [chunk.usage for chunk in chunks[:-1]] == [None] * (len(chunks) - 1)
    assert chunks[-1].choices == []
    assert chunks[-1].usage is not None and chunks[-1].usage.total_tokens == 4711 + 815


@pytest.mark.parametrize(
    ("path", "body", "last"),
    [
        ("/v1/chat/completions", {"messages": messages("dear")}, "data: [DONE]"),
        ("/v1/responses", {"input": "dear"}, "event: response.completed"),
    ],
)
def test_the_cost_is_told(stack: Stack, path: str, body: dict[str, Any], last: str) -> None:
    """As a comment before the last event, the same that is a header without a stream."""
    stack.simulator.add_rule({"text": "x", "usage": {"input_tokens": 4711, "output_tokens": 815}})
    whole = stack.http("POST", path, {"model": "sonnet", **body})
    cost = whole.headers["x-nightshift-cost-usd"]
    assert float(cost) > 0
    streamed = stack.http("POST", path, {"model": "sonnet", "stream": True, **body})
    assert "x-nightshift-cost-usd" not in streamed.headers
    lines = streamed.body.splitlines()
    comments = [": x-nightshift-attempts: 1", ": x-nightshift-way: cli", f": x-nightshift-cost-usd: {cost}"]
    assert lines[lines.index(last) - 4 : lines.index(last)] == ["", *comments]


def test_the_cap_is_told(stack: Stack) -> None:
    """An answer that was cut ends with `length`."""
    stack.simulator.add_rule({"text": "cut he", "stop_reason": "max_tokens"})
    assert list(begin(stack, "cut"))[-1].choices[0].finish_reason == "length"


def test_the_stream_helper(stack: Stack) -> None:
    """`client.chat.completions.stream()` sees the deltas and puts the completion together."""
    stack.simulator.add_rule({"text": WORDS}, tokens_per_second=100)
    client = stack.client(_strict_response_validation=True)
    options: Any = {"include_usage": True}
    with client.chat.completions.stream(model="sonnet", messages=messages("help"), stream_options=options) as stream:
        deltas = [event.delta for event in stream if event.type == "content.delta"]
        completion = stream.get_final_completion()
    assert "".join(deltas) == WORDS
    assert completion.choices[0].message.content == WORDS
    assert completion.usage is not None


def test_the_async_client(stack: Stack) -> None:
    """Ten streams of the asynchronous client at once each have their own text."""

    async def read(client: openai.AsyncOpenAI, name: str) -> str:
        found = ""
        async for chunk in await client.chat.completions.create(model="sonnet", messages=messages(name), stream=True):
            found += text_of([chunk])
        return found

    async def all_of_them() -> list[str]:
        async with openai.AsyncOpenAI(base_url=f"{stack.url}/v1", api_key="unused") as client:
            return await asyncio.gather(*(read(client, f"mine is {number}") for number in range(10)))

    stack.simulator.add_rule({"echo": True})
    assert asyncio.run(all_of_them()) == [f"mine is {number}" for number in range(10)]


def test_json_comes_whole(stack: Stack) -> None:
    """Where JSON was asked for nothing is shown before it is checked: one piece of content, and it parses."""
    stack.simulator.add_rule({"json": {"a": [1, 2, 3]}}, tokens_per_second=50)
    chunks = list(begin(stack, "json", response_format={"type": "json_object"}))
    texts = [text for chunk in chunks if (text := text_of([chunk]))]
    assert len(texts) == 1
    assert json.loads(texts[0]) == {"a": [1, 2, 3]}


def test_thinking_is_not_sent(stack: Stack) -> None:
    """The stream has the answer's text and nothing of what was thought."""
    stack.simulator.add_rule({"text": "the answer", "thinking": "a secret thought"}, tokens_per_second=50)
    assert text_of(begin(stack, "think", reasoning_effort="low")) == "the answer"


def test_an_early_error_keeps_its_status(stack: Stack) -> None:
    """What Claude refuses at once is a plain 400."""
    stack.simulator.add_rule({"error": {"status": 400, "message": "max_tokens: too many"}})
    with pytest.raises(openai.BadRequestError) as caught:
        begin(stack, "refuse")
    assert caught.value.param == "max_tokens"


@pytest.mark.parametrize("fault", ["stream_error", "break_after_deltas"])
def test_an_answer_that_breaks_off(stack: Stack, fault: str) -> None:
    """An answer that breaks off after its beginning is an error in the stream, and is not begun again."""
    response: dict[str, Any] = {"text": WORDS, "held": True, "hang_after_deltas": 2}
    response[fault] = {"after_deltas": 5} if fault == "stream_error" else 5
    stack.simulator.add_rule(response, tokens_per_second=100)
    chunks = begin(stack, "break off")
    found = [first_text(chunks)]
    stack.simulator.clear_rules()
    with pytest.raises(openai.APIError) as caught:
        found += [text_of([chunk]) for chunk in chunks]
    assert caught.value.code == "stream_interrupted"
    assert WORDS.startswith("".join(found))
    assert len(stack.asked("break off")) == 1


def test_overload_before_the_first_token_is_invisible(stack: Stack) -> None:
    """Where nothing was sent yet, the retry is the server's affair."""
    stack.simulator.add_rule({"error": {"status": 500}}, times=1)
    assert text_of(begin(stack, "try again")).startswith("Simulated answer")
    assert len(stack.asked("try again")) == 2


def test_keep_alive_while_queued(stack: Stack) -> None:
    """A stream whose job stands in the queue outlives a client's read timeout that is shorter than the wait."""
    stack.simulator.add_rule({"text": "slow"}, latency_ms=5000, match={"contains": "in the way"}, times=2)
    with ThreadPoolExecutor(2) as pool:
        before = [pool.submit(stack.ask, f"in the way {number}") for number in range(2)]
        wait_until(lambda: len(stack.asked("in the way")) == 2, "busy workers")
        client: Any = stack.client(timeout=4.0)
        chunks = client.chat.completions.create(model="sonnet", messages=messages("patient"), stream=True)
        assert text_of(chunks).startswith("Simulated answer")
        assert len([one.result() for one in before]) == 2


def test_leaving_cancels(stack: Stack) -> None:
    """A client that closes its stream ends the job, and the worker is free for the next."""
    stack.simulator.add_rule({"text": WORDS * 50}, tokens_per_second=10, match={"contains": "leave me"})
    client: Any = stack.client()
    stream = client.chat.completions.create(model="sonnet", messages=messages("leave me"), stream=True)
    job_id = next(chunk.id for chunk in stream if text_of([chunk]))
    stream.close()
    client.close()
    assert stack.wait_for(job_id)["status"] == "cancelled"
    assert stack.ask("next").startswith("Simulated answer")


def test_fifty_streams(stack: Stack) -> None:
    """Fifty streams at once are all answered whole, each with its own text."""
    stack.simulator.add_rule({"echo": True})

    def read(number: int) -> str:
        return text_of(begin(stack, f"one of many {number}"))

    with ThreadPoolExecutor(50) as pool:
        assert list(pool.map(read, range(50))) == [f"one of many {number}" for number in range(50)]


#: a stack that the tests may break
broken_stack = stack_fixture("module", workers=1)
own_stack = mended_fixture("broken_stack")


def worker_of(stack: Stack) -> psutil.Process:
    (worker,) = stack.worker_processes()
    return worker


def test_a_worker_killed_before_the_first_token(own_stack: Stack) -> None:
    """The client notices nothing: the answer comes from the next run."""
    own_stack.simulator.add_rule({"text": "too late"}, latency_ms=60_000, times=1)
    with ThreadPoolExecutor(1) as pool:
        asked = pool.submit(lambda: text_of(begin(own_stack, "survive")))
        wait_until(lambda: len(own_stack.asked("survive")) == 1, "the first run")
        worker_of(own_stack).kill()
        assert asked.result(60).startswith("Simulated answer")
    assert len(own_stack.asked("survive")) == 2


def test_a_worker_killed_after_the_first_token(own_stack: Stack) -> None:
    """The client gets a clear error after the text so far, never a second beginning; the next request is served."""
    own_stack.simulator.add_rule({"text": WORDS * 50}, tokens_per_second=10, times=1)
    chunks = begin(own_stack, "broken off")
    found = [first_text(chunks)]
    worker_of(own_stack).kill()
    with pytest.raises(openai.APIError) as caught:
        found += [text_of([chunk]) for chunk in chunks]
    assert caught.value.code == "stream_interrupted"
    assert (WORDS * 50).startswith("".join(found))
    job = own_stack.wait_for(job_of(own_stack, "failed"))
    assert job["error"]["code"] == "stream_interrupted"
    assert own_stack.ask("after that").startswith("Simulated answer")
    assert len(own_stack.asked("broken off")) == 1


def test_a_stop_in_mid_stream(own_stack: Stack) -> None:
    """SIGTERM to the whole stack ends an open stream with an error that tells the client to come back."""
    own_stack.simulator.add_rule({"text": WORDS * 50}, tokens_per_second=10, times=1)
    chunks = begin(own_stack, "stopped")
    first_text(chunks)
    assert own_stack.stop() == 0
    with pytest.raises(openai.APIError) as caught:
        list(chunks)
    assert caught.value.code in ("server_stopping", "stream_interrupted")
