"""The whole product as a user starts it, talked to by OpenAI's own client."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Literal, TypeVar

import psutil
import pytest
from openai import OpenAI

from chaos.stack import ROOT, Reply
from chaos.stack import Stack as Started
from chaos.until import PATIENCE_SECONDS, wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["ROOT", "SHARED_SETTINGS", "Reply", "Stack", "mended_fixture", "running", "stack_fixture"]

#: of the stack that modules share
SHARED_SETTINGS = {
    "NIGHTSHIFT_CALLBACK_ALLOWED_HOSTS": "127.0.0.1",
    "NIGHTSHIFT_ABANDON_GRACE_SECONDS": "3",
    "NIGHTSHIFT_LOGIN_PROBE_SECONDS": "1",
    "NIGHTSHIFT_NOTIFY_FROM_CLIENTS": "json://127.0.0.1:",
}


class Stack(Started):
    """A started `nightshift up`, and the ways in which tests talk to it."""

    def _environment(self) -> dict[str, str]:
        # A worker that was killed has a successor, on a slow machine not within ten seconds.
        return {"NIGHTSHIFT_NO_WORKER_GRACE_SECONDS": "180", **super()._environment()}

    def client(self, **options: Any) -> OpenAI:
        """OpenAI's own client."""
        return OpenAI(base_url=f"{self.url}/v1", api_key=self.key or "unused", **{"max_retries": 0, **options})

    def ask(self, prompt: str, **fields: Any) -> str:
        """One prompt, one answer."""
        message: Any = {"role": "user", "content": prompt}
        answer = self.client().chat.completions.create(model="sonnet", messages=[message], **fields)
        return str(answer.choices[0].message.content)

    def submit(self, prompt: str, **fields: Any) -> str:
        """One prompt into the queue; the job's id."""
        body = {"model": "sonnet", "messages": [{"role": "user", "content": prompt}], **fields}
        reply = self.http("POST", "/v1/chat/completions", body, {"Prefer": "respond-async"})
        assert reply.status == 202, reply.body
        return str(reply.body["id"])

    def job(self, job_id: str) -> dict[str, Any]:
        """The job object."""
        reply = self.http("GET", f"/v1/jobs/{job_id}")
        assert reply.status == 200, reply.body
        return dict(reply.body)

    def wait_for(self, job_id: str, *statuses: str, timeout: float = PATIENCE_SECONDS) -> dict[str, Any]:
        """The job object once it has one of these statuses (by default: once it has ended)."""
        wanted = statuses or ("completed", "failed", "cancelled")
        wait_until(lambda: self.job(job_id)["status"] in wanted, f"{job_id} {' or '.join(wanted)}", timeout)
        return self.job(job_id)

    @contextmanager
    def undisturbed(self) -> Iterator[Stack]:
        """For a test that shares it: no rule of the simulator's is in force before or after, and what the test closed is opened."""
        self.simulator.clear()
        yield self
        self.simulator.clear_rules()
        self.http("POST", "/v1/gate/resume")

    @contextmanager
    def mended(self) -> Iterator[Stack]:
        """For a test that shares it and may break it: it is started again where the last one has stopped it, and undisturbed."""
        if not self._runs():
            self.start()
        self.http("POST", "/v1/gate/resume")
        self.simulator.clear()
        yield self
        if self._runs():
            self.simulator.clear_rules()

    def _runs(self) -> bool:
        return self.process is not None and self.process.poll() is None

    def asked(self, containing: str = "") -> list[dict[str, Any]]:
        """The bodies of the Messages API's requests that contain a text; not a worker's check of its login, which asks nothing."""
        entries = [entry for entry in self.simulator.requests(containing) if entry["path"].startswith("/v1/messages")]
        return [entry["body"] for entry in entries if entry["body"]["messages"]]


_S = TypeVar("_S", bound=Stack)


def running(stack: _S) -> Iterator[_S]:
    """Start it, hand it out, and end it; afterwards none of its processes may be left."""
    stack.start()
    try:
        yield stack
    finally:
        family = stack.processes()
        if stack._runs():
            stack.stop()
        _, left = psutil.wait_procs(family, timeout=PATIENCE_SECONDS)
        for process in left:
            process.kill()
        assert not left, f"left running: {left}"


def stack_fixture(scope: Literal["function", "module", "session"] = "function", **options: Any) -> Any:
    """A fixture, for a module to name: a running `Stack` of these options."""

    @pytest.fixture(scope=scope)
    def fixture() -> Iterator[Stack]:
        yield from running(Stack(**options))

    return fixture


def mended_fixture(name: str) -> Any:
    """A fixture, for a module to name: its running `Stack` of that name, for tests that may break it."""

    @pytest.fixture
    def fixture(request: pytest.FixtureRequest) -> Iterator[Stack]:
        stack: Stack = request.getfixturevalue(name)
        with stack.mended():
            yield stack

    return fixture
