"""Each step in Redis, with each of its writes lost, or its reply, or late, once: it comes to what it would have come to."""

from __future__ import annotations

import itertools
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from app.connection import AWAY, connect
from app.redis_client import READS
from app.settings import Settings
from chaos.lossy import Kind, Loss, LossyProxy, Once
from chaos.until import wait_until
from tests.integration.replies import state
from tests.integration.replies.steps import STEPS, Ground

if TYPE_CHECKING:
    from collections.abc import Callable

    from redis import Redis

    from chaos.lossy import Request

_READS = {name.encode() for name in READS} - {b"EXEC"}
_CUT = (Loss(Kind.LOST_REPLY), Loss(Kind.LOST_REQUEST))
#: a client of this patience gives up before a request that is so late has come
_PATIENCE_SECONDS, _LATE_SECONDS = 0.15, 0.4


class Stage:
    """A step on an empty Redis and an empty directory, as often as one likes."""

    def __init__(self, connection: Redis, lossy: LossyProxy, name: str) -> None:
        self._connection = connection
        self._lossy = lossy
        self._prepare, self._step = STEPS[name]
        self._directory = Path(tempfile.mkdtemp(prefix="nightshift-step-"))

    def play(self, plan: Any = None) -> tuple[Any, str]:
        """(what Redis holds afterwards, what the step returned)."""
        self._directory.mkdir(exist_ok=True)
        settings = Settings(
            data_dir=self._directory, redis_url=self._lossy.url, callback_allowed_hosts=("example.com",)
        )
        try:
            self._connection.flushall()
            self._prepare(Ground(self._connection, settings))
            patience = _PATIENCE_SECONDS if plan is not None and plan.loss.kind is Kind.LATE_REQUEST else 5.0
            self._lossy.plan = plan
            with connect(self._lossy.url, timeout_seconds=patience) as client:
                found = _patiently(lambda: self._step(Ground(client, settings)))
            wait_until(lambda: self._lossy.is_quiet, "the late request")
            return state.of(self._connection), state.plain(found)
        finally:
            self._lossy.plan = None
            shutil.rmtree(self._directory, ignore_errors=True)


def _patiently(step: Callable[[], Any]) -> Any:
    """As those do who make steps: again, while Redis is away."""
    for _ in range(20):
        try:
            return step()
        except AWAY:
            continue
    return step()


@pytest.fixture
def stage(connection: Redis, lossy: LossyProxy, request: pytest.FixtureRequest) -> Stage:
    return Stage(connection, lossy, request.param)


@pytest.mark.parametrize("stage", STEPS, indirect=True)
def test_a_lost_write_or_its_reply_changes_nothing(stage: Stage) -> None:
    """Whichever of a step's writes is lost with its connection, before Redis has it or after, the step is done once."""
    expected = stage.play()
    for loss in _CUT:
        for number in itertools.count():
            plan = Once(loss, _writes, number)
            found = stage.play(plan)
            if plan.hit is None:
                break
            assert _differ(found, expected) == [], f"{loss.kind} of {plan.hit.commands}"
        assert number > 0, "the step writes nothing"


@pytest.mark.parametrize("stage", STEPS, indirect=True)
def test_a_request_that_comes_late_changes_nothing(stage: Stage) -> None:
    """A write that comes to Redis after its client has given up, and has asked again, is done once."""
    expected = stage.play()
    for number in itertools.count():
        plan = Once(Loss(Kind.LATE_REQUEST, _LATE_SECONDS), _decides, number)
        found = stage.play(plan)
        if plan.hit is None:
            break
        assert _differ(found, expected) == [], f"late: {plan.hit.commands}"


def _differ(found: tuple[dict[str, Any], str], expected: tuple[dict[str, Any], str]) -> list[Any]:
    """What is not as it should be: keys with what they hold, and what was returned."""
    keys = sorted(set(found[0]) | set(expected[0]))
    wrong: list[Any] = [
        (key, found[0].get(key), "not", expected[0].get(key))
        for key in keys
        if found[0].get(key) != expected[0].get(key)
    ]
    return wrong + ([("returned", found[1], "not", expected[1])] if found[1] != expected[1] else [])


def _writes(request: Request) -> bool:
    return not _READS.issuperset(request.names)


def _decides(request: Request) -> bool:
    """What is decided by what was there. Not a lease that is taken late by who has asked for it: it ends by itself."""
    return bool({b"EXEC", b"EVAL", b"EVALSHA"} & set(request.names))
