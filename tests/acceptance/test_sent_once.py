"""What is never sent to Claude twice: `max_attempts` on the whole stack."""

from __future__ import annotations

import openai
import pytest

from tests.acceptance.stack import Stack, stack_fixture
from tests.acceptance.test_batches import line, read, start, wait
from tests.redis_server import wait_until

OVERLOADED = {"error": {"status": 529}}

#: a stack whose workers are killed
shared_stack = stack_fixture("module")


def test_not_after_an_error(stack: Stack) -> None:
    """OpenAI's client, with its own retries: an overload is an error at once, and Claude has been asked once."""
    stack.simulator.add_rule(OVERLOADED)
    message = {"role": "user", "content": "only once"}
    with pytest.raises(openai.APIStatusError) as refused:
        stack.client(max_retries=2).chat.completions.create(
            model="sonnet",
            messages=[message],  # type: ignore[list-item]
            extra_body={"max_attempts": 1},
        )
    assert (refused.value.status_code, refused.value.code) == (502, "max_attempts_reached")
    assert "overloaded" in refused.value.message
    assert len(stack.asked("only once")) == 1


def test_not_after_the_death_of_its_worker(stack: Stack) -> None:
    """Its worker is killed in the turn: the job has failed, says so, and is not run again."""
    stack.simulator.add_rule({"hang_seconds": 60})
    job_id = stack.submit("deadly", max_attempts=1)
    wait_until(lambda: len(stack.asked("deadly")) == 1, "the request at Claude's")
    for worker in stack.worker_processes():
        worker.kill()
    job = stack.wait_for(job_id)
    assert (job["status"], job["error"]["code"]) == ("failed", "max_attempts_reached")
    stack.simulator.clear_rules()
    assert stack.ask("the next one").startswith("Simulated answer")
    assert len(stack.asked("deadly")) == 1


def test_not_for_a_line_of_a_batch(stack: Stack) -> None:
    """A line says it for itself: it is in the error file, while the others are tried again."""
    stack.simulator.add_rule(OVERLOADED, times=2)
    batch = wait(stack, start(stack, [line("a", "once a", max_attempts=1), line("b", "more b", max_attempts=9)]).id)
    assert batch.request_counts is not None
    assert (batch.request_counts.completed, batch.request_counts.failed) == (1, 1)
    (failed,) = read(stack, batch.error_file_id)
    assert (failed["custom_id"], failed["response"]["body"]["error"]["code"]) == ("a", "max_attempts_reached")
    assert (len(stack.asked("once a")), len(stack.asked("more b"))) == (1, 2)
