"""The way `api` on the whole stack: the cases of the other modules once more without any Claude process, and what is its own."""

from __future__ import annotations

import re
import time
from typing import TYPE_CHECKING, Any

import httpx
import openai
import pytest

from tests.acceptance.stack import Stack, mended_fixture, stack_fixture
from tests.acceptance.test_batches import line, start, wait
from tests.acceptance.test_completions import (  # noqa: F401
    test_a_completion,
    test_a_refusal_is_no_text,
    test_a_stream,
    test_an_error_of_the_model_is_in_its_words,
    test_several_prompts_and_choices,
    test_stop_and_sampling_are_claudes,
    test_the_cap_is_openais_unless_it_is_said,
)
from tests.acceptance.test_diseases import (  # noqa: F401
    test_a_stop_puts_back_what_runs,
    test_an_error_is_never_an_answer,
    test_calls_do_not_grow,
    test_everything_killed_and_started_again,
    test_no_request_sees_another,
    test_usage_is_reported_not_invented,
)
from tests.acceptance.test_limits import (  # noqa: F401
    closed_by,
    test_a_broken_login_stops_the_taking_of_jobs_and_ends_by_itself,
    test_a_wall_of_overloads_fails_nobody,
    unfinished,
)
from tests.acceptance.test_same_answers import (  # noqa: F401
    test_a_forced_function_keeps_all_its_calls,
    test_a_response_keeps_all_calls_of_a_forced_function,
    test_a_stream_is_cut_at_white_space,
    test_a_stream_names_it_at_its_end,
    test_an_answer_is_cut_at_white_space,
    test_no_parallel_calls_where_none_are_wanted,
    test_sampling_that_a_model_refuses_is_left_out_and_named,
)
from tests.acceptance.test_sent_once import (  # noqa: F401
    test_not_after_an_error,
    test_not_after_the_death_of_its_worker,
    test_not_for_a_line_of_a_batch,
)
from tests.acceptance.test_streaming import (  # noqa: F401
    test_a_stop_in_mid_stream,
    test_a_worker_killed_after_the_first_token,
    test_a_worker_killed_before_the_first_token,
    test_an_answer_that_breaks_off,
    test_an_early_error_keeps_its_status,
    test_fifty_streams,
    test_json_comes_whole,
    test_keep_alive_while_queued,
    test_leaving_cancels,
    test_overload_before_the_first_token_is_invisible,
    test_the_cap_is_told,
    test_the_stream_helper,
    test_thinking_is_not_sent,
    test_token_by_token,
    test_usage,
)
from tests.redis_server import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator

API = {"NIGHTSHIFT_WAYS": "api"}
shared_stack = stack_fixture(
    "module",
    settings=API
    | {
        "NIGHTSHIFT_LOGIN_PROBE_SECONDS": "1",
        "NIGHTSHIFT_LIMIT_PROBE_SECONDS": "2",
        "NIGHTSHIFT_ABANDON_GRACE_SECONDS": "1",
    },
)
broken_stack = stack_fixture("module", settings=API, workers=1)
own_stack = mended_fixture("broken_stack")


@pytest.fixture
def subscription(stack: Stack) -> Iterator[Stack]:
    """The name that tests of limits know; here it has a key."""
    yield stack
    stack.simulator.clear_rules()
    stack.http("POST", "/v1/gate/resume")
    wait_until(lambda: stack.http("GET", "/health/ready").status == 200, "a ready stack")
    wait_until(lambda: unfinished(stack) == 0, "an empty queue")


def test_there_is_no_claude_process(stack: Stack) -> None:
    """Requests are answered, and no worker has a child."""
    assert stack.ask("alone") == "Simulated answer to: alone"
    assert [worker.children() for worker in stack.worker_processes()] == [[], []]


def test_which_way_answered_is_said_everywhere(stack: Stack) -> None:
    """In a header, the job, `/health`, `/metrics`, the page, the batch's report, the screen, and the log."""
    body = {"model": "sonnet", "messages": [{"role": "user", "content": "how?"}]}
    reply = stack.http("POST", "/v1/chat/completions", body)
    assert reply.headers["x-nightshift-way"] == "api"
    assert float(reply.headers["x-nightshift-cost-usd"]) > 0
    job = stack.job(stack.http("GET", "/v1/jobs?limit=1").body["data"][0]["id"])
    assert job["way"] == "api"
    assert {row["way"] for row in stack.http("GET", "/health").body["workers"]} == {"api"}
    assert 'nightshift_answers_total{way="api"} ' in httpx.get(f"{stack.url}/metrics").text
    page = httpx.get(stack.url, headers={"accept": "text/html"}).text
    assert re.search(r'title="the way to Claude[^"]*">api<', page)
    batch = start(stack, [line(f"way {n}") for n in range(3)])
    assert wait(stack, batch.id).status == "completed"
    assert stack.http("GET", f"/v1/batches/{batch.id}/report").body["ways"] == {"api": 3}
    assert "by <code>api</code> 3" in httpx.get(f"{stack.url}/batches/{batch.id}").text
    log = stack.log.read_text()
    assert "by Claude's API (api)" in log
    assert "way=api" in log


def test_an_error_says_its_way_if_claude_was_asked(stack: Stack) -> None:
    """What Claude refuses does, what is refused at the door does not."""
    stack.simulator.add_rule({"error": {"status": 400, "message": "no"}}, match={"contains": "refused"}, times=1)
    body = {"model": "sonnet", "messages": [{"role": "user", "content": "refused"}]}
    assert stack.http("POST", "/v1/chat/completions", body).headers["x-nightshift-way"] == "api"
    assert "x-nightshift-way" not in stack.http("POST", "/v1/chat/completions", {"model": "sonnet"}).headers


def test_what_lines_have_in_common_is_written_once_and_read_by_the_others(stack: Stack) -> None:
    """The first line goes alone. What was read, written and saved is that of the answers' own usage, by the list's prices."""
    stack.simulator.clear()
    # 5,000 tokens by the simulator's count, with an end that each line has for itself.
    template = "Judge by these rules. " + "A rule. " * 2500
    prompts = [f"{template}\n\nReview number {n}: good" for n in range(12)]
    lines = [
        line(f"r{n}", model="claude-sonnet-4-5", messages=[{"role": "user", "content": prompt}])
        for n, prompt in enumerate(prompts)
    ]
    batch = wait(stack, start(stack, lines).id)
    counts = batch.request_counts
    assert counts is not None
    assert counts.completed == 12
    report = stack.http("GET", f"/v1/batches/{batch.id}/report").body
    written = report["cache_write_tokens"]
    assert written > 5000
    assert report["cached_tokens"] == 11 * written
    # Sonnet 4.5: $3 a million, to write a quarter more, to read a tenth of it.
    expected = (11 * written * 0.9 - written * 0.25) * 3 / 1_000_000
    assert abs(report["cache_saved_usd"] - expected) < 0.0001
    assert (
        stack.http("GET", f"/v1/batches/{batch.id}").body["nightshift"]["cache_saved_usd"] == report["cache_saved_usd"]
    )
    assert "saved</small>" in httpx.get(f"{stack.url}/batches/{batch.id}").text
    sent = [
        one["body"]["messages"][0]["content"] for one in stack.simulator.requests() if one["path"] == "/v1/messages"
    ]
    assert {"".join(block["text"] for block in blocks) for blocks in sent} == set(prompts)
    assert {len(blocks) for blocks in sent} == {2}


def test_a_batch_may_have_nothing_kept(stack: Stack) -> None:
    """`prompt_cache: off` in its metadata: no mark, no parted text. Another value is a 400."""
    stack.simulator.clear()
    system = {"role": "system", "content": "A rule. " * 2500}
    lines = [line(f"kept {n}", messages=[system, {"role": "user", "content": f"kept {n}"}]) for n in range(4)]
    assert wait(stack, start(stack, lines, metadata={"prompt_cache": "off"}).id).status == "completed"
    sent = [one["body"] for one in stack.simulator.requests() if one["path"] == "/v1/messages"]
    assert len(sent) == 4
    assert "cache_control" not in str(sent)
    with pytest.raises(openai.BadRequestError) as caught:
        start(stack, lines, metadata={"prompt_cache": "on"})
    assert (caught.value.param, caught.value.code) == ("metadata.prompt_cache", "invalid_value")


def test_a_key_that_has_spent_its_month_fails_no_line(subscription: Stack) -> None:
    """The API's 400 about a spending limit is no request's fault: the gate closes until the day it names, and a probe opens it."""
    stack = subscription
    words = "You have reached your specified API usage limits. You will regain access on 2099-01-01 at 00:00 UTC."
    stack.simulator.add_rule({"error": {"status": 400, "message": words}}, times=2)
    batch = start(stack, [line(f"spent {n}") for n in range(6)])
    wait_until(lambda: closed_by(stack) == "usage_limit", "the closing")
    assert stack.http("GET", "/v1/gate").body["until"] > 4_000_000_000
    found = wait(stack, batch.id)
    counts = found.request_counts
    assert counts is not None
    assert (found.status, counts.completed, counts.failed) == ("completed", 6, 0)


def test_a_rate_limit_is_waited_out_as_long_as_the_api_says(stack: Stack) -> None:
    """A 429's `retry-after` delays the request, which is answered then."""
    stack.simulator.add_rule(
        {"error": {"status": 429, "headers": {"retry-after": "4"}}}, match={"contains": "patience"}, times=1
    )
    began = time.monotonic()
    assert stack.ask("patience").startswith("Simulated answer")
    assert time.monotonic() - began >= 4


def test_a_model_that_does_not_exist_costs_one_request(stack: Stack) -> None:
    """A 404 that names it."""
    body: dict[str, Any] = {"model": "claude-missing-9", "messages": [{"role": "user", "content": "anyone?"}]}
    stack.simulator.add_rule(
        {"error": {"status": 404, "message": "model: claude-missing-9"}}, match={"contains": "anyone?"}
    )
    reply = stack.http("POST", "/v1/chat/completions", body)
    assert (reply.status, reply.body["error"]["code"]) == (404, "model_not_found")
    assert "'claude-missing-9' does not exist" in reply.body["error"]["message"]
    assert len(stack.asked("anyone?")) == 1
