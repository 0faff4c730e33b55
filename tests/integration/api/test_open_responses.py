"""Response objects as the Open Responses specification (2026-04-24) wants them, wherever a client meets one."""

from __future__ import annotations

import json
import time
from contextlib import closing
from typing import TYPE_CHECKING, Any

import openai
import pytest

from app import errors
from app.jobs import transitions
from app.openai.responses.objects import finished
from app.outcome import Outcome
from tests.fake_worker import completion
from tests.integration.api.running import send

if TYPE_CHECKING:
    from tests.fake_worker import FakeWorker
    from tests.integration.api.running import RunningApi

NULL = type(None)
#: what the specification's `ResponseResource` requires, and the types that it has for it
REQUIRED: dict[str, tuple[type, ...]] = {
    "id": (str,),
    "object": (str,),
    "created_at": (int,),
    "completed_at": (int, NULL),
    "status": (str,),
    "incomplete_details": (dict, NULL),
    "model": (str,),
    "previous_response_id": (str, NULL),
    "instructions": (str, NULL),
    "output": (list,),
    "error": (dict, NULL),
    "tools": (list,),
    "tool_choice": (str, dict),
    "truncation": (str,),
    "parallel_tool_calls": (bool,),
    "text": (dict,),
    "top_p": (int, float),
    "presence_penalty": (int, float),
    "frequency_penalty": (int, float),
    "top_logprobs": (int,),
    "temperature": (int, float),
    "reasoning": (dict, NULL),
    "usage": (dict, NULL),
    "max_output_tokens": (int, NULL),
    "max_tool_calls": (int, NULL),
    "store": (bool,),
    "background": (bool,),
    "service_tier": (str,),
    "metadata": (dict,),
    "safety_identifier": (str, NULL),
    "prompt_cache_key": (str, NULL),
}


def check(response: dict[str, Any]) -> None:
    """The response has all that is required, and of the right types."""
    assert {name: response.get(name, "missing") for name in REQUIRED if name not in response} == {}
    assert {name: response[name] for name, types in REQUIRED.items() if type(response[name]) not in types} == {}


def answer(worker: FakeWorker) -> None:
    lease, record = worker.take()
    body = finished(record, worker.payload(record.id)["response"], completion(record.id, "an answer"), time.time())
    transitions.publish(worker.connection, worker.settings, lease, Outcome(body=body))


def streamed(
    server: RunningApi, worker: FakeWorker, error: errors.ErrorReply | None = None, **fields: Any
) -> list[Any]:
    """The response objects of a stream's events, in their order."""
    with closing(server.connect()) as connection:
        body = {"model": "sonnet", "input": "hi", "stream": True, **fields}
        send(connection, "POST", "/v1/responses", body, {"x-stainless-read-timeout": "1"})
        response = connection.getresponse()
        if error is None:
            answer(worker)
        else:
            worker.fail(worker.take()[0], error)
        lines = response.read().decode().splitlines()
    events = [json.loads(line[6:]) for line in lines if line.startswith("data: ")]
    return [event["response"] for event in events if "response" in event]


def test_every_streamed_response_object(server: RunningApi, worker: FakeWorker) -> None:
    """Created, in progress, completed: each has all fields, its usage null until it is known."""
    found = streamed(server, worker)
    assert [one["status"] for one in found] == ["in_progress", "in_progress", "completed"]
    for one in found:
        check(one)
    assert [one["usage"] and one["usage"]["total_tokens"] for one in found] == [None, None, 2]


def test_a_failed_response(server: RunningApi, worker: FakeWorker) -> None:
    """It has all fields, and no usage."""
    found = streamed(server, worker, errors.internal())
    check(found[-1])
    assert (found[-1]["status"], found[-1]["usage"]) == ("failed", None)


def test_a_queued_response(server: RunningApi, worker: FakeWorker) -> None:
    """What is polled has all fields, queued and done."""
    made = server.ask("POST", "/v1/responses", {"model": "sonnet", "input": "hi", "background": True}).json
    check(made)
    answer(worker)
    done = server.ask("GET", f"/v1/responses/{made['id']}").json
    check(done)
    assert (made["status"], done["status"]) == ("queued", "completed")


def test_fields_as_they_were_used(server: RunningApi, worker: FakeWorker) -> None:
    """Sampling as it was asked for, Claude's defaults where it was not; the client's own identifiers are repeated."""
    plain, asked = (
        streamed(server, worker)[-1],
        streamed(
            server,
            worker,
            temperature=0.2,
            top_p=0.9,
            safety_identifier="me",
            prompt_cache_key="mine",
            presence_penalty=0,
        ),
    )
    assert (plain["temperature"], plain["top_p"]) == (1, 1)
    assert (plain["safety_identifier"], plain["prompt_cache_key"]) == (None, None)
    for one in asked:
        assert (one["temperature"], one["top_p"]) == (0.2, 0.9)
        assert (one["safety_identifier"], one["prompt_cache_key"]) == ("me", "mine")
        assert (one["presence_penalty"], one["frequency_penalty"]) == (0, 0)


@pytest.mark.parametrize("name", ["presence_penalty", "frequency_penalty"])
def test_a_penalty_is_refused(server: RunningApi, name: str) -> None:
    """The answer would pretend that it was heeded; 0 asks for nothing."""
    refused = server.ask("POST", "/v1/responses", {"model": "sonnet", "input": "hi", name: 0.5})
    assert (refused.status, refused.error["param"]) == (400, name)


@pytest.mark.parametrize("path", ["/v1/responses/input_tokens", "/v1/responses/compact", "/v1/embeddings"])
def test_what_is_not_served_says_so(server: RunningApi, path: str) -> None:
    """OpenAI's endpoints that are not here are a 404 that says why, never a 405 of an id that has their name."""
    found = server.ask("POST", path, {"model": "sonnet", "input": "hi"})
    assert (found.status, found.error["code"]) == (404, "unknown_url")
    assert "here" in found.error["message"] or "Claude" in found.error["message"]


def test_the_client_hears_it(server: RunningApi) -> None:
    """OpenAI's own client raises what its users catch."""
    client = openai.OpenAI(base_url=server.url, api_key="unused", max_retries=0)
    with client:
        with pytest.raises(openai.NotFoundError, match="Tokens are not counted here"):
            client.responses.input_tokens.count(model="sonnet", input="hi")
        with pytest.raises(openai.NotFoundError, match="not compacted here"):
            client.responses.compact(model="gpt-5", input="hi")
