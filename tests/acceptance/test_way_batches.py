"""The way `batches` on the whole stack: a night of OpenAI's client by Message Batches, and whatever dies meanwhile."""

from __future__ import annotations

import signal
from collections import Counter
from typing import TYPE_CHECKING

import httpx

from app.prices import cost_usd
from chaos.stack import command_of
from tests.acceptance.stack import Stack, mended_fixture, stack_fixture
from tests.acceptance.test_batches import (
    line,
    read,
    start,
    test_a_night_by_openais_client,  # noqa: F401
    wait,
)
from tests.redis_server import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterable

    import psutil


shared_stack = stack_fixture("module", settings={"NIGHTSHIFT_WAYS": "batches,api"})
broken_stack = stack_fixture("module", settings={"NIGHTSHIFT_WAYS": "batches,api"}, workers=1)
own_stack = mended_fixture("broken_stack")


def lane(stack: Stack) -> psutil.Process:
    """The process that asks Message Batches."""
    found: list[psutil.Process] = []

    def is_there() -> bool:
        found[:] = [one for one in stack.processes() if "workers.lane" in command_of(one)]
        return len(found) == 1

    wait_until(is_there, "the lane")
    return found[0]


def kill_lane(stack: Stack) -> None:
    """At once, and its end."""
    killed = lane(stack)
    killed.send_signal(signal.SIGKILL)
    wait_until(lambda: not killed.is_running(), "its end")


def sent(stack: Stack) -> Counter[str]:
    """How often each line was sent to Message Batches, by number."""
    paths: Iterable[str] = (one["path"] for one in stack.simulator.requests(limit=100_000) if one["kind"] == "batched")
    return Counter(path.split("-")[-2] for path in paths)


def test_it_costs_half_and_says_which_way(stack: Stack) -> None:
    """The report has the half of the list price, and the way."""
    batch = wait(stack, start(stack, [line(f"half {n}") for n in range(3)]).id)
    report = stack.http("GET", f"/v1/batches/{batch.id}/report").body
    assert report["ways"] == {"batches": 3}
    usage = {"input_tokens": report["input_tokens"], "output_tokens": report["output_tokens"]}
    whole = cost_usd("claude-haiku-5-5", usage)
    assert whole is not None
    assert abs(report["cost_usd"] - whole / 2) < 2e-6
    metrics = httpx.get(f"{stack.url}/metrics").text
    assert 'nightshift_answers_total{way="batches"} ' in metrics
    assert 'nightshift_part_lines{state="sent"} 0.0' in metrics
    assert stack.http("GET", "/health").body["parts"] == {"parts": 0, "unsent": 0, "sent": 0, "ended": 0}


def test_parts_show_how_far_it_is(stack: Stack) -> None:
    """In the batch object, the report's page and the overview."""
    rule = stack.simulator.add_rule({"batch": {"held": True}}, match={"batches": "create"})
    made = start(stack, [line(str(n)) for n in range(7)])

    def at_api() -> int:
        found = stack.http("GET", f"/v1/batches/{made.id}").body["nightshift"]
        return int((found["parts"] or {}).get("sent", 0))

    wait_until(lambda: at_api() == 7, "a part that was sent")
    assert stack.http("GET", f"/v1/batches/{made.id}").body["nightshift"]["waiting_for"] == "message_batches"
    assert "7 requests are at Message Batches" in httpx.get(f"{stack.url}/batches/{made.id}").text
    wait_until(
        lambda: "7 at Message Batches" in httpx.get(stack.url, headers={"accept": "text/html"}).text, "the page", 10
    )
    assert stack.http("GET", "/health").body["parts"]["sent"] == 7
    stack.simulator.remove_rule(rule)
    assert wait(stack, made.id).status == "completed"


def test_a_lane_that_is_killed_again_and_again(own_stack: Stack) -> None:
    """Lines are sent once and answered once, whatever it was doing."""
    stack = own_stack
    stack.simulator.add_rule({"batch": {"ends_after_looks": 2}}, match={"batches": "create"})
    batches = [start(stack, [line(f"{name} {n}") for n in range(40)]) for name in ("a", "b", "c")]
    for _ in range(6):
        kill_lane(stack)
    for made in batches:
        batch = wait(stack, made.id, timeout=120)
        assert batch.status == "completed"
        assert len({one["custom_id"] for one in read(stack, batch.output_file_id)}) == 40
    assert set(sent(stack).values()) == {3}


def test_an_api_that_has_forgotten_the_part(own_stack: Stack) -> None:
    """Everything is killed, the simulated API, too: what the API does not have any more is sent to it again."""
    stack = own_stack
    stack.simulator.add_rule({"batch": {"held": True}}, match={"batches": "create"})
    made = start(stack, [line(str(n)) for n in range(5)])
    wait_until(lambda: len(sent(stack)) == 5, "a part that was sent")
    stack.kill_everything()
    stack.start()
    batch = wait(stack, made.id, timeout=180)
    assert len(read(stack, batch.output_file_id)) == 5
    assert set(sent(stack).values()) == {1}
