"""How often a worker goes to Redis for a job, and for what."""

from __future__ import annotations

import re
import signal
import threading
from typing import TYPE_CHECKING, Any

import pytest
from redis.connection import AbstractConnection

from app.connection import connect
from app.settings import Settings
from tests.engine import ScriptedEngine, answer
from tests.integration.jobs.conftest import new_record
from workers.claude_worker import ClaudeWorker
from workers.engine_by_way import Engines

if TYPE_CHECKING:
    from collections.abc import Iterator

    from app.jobs.store import Jobs

#: the names of the commands in one round trip
Trip = list[str]
_QUESTION = {"claude_model": "sonnet", "request": {"model": "sonnet", "messages": [{"role": "user", "content": "Hi."}]}}
#: commands that a worker sends for a job
MAX_COMMANDS = 42


@pytest.fixture
def signals() -> Iterator[None]:
    """RQ sets its own handlers in a worker's process."""
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGUSR2)}
    yield
    for number, handler in handlers.items():
        signal.signal(number, handler)


@pytest.fixture
def trips(monkeypatch: pytest.MonkeyPatch) -> list[Trip]:
    """Those of this thread."""
    found: list[Trip] = []
    mine = threading.get_ident()
    send: Any = AbstractConnection.send_packed_command

    def noted(self: Any, command: Any, *args: Any, **named: Any) -> Any:
        if threading.get_ident() == mine:
            packed = command if isinstance(command, bytes) else b"".join(command)
            found.append([name.decode() for name in re.findall(rb"\*\d+\r\n\$\d+\r\n([A-Z]+)\r\n", packed)])
        return send(self, command, *args, **named)

    monkeypatch.setattr(AbstractConnection, "send_packed_command", noted)
    return found


@pytest.mark.usefixtures("signals")
def test_what_belongs_together_goes_in_one_round_trip(
    redis_url: str, jobs: Jobs, trips: list[Trip], monkeypatch: pytest.MonkeyPatch
) -> None:
    """One that follows another at once: taken, read with its request and the gate, claimed, read and published."""
    for number in range(3):
        jobs.submit(new_record(f"chatcmpl-{number}"), _QUESTION)
    engine = ScriptedEngine(*[answer("Good night.")] * 3)
    settings = Settings(redis_url=redis_url)
    worker = ClaudeWorker("w1", connect(redis_url), settings, Engines.holding(settings, {engine.way: engine}))
    begins: list[int] = []
    check = worker.check_for_suspension

    def look(burst: bool) -> None:
        begins.append(len(trips))
        check(burst)

    monkeypatch.setattr(worker, "check_for_suspension", look)
    worker.work(max_jobs=3)
    job = trips[begins[1] : begins[2]]
    assert [(one[0], one[-1]) for one in job] == [
        ("BLMOVE", "BLMOVE"),
        ("WATCH", "EXISTS"),
        ("MULTI", "EXEC"),
        ("WATCH", "HGETALL"),
        ("MULTI", "EXEC"),
    ]
    assert sum(map(len, job)) <= MAX_COMMANDS
