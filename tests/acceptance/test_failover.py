"""Redis behind Sentinels: the primary is killed under load, and a replica takes its place."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest

from app.connection import connect
from app.durability import NotReplicatedError, confirm
from tests.acceptance.stack import Reply, Stack, running
from tests.failover import Failover
from tests.redis_server import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(scope="module")
def servers() -> Iterator[Failover]:
    found = Failover()
    try:
        found.start()
        yield found
    finally:
        found.close()


@pytest.fixture
def own_stack(servers: Failover) -> Iterator[Stack]:
    """A stack whose Redis is the one that the Sentinels name."""
    settings = {"REDIS_URL": servers.url, "NIGHTSHIFT_WAIT_REPLICAS": "1", "NIGHTSHIFT_LEASE_SECONDS": "4"}
    yield from running(Stack(settings={**settings, "NIGHTSHIFT_BEAT_SECONDS": "1"}))


def post(stack: Stack, prompt: str, **headers: str) -> Reply:
    body = {"model": "sonnet", "messages": [{"role": "user", "content": prompt}]}
    return stack.http("POST", "/v1/chat/completions", body, headers)


def test_a_primary_that_dies_under_load(own_stack: Stack, servers: Failover) -> None:
    """What was accepted has one outcome each; who waited is answered; who came meanwhile got 503, why, and when to come back."""
    own_stack.simulator.add_rule({"echo": True}, latency_ms=200)
    accepted: list[str] = []
    refused: list[Reply] = []
    is_over = threading.Event()

    def submit(number: int) -> None:
        while not is_over.is_set():
            reply = post(own_stack, f"night {number} {len(accepted)}", Prefer="respond-async")
            if reply.status == 202:
                accepted.append(reply.body["id"])
            else:
                refused.append(reply)
            is_over.wait(0.05)

    # None of those who wait is answered before all do.
    own_stack.http("POST", "/v1/gate/pause", {"until": time.time() + 300})
    with ThreadPoolExecutor(8) as pool:
        waiting = [pool.submit(post, own_stack, f"day {number}") for number in range(6)]
        wait_until(lambda: own_stack.http("GET", "/health").body["waiting"] == 6, "clients who wait")
        loading = [pool.submit(submit, number) for number in range(2)]
        try:
            wait_until(lambda: len(accepted) >= 10, "some load")
            own_stack.http("POST", "/v1/gate/resume")
            before = servers.primary
            servers.servers.pop(before).kill()
            wait_until(lambda: len(refused) > 0, "a refusal")
            wait_until(lambda: servers.primary != before, "another primary")
            had = len(accepted)
            wait_until(lambda: len(accepted) >= had + 5, "requests that are accepted again")
        finally:
            is_over.set()
        for one in loading:
            one.result()
        answers = [one.result() for one in waiting]
    for reply in refused:
        assert reply.status == 503 and reply.body["error"]["code"] in ("redis_unavailable", "redis_not_replicated")
        assert int(reply.headers["Retry-After"]) > 0
    # One that waits has its answer when Redis is back, or was told to come again before it was accepted.
    assert all(reply.status == 200 for reply in answers), [reply.body for reply in answers]
    for job_id in accepted:
        assert own_stack.wait_for(job_id)["status"] == "completed"


def test_too_slow_a_replica(servers: Failover) -> None:
    """What does not reach its replicas in time is told, and is there all the same."""
    connection = connect(servers.url)
    connection.set("mine", 1)
    confirm(connection, "mine", 1)
    with pytest.raises(NotReplicatedError, match="of 9"):
        confirm(connection, "mine", 9)
    with pytest.raises(NotReplicatedError, match="not on this server"):
        confirm(connection, "nobody's", 1)
