"""A login that Claude does not take: said at the start, told at once to who waits, and nothing is lost until it works."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING, Any, Self

import openai
import pytest

from chaos.stack import free_port
from simulator.client import SimulatorControl
from tests.acceptance.stack import ROOT, Stack, running
from tests.acceptance.test_batches import line, read, start, wait
from tests.redis_server import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator

    from simulator.process import RunningSimulator

REFUSED = {"error": {"status": 401, "message": "invalid x-api-key"}}
#: in the words of Claude's command line
REASON = "Invalid API key"


class Keyed(Stack):
    """A stack that is not offline: it sends its key to the simulator of the test."""

    def start(self) -> Self:
        """Until it shows its screen."""
        self.port = self.port or free_port()
        argv = [os.environ.get("NIGHTSHIFT_TEST_PYTHON", sys.executable), "-m", "ops.cli.main", "up"]
        argv += ["--data-dir", str(self.data_dir), "--workers", str(self.workers), "--port", str(self.port)]
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                argv, cwd=ROOT, env=self._environment(), stdout=log, stderr=log, start_new_session=True
            )
        wait_until(lambda: "Try it:" in self.said(), "the screen")
        return self

    def said(self) -> str:
        """All that it has printed and logged."""
        return self.log.read_text()


@pytest.fixture(scope="module")
def mistyped(_simulator_for_session: RunningSimulator) -> Iterator[Keyed]:
    """A stack that was started with a key that nobody knows."""
    simulator = _simulator_for_session
    simulator.control.clear()
    simulator.control.add_rule(REFUSED)
    settings = {
        "ANTHROPIC_API_KEY": "sk-ant-typo",
        "ANTHROPIC_BASE_URL": simulator.base_url,
        "NIGHTSHIFT_LOGIN_PROBE_SECONDS": "1",
    }
    yield from running(Keyed(settings=settings))


def test_a_mistyped_key_is_said_at_once_and_loses_nothing(mistyped: Keyed) -> None:
    """The screen, the log and each client hear of it before a request has met it; when the key works, all goes on by itself.

    The module's first test.
    """
    stack, control = mistyped, SimulatorControl(mistyped.settings["ANTHROPIC_BASE_URL"])
    assert "Nightshift is up" not in stack.said()
    assert f"Claude's login does not work ({REASON})" in stack.said()
    workers = stack.http("GET", "/health").body["workers"]
    wait_until(lambda: all(f"[LOGIN] worker={one['name']}" in stack.said() for one in workers), "each worker's word")
    job = stack.submit("later")
    batch = start(stack, [line("one"), line("two")])
    for ask in (
        lambda: stack.ask("now"),
        lambda: stack.ask("now", stream=True),
        lambda: stack.client(max_retries=2).responses.create(model="haiku", input="now"),
    ):
        with pytest.raises(openai.InternalServerError) as caught:
            ask()
        assert (caught.value.status_code, caught.value.code) == (503, "login_required")
        assert REASON in str(caught.value)
    ready = stack.http("GET", "/health/ready")
    assert (ready.status, ready.body["error"]["code"]) == (503, "login_required")
    wait(stack, batch.id, "in_progress")
    before = len(control.requests())
    wait_until(lambda: len(control.requests()) >= before + 3, "some probes")
    assert (stack.job(job)["status"], stack.job(job)["attempts"]) == ("queued", 0)
    assert wait(stack, batch.id, "in_progress").request_counts.failed == 0  # type: ignore[union-attr]
    # Each try was one that no model sees, even if it had been let pass.
    tried: list[Any] = [entry["body"]["messages"] for entry in control.requests() if entry["body"]]
    assert all(messages == [] for messages in tried)
    control.clear_rules()
    assert stack.wait_for(job)["status"] == "completed"
    batch = wait(stack, batch.id)
    assert (batch.status, len(read(stack, batch.output_file_id))) == ("completed", 2)
    assert stack.ask("now").startswith("Simulated answer")


def test_a_login_that_goes_bad_and_comes_back(simulator: RunningSimulator, mistyped: Keyed) -> None:
    """With nothing in the queue, too, it is noticed that the login works again: no request has to try it."""
    simulator.control.clear_rules()
    wait_until(lambda: mistyped.http("GET", "/health/ready").status == 200, "a login that works")
    rule = simulator.control.add_rule(REFUSED)
    with pytest.raises(openai.InternalServerError, match=REASON):
        mistyped.ask("the first that meets it")
    assert mistyped.http("GET", "/health/ready").status == 503
    simulator.control.remove_rule(rule)
    wait_until(lambda: mistyped.http("GET", "/health/ready").status == 200, "a login that works")
    assert mistyped.ask("again").startswith("Simulated answer")
