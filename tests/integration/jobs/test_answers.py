"""What a whole worker makes of requests of all kinds, with an engine that answers without any process."""

from __future__ import annotations

import json
import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from app.batches.endpoints import NOTHING
from app.gate import Cause, Gate
from app.jobs import deltas, transitions
from app.jobs.record import PAYLOAD_VERSION, JobKind, Status, record_key
from app.messages.answer import ToolCall, Window
from app.messages.failure import FailureKind, TurnFailed
from app.openai.responses.accept import accept as accept_response
from app.openai.text_completions import accept as accept_text
from app.usage_shares import Shares
from tests.engine import ScriptedEngine, answer
from tests.integration.jobs.conftest import new_record
from tests.integration.jobs.test_runs import SCHEMA, SETTINGS, completion, error, signals, submit, work, worker_with
from tests.redis_server import wait_until

if TYPE_CHECKING:
    from redis import Redis

    from app.jobs.store import Jobs
    from app.messages.answer import Answer

__all__ = ["signals"]

REFUSES_SAMPLING = TurnFailed(FailureKind.CALLER, "`temperature` is deprecated for this model.", status=400)
BOTH_REFUSED = TurnFailed(
    FailureKind.CALLER,
    "`temperature` and `top_p` cannot both be specified for this model. Please use only one.",
    status=400,
)


class Reading(ScriptedEngine):
    """Answers once the pieces of its answer can be read."""

    def __init__(self, connection: Redis, job_id: str, *turns: Answer) -> None:
        super().__init__(*turns)
        self._connection, self._job_id = connection, job_id
        self.pieces: list[Any] = []

    def ask(self, *args: Any, **keywords: Any) -> Answer:
        answered = super().ask(*args, **keywords)

        def is_written() -> bool:
            found = deltas.read(self._connection, self._job_id, after=0, count=10)
            self.pieces = [json.loads(one.data) for one in found]
            return bool(found)

        wait_until(is_written, "a piece")
        return answered


def test_a_streams_pieces_are_written_while_claude_answers(connection: Redis, redis_url: str, jobs: Jobs) -> None:
    """Whoever reads along gets the text and the model that writes it."""
    record = submit(jobs, new_record(streams=True))
    engine = Reading(connection, record.id, answer("Good night."))
    worker_with(engine, redis_url).work(burst=True)
    assert engine.pieces == [{"delta": {"content": "Good night."}, "model": "claude-x"}]
    assert completion(jobs, record)["choices"][0]["message"]["content"] == "Good night."


@pytest.mark.parametrize("fields", [{}, {"response_format": SCHEMA}], ids=["not streamed", "checked first"])
def test_nothing_is_written_that_nobody_may_read_yet(
    connection: Redis, redis_url: str, jobs: Jobs, fields: dict[str, Any]
) -> None:
    """A job without a stream has no pieces, nor has JSON that is checked before anybody sees it."""
    record = submit(jobs, new_record(streams=bool(fields)), **fields)
    work(redis_url, answer('{"n": 5}'))
    assert deltas.read(connection, record.id, after=0, count=10) == []
    assert completion(jobs, record)["choices"][0]["message"]["content"] == '{"n": 5}'


def test_a_parameter_that_the_model_refuses_is_left_out(redis_url: str, jobs: Jobs) -> None:
    """It is asked once more without it, and the client is told."""
    record = submit(jobs, model="sonnet", temperature=0.5)
    engine = work(redis_url, REFUSES_SAMPLING, answer("all the same"))
    outcome = jobs.outcome(record.id)
    assert [dict(asked.sampling) for asked in engine.asked] == [{"temperature": 0.5}, {}]
    assert outcome is not None and outcome.headers["x-nightshift-ignored"] == "temperature"


def test_of_two_that_exclude_each_other_one_stays(redis_url: str, jobs: Jobs) -> None:
    """Temperature is what most clients mean; a later request to that model does not try again."""
    first = submit(jobs, model="claude-haiku-4-5", temperature=0.5, top_p=0.1)
    second = submit(jobs, new_record("chatcmpl-2"), model="claude-haiku-4-5", temperature=0.5, top_p=0.1)
    engine = work(redis_url, BOTH_REFUSED, answer("one"), answer("two"))
    assert [sorted(asked.sampling) for asked in engine.asked] == [
        ["temperature", "top_p"],
        ["temperature"],
        ["temperature"],
    ]
    for outcome in (jobs.outcome(first.id), jobs.outcome(second.id)):
        assert outcome is not None and outcome.headers["x-nightshift-ignored"] == "top_p"


def test_several_answers_name_a_refused_parameter_once(redis_url: str, jobs: Jobs) -> None:
    """Each is asked by itself."""
    record = submit(jobs, model="claude-opus-4-7", temperature=0.1, n=2)
    work(redis_url, REFUSES_SAMPLING, answer("one"), answer("two"))
    outcome = jobs.outcome(record.id)
    assert outcome is not None and outcome.headers["x-nightshift-ignored"] == "temperature"
    assert len(completion(jobs, record)["choices"]) == 2


def test_a_refused_parameter_may_be_the_clients_error(redis_url: str, jobs: Jobs) -> None:
    """NIGHTSHIFT_UNSUPPORTED_SAMPLING=error: the model's 400 is the client's, and Claude is asked once."""
    record = submit(jobs, model="claude-opus-4-8", temperature=0.1)
    engine = ScriptedEngine(REFUSES_SAMPLING, answer("no"))
    worker_with(engine, redis_url, unsupported_sampling="error").work(burst=True)
    assert (len(engine.asked), error(jobs, record)[0]) == (1, 400)


def test_with_one_attempt_nothing_is_asked_twice(redis_url: str, jobs: Jobs) -> None:
    """Neither without the parameter that was refused, nor to repair JSON."""
    first = submit(jobs, new_record("chatcmpl-1", max_sends=1), top_p=0.5)
    engine = work(redis_url, TurnFailed(FailureKind.CALLER, "`top_p` is not supported.", status=400), answer("no"))
    assert (len(engine.asked), error(jobs, first)[0]) == (1, 400)
    second = submit(jobs, new_record("chatcmpl-2", max_sends=1), response_format=SCHEMA)
    engine = work(redis_url, answer("no JSON"), answer('{"n": 5}'))
    assert (len(engine.asked), error(jobs, second)[0]) == (1, 422)


def test_a_call_is_the_client_s_function(redis_url: str, jobs: Jobs) -> None:
    """Its id, its name and its arguments come as Claude gave them."""
    tools = [{"type": "function", "function": {"name": "weather", "parameters": {"type": "object", "properties": {}}}}]
    record = submit(jobs, tools=tools)
    work(redis_url, answer("", tool_calls=(ToolCall("toolu_1", "weather", {"a": 1}, '{"a": 1}'),)))
    choice = completion(jobs, record)["choices"][0]
    call = {"id": "toolu_1", "type": "function", "function": {"name": "weather", "arguments": '{"a": 1}'}}
    assert (choice["message"]["tool_calls"], choice["finish_reason"]) == ([call], "tool_calls")


def test_several_answers_are_asked_for_one_by_one(redis_url: str, jobs: Jobs) -> None:
    """Each is a question of its own, and they become one completion."""
    record = submit(jobs, n=2)
    engine = work(redis_url, answer("one"), answer("two"))
    body = completion(jobs, record)
    assert sorted(choice["message"]["content"] for choice in body["choices"]) == ["one", "two"]
    assert (len(engine.asked), body["usage"]["prompt_tokens"]) == (2, 6)


def test_a_response_is_answered_as_one(redis_url: str, jobs: Jobs) -> None:
    """The outcome is OpenAI's response object."""
    accepted = accept_response({"model": "sonnet", "input": "Hello."}, SETTINGS, NOTHING)
    record = replace(new_record(accepted.id), kind=JobKind.RESPONSE)
    jobs.submit(record, accepted.payload)
    work(redis_url, answer("Good night."))
    body = completion(jobs, record)
    assert (body["object"], body["output"][0]["content"][0]["text"]) == ("response", "Good night.")


def test_a_text_completion_is_answered_as_one(redis_url: str, jobs: Jobs) -> None:
    """The outcome is OpenAI's text completion, with the prompt before it where that was asked for."""
    accepted = accept_text({"model": "sonnet", "prompt": "Good", "echo": True}, SETTINGS)
    record = replace(new_record("cmpl-1"), kind=JobKind.TEXT_COMPLETION)
    jobs.submit(record, accepted.payload)
    work(redis_url, answer(" night."))
    assert completion(jobs, record)["choices"][0]["text"] == "Good night."


def test_a_job_of_newer_code_is_left_to_newer_workers(connection: Redis, redis_url: str, jobs: Jobs) -> None:
    """It is requeued, says what it waits for, and Claude is not asked; a worker that knows its version runs it."""
    record = submit(jobs, new_record(version=PAYLOAD_VERSION + 1))
    engine = work(redis_url, answer("too early"))
    found = jobs.get(record.id)
    assert found is not None and (found.status, found.attempts) == (Status.QUEUED, 0)
    assert (found.waiting_for, engine.asked) == ("it needs a newer worker", [])
    connection.hset(record_key(record.id), "version", PAYLOAD_VERSION)
    transitions.requeue_ticket(connection, record.id)
    work(redis_url, answer("in time"))
    assert completion(jobs, record)["choices"][0]["message"]["content"] == "in time"


def test_an_answer_that_leaves_too_little_of_a_window_closes_the_gate(
    connection: Redis, redis_url: str, jobs: Jobs
) -> None:
    """It is published all the same."""
    record = submit(jobs)
    engine = ScriptedEngine(answer("the last", windows=(Window("five_hour", 0.9, time.time() + 900),)))
    worker = worker_with(engine, redis_url, stop_at_utilization=Shares(0.8))
    worker.work(max_jobs=1)
    closed = Gate(connection).read()
    assert closed is not None and closed.cause is Cause.UTILIZATION
    assert completion(jobs, record)["choices"][0]["message"]["content"] == "the last"
