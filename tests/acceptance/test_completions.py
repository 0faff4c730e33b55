"""Text completions, asked for by OpenAI's own client."""

from __future__ import annotations

import io
import json
from typing import TYPE_CHECKING, Any

import openai
import pytest

from tests.redis_server import wait_until

if TYPE_CHECKING:
    from tests.acceptance.stack import Stack


def test_a_completion(stack: Stack) -> None:
    """The prompt is a user's message, as it is; text, reason and usage are the answer's."""
    stack.simulator.add_rule({"text": " there was a fox.", "usage": {"input_tokens": 12, "output_tokens": 5}})
    client: Any = stack.client(_strict_response_validation=True)
    made = client.completions.create(model="gpt-3.5-turbo-instruct", prompt="Once upon a time", max_tokens=50)
    assert made.id.startswith("cmpl-")
    assert (made.object, [choice.text for choice in made.choices]) == ("text_completion", [" there was a fox."])
    assert (made.choices[0].finish_reason, made.choices[0].logprobs) == ("stop", None)
    assert (made.usage.prompt_tokens, made.usage.completion_tokens, made.usage.total_tokens) == (12, 5, 17)
    (asked,) = stack.asked("Once upon a time")
    assert asked["messages"][-1]["role"] == "user"
    assert asked["max_tokens"] == 50
    job = stack.job(made.id)
    assert (job["type"], job["result"]["choices"][0]["text"]) == ("text_completion", " there was a fox.")


def test_the_cap_is_openais_unless_it_is_said(stack: Stack) -> None:
    """16 tokens, as at OpenAI; what it cuts ends with `length`."""
    stack.simulator.add_rule({"text": "cut he", "stop_reason": "max_tokens"})
    made = stack.client().completions.create(model="haiku", prompt="uncapped")
    assert (made.choices[0].text, made.choices[0].finish_reason) == ("cut he", "length")
    assert stack.asked("uncapped")[0]["max_tokens"] == 16


def test_several_prompts_and_choices(stack: Stack) -> None:
    """Each prompt is asked by itself, `n` times; the choices stand in the prompts' order, and usage adds up."""
    for name in ("one", "two", "three"):
        stack.simulator.add_rule(
            {"text": f"answer to {name}", "usage": {"input_tokens": 10, "output_tokens": 2}},
            match={"contains": f"prompt {name}"},
        )
    prompts = ["prompt one", "prompt two", "prompt three"]
    made = stack.client().completions.create(model="haiku", prompt=prompts, n=2, best_of=2, max_tokens=20, echo=True)
    assert [choice.text for choice in made.choices] == [
        f"prompt {name}answer to {name}" for name in ("one", "one", "two", "two", "three", "three")
    ]
    assert [choice.index for choice in made.choices] == list(range(6))
    assert made.usage is not None and made.usage.total_tokens == 72
    assert [len(stack.asked(prompt)) for prompt in prompts] == [2, 2, 2]


def test_a_list_of_one_prompt(stack: Stack) -> None:
    """As clients send it that always send lists."""
    stack.simulator.add_rule({"echo": True})
    made = stack.client().completions.create(model="haiku", prompt=["only"], n=1)
    assert [choice.text for choice in made.choices] == ["only"]


def test_a_stream(stack: Stack) -> None:
    """Token by token, the prompt first where it is to be repeated, and the usage at the end."""
    words = "one two three four five six seven eight nine ten"
    usage = {"input_tokens": 9, "output_tokens": 10}
    stack.simulator.add_rule(
        {"text": words, "usage": usage, "held": True, "hang_after_deltas": 2}, tokens_per_second=100
    )
    chunks = []
    for one in stack.client().completions.create(
        model="haiku",
        prompt="Count: ",
        max_tokens=50,
        stream=True,
        stream_options={"include_usage": True},
        echo=True,
    ):
        chunks.append(one)
        if any("one" in choice.text for choice in one.choices):
            stack.simulator.clear_rules()
    assert {chunk.object for chunk in chunks} == {"text_completion"}
    texts = [choice.text for chunk in chunks for choice in chunk.choices]
    assert (texts[0], "".join(texts)) == ("Count: ", f"Count: {words}")
    assert len(texts) >= 3
    assert {choice.finish_reason for chunk in chunks for choice in chunk.choices} - {None} == {"stop"}
    assert chunks[-1].usage is not None and chunks[-1].usage.total_tokens == 19
    assert not chunks[-1].choices


def test_stop_and_sampling_are_claudes(stack: Stack) -> None:
    """They go to Claude as a chat request's do."""
    stack.client().completions.create(model="claude-haiku-4-5", prompt="sampled", stop=["END"], temperature=0.3)
    (asked,) = stack.asked("sampled")
    assert (asked["stop_sequences"], asked["temperature"]) == (["END"], 0.3)


def test_a_refusal_is_no_text(stack: Stack) -> None:
    """What Claude says when it refuses is not the completion: `content_filter`, as OpenAI calls it."""
    stack.simulator.add_rule({"text": "I can't help with that.", "stop_reason": "refusal"})
    made = stack.client().completions.create(model="haiku", prompt="something bad")
    assert (made.choices[0].text, made.choices[0].finish_reason) == ("", "content_filter")


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"prompt": [1, 2, 3]}, "prompt"),
        ({"prompt": [[1, 2], [3]]}, "prompt"),
        ({"prompt": []}, "prompt"),
        ({"prompt": 7}, "prompt"),
        ({"prompt": ["x"] * 129}, "prompt"),
        ({"prompt": ["x"] * 65, "n": 2}, "prompt"),
        ({"suffix": "the end"}, "suffix"),
        ({"logprobs": 0}, "logprobs"),
        ({"logprobs": 5}, "logprobs"),
        ({"best_of": 3}, "best_of"),
        ({"n": 2, "stream": True}, "stream"),
        ({"max_tokens": 0}, "max_tokens"),
        ({"temperature": 3}, "temperature"),
        ({"presence_penalty": 1}, "presence_penalty"),
        ({"stream_options": {"include_usage": True}}, "stream_options"),
    ],
)
def test_what_is_refused(stack: Stack, fields: dict[str, Any], param: str) -> None:
    """A 400 that names the field, before anything is asked."""
    with pytest.raises(openai.BadRequestError) as caught:
        stack.client().completions.create(**{"model": "haiku", "prompt": "hi", **fields})
    assert caught.value.param == param


def test_what_asks_for_nothing(stack: Stack) -> None:
    """What LangChain and others send with every request is no reason to refuse; what has no effect is named."""
    body = {
        "model": "haiku",
        "prompt": ["hi"],
        "max_tokens": 256,
        "temperature": 1,
        "n": 1,
        "best_of": 1,
        "frequency_penalty": 0,
        "presence_penalty": 0,
        "logit_bias": {},
        "logprobs": None,
        "suffix": None,
        "seed": 7,
        "user": "me",
    }
    reply = stack.http("POST", "/v1/completions", body)
    assert reply.status == 200
    assert {"seed", "user"} <= set(reply.headers["x-nightshift-ignored"].split(", "))


def test_an_error_of_the_model_is_in_its_words(stack: Stack) -> None:
    """Claude's own 400 about its messages is one about the prompt here."""
    stack.simulator.add_rule(
        {"error": {"status": 400, "message": "prompt is too long: 300000 tokens > 200000 maximum"}}
    )
    with pytest.raises(openai.BadRequestError) as caught:
        stack.client().completions.create(model="haiku", prompt="long")
    assert (caught.value.code, caught.value.param) == ("context_length_exceeded", "prompt")


def test_respond_async(stack: Stack) -> None:
    """202 at once, and the job has the completion as its result."""
    reply = stack.http("POST", "/v1/completions", {"model": "haiku", "prompt": "later"}, {"Prefer": "respond-async"})
    assert (reply.status, reply.headers["Location"]) == (202, f"/v1/jobs/{reply.body['id']}")
    done = stack.wait_for(reply.body["id"])
    assert done["result"]["object"] == "text_completion"


def test_a_batch(stack: Stack) -> None:
    """Lines of `/v1/completions`, one with several prompts, each once in the output."""
    stack.simulator.add_rule({"echo": True})
    client = stack.client()
    lines = [
        {"custom_id": str(n), "method": "POST", "url": "/v1/completions", "body": {"model": "haiku", "prompt": prompt}}
        for n, prompt in enumerate(["night one", ["night two", "night three"]])
    ]
    data = io.BytesIO("\n".join(json.dumps(line) for line in lines).encode())
    file = client.files.create(file=("night.jsonl", data), purpose="batch")
    batch = client.batches.create(input_file_id=file.id, endpoint="/v1/completions", completion_window="24h")
    wait_until(lambda: client.batches.retrieve(batch.id).status == "completed", "the batch")
    output = client.batches.retrieve(batch.id).output_file_id
    assert output is not None
    found = {
        line["custom_id"]: line["response"]["body"]
        for line in map(json.loads, client.files.content(output).text.splitlines())
    }
    assert {name: [choice["text"] for choice in body["choices"]] for name, body in found.items()} == {
        "0": ["night one"],
        "1": ["night two", "night three"],
    }
    assert all(body["id"].startswith("cmpl-") for body in found.values())
