"""Turns that go wrong: each class is told by attributes, and the process serves the next request."""

from __future__ import annotations

import os
import signal
import threading
import time
from typing import TYPE_CHECKING, Any

import psutil
import pytest

from chaos.until import wait_until
from tests.integration.claude.conftest import SUBSCRIPTION, Make, bodies, settings_for
from workers.claude import ClaudeInvoker, FailureKind, Profile, TurnFailed, cli, pool, watch

if TYPE_CHECKING:
    from pathlib import Path

    from simulator.process import RunningSimulator


def failure_of(invoker: ClaudeInvoker, text: str = "please", **keywords: Any) -> TurnFailed:
    """The failure that asking ends with."""
    with pytest.raises(TurnFailed) as caught:
        invoker.ask(text, **keywords)
    return caught.value


@pytest.mark.parametrize(
    ("respond", "kind", "status"),
    [
        ({"error": {"status": 400, "message": "max_tokens: too many"}}, FailureKind.CALLER, 400),
        ({"error": {"status": 404}}, FailureKind.CALLER, 404),
        ({"error": {"status": 413}}, FailureKind.CALLER, 413),
        ({"error": {"status": 401}}, FailureKind.LOGIN, 401),
        ({"error": {"status": 403}}, FailureKind.CALLER, 403),
        ({"error": {"status": 403, "message": "OAuth token has been revoked"}}, FailureKind.LOGIN, 403),
        ({"error": {"status": 400, "message": "Your credit balance is too low"}}, FailureKind.LOGIN, 400),
        ({"error": {"status": 429}}, FailureKind.RATE_LIMITED, 429),
        ({"error": {"status": 500}}, FailureKind.SERVER, 500),
        ({"error": {"status": 529}}, FailureKind.OVERLOADED, 529),
        ({"text": "word " * 30, "break_after_deltas": 2}, FailureKind.SERVER, None),
        ({"text": "word " * 30, "stream_error": {"after_deltas": 2}}, FailureKind.OVERLOADED, 529),
        ({"text": "word " * 30, "malformed_sse_after_deltas": 2}, FailureKind.SERVER, None),
    ],
)
def test_an_api_error_is_never_an_answer(
    shared: ClaudeInvoker,
    simulator: RunningSimulator,
    respond: dict[str, Any],
    kind: FailureKind,
    status: int | None,
) -> None:
    """Each class has its kind and status; the next request is served by the same process, if not for a new login.

    What is the request's own fault is not counted as one of Claude's.
    """
    shared.wait_until_idle(60)
    pid = shared.status().pid
    simulator.control.add_rule(respond, match={"contains": "please"})
    errors = shared.status().errors
    failure = failure_of(shared)
    assert failure.kind is kind
    assert shared.status().errors - errors == (kind is not FailureKind.CALLER)
    if status is not None or "break_after_deltas" in respond:
        assert failure.status == status
    assert not failure.message.startswith("API Error")
    assert shared.ask("thanks").text == "Simulated answer to: thanks"
    assert (shared.status().pid == pid) is (kind is not FailureKind.LOGIN)
    assert len(bodies(simulator)[-1]["messages"]) == 1


def test_the_apis_words_reach_the_caller(shared: ClaudeInvoker, simulator: RunningSimulator) -> None:
    """A caller's error carries the API's message and type."""
    simulator.control.add_rule({"error": {"status": 400, "message": "max_tokens: 9 > 8"}}, match={"contains": "please"})
    failure = failure_of(shared)
    assert (failure.message, failure.error_type) == ("max_tokens: 9 > 8", "invalid_request_error")


def test_a_subscriptions_limit_is_no_login_problem_and_no_rate_limit(make: Make, simulator: RunningSimulator) -> None:
    """Its reset is known, also the second time, when the CLI does not repeat it; a plain 429 is something else."""
    invoker = make(SUBSCRIPTION)
    limited = simulator.control.add_rule({"usage_limit": {"resets_in_seconds": 600}})
    for _ in range(2):
        failure = failure_of(invoker)
        assert failure.kind is FailureKind.USAGE_LIMIT
        assert failure.limit_type == "five_hour"
        assert failure.resets_at == pytest.approx(time.time() + 600, abs=30)
        assert failure.retry_after == pytest.approx(600, abs=30)
    simulator.control.remove_rule(limited)
    plain = simulator.control.add_rule({"error": {"status": 429}})
    assert failure_of(invoker).kind is FailureKind.RATE_LIMITED
    simulator.control.remove_rule(plain)
    simulator.control.add_rule({"error": {"status": 401}})
    assert failure_of(invoker).kind is FailureKind.LOGIN


def test_the_windows_of_a_subscription_stand_beside_its_answers(make: Make, simulator: RunningSimulator) -> None:
    """How much of each is used is known of every answer, also when the CLI does not repeat it; with a key there is none."""
    invoker = make(SUBSCRIPTION)
    week = {"anthropic-ratelimit-unified-7d-utilization": "0.1"}
    for share in (0.5, 0.83):
        simulator.control.clear_rules()
        limit = {"status": "allowed", "utilization": share, "resets_in_seconds": 600}
        simulator.control.add_rule({"usage_limit": limit, "headers": week, "text": "fine"})
        for _ in range(2):
            windows = {window.name: window for window in invoker.ask("hi").windows}
            assert {name: window.utilization for name, window in windows.items()} == {
                "five_hour": share,
                "seven_day": 0.1,
            }
            assert windows["five_hour"].resets_at == pytest.approx(time.time() + 600, abs=30)
    assert make().ask("hi").windows == ()


def test_nobody_logged_in(make: Make, simulator: RunningSimulator) -> None:
    """Without any login the turn says so, and the API is not asked."""
    invoker = make({})
    assert failure_of(invoker).kind is FailureKind.LOGIN
    assert invoker.status().login is None
    assert bodies(simulator) == []


def test_deadline(shared: ClaudeInvoker, simulator: RunningSimulator) -> None:
    """The deadline ends the turn, and the late answer is not taken for the next one's."""
    simulator.control.add_rule({"text": "late " * 10, "hang_after_deltas": 2, "hang_seconds": 30}, times=1)
    started = time.monotonic()
    assert failure_of(shared, timeout_seconds=0.5).kind is FailureKind.DEADLINE
    assert time.monotonic() - started < 20
    assert shared.ask("next").text == "Simulated answer to: next"


def test_a_silent_api_is_noticed(make: Make, simulator: RunningSimulator) -> None:
    """Not a byte for `stall_seconds` ends the attempt."""
    invoker = make(stall_seconds=3.0)
    invoker.ask("warm up")
    simulator.control.add_rule({"text": "word " * 10, "hang_after_deltas": 2, "hang_seconds": 30}, times=1)
    failure = failure_of(invoker)
    assert failure.kind is FailureKind.STALLED
    assert failure.usage
    assert invoker.ask("next").text == "Simulated answer to: next"


def test_interrupt_ends_a_turn_at_once(shared: ClaudeInvoker, simulator: RunningSimulator) -> None:
    """From another thread, in the middle of an answer; the process goes on."""
    simulator.control.add_rule({"text": "long " * 10, "hang_after_deltas": 2, "hang_seconds": 30}, times=1)
    shared.wait_until_idle(10)
    pid = shared.status().pid
    begun = threading.Event()
    called: list[float] = []

    def interrupt() -> None:
        begun.wait(60)
        called.append(time.monotonic())
        shared.interrupt()

    thread = threading.Thread(target=interrupt)
    thread.start()
    failure = failure_of(shared, on_event=lambda _: begun.set())
    assert failure.kind is FailureKind.INTERRUPTED
    assert time.monotonic() - called[0] < 20
    thread.join()
    assert shared.ask("next").text == "Simulated answer to: next"
    assert shared.status().pid == pid


def test_interrupt_ends_even_a_process_that_does_not_react(make: Make, simulator: RunningSimulator) -> None:
    """By killing it; the next request has another process."""
    invoker = make()
    invoker.ask("warm up")
    simulator.control.add_rule({"text": "long " * 10, "hang_after_deltas": 2, "hang_seconds": 30}, times=1)
    pid = invoker.status().pid
    assert pid
    called: list[float] = []

    def freeze(_: str) -> None:
        if not called:
            os.kill(pid, signal.SIGSTOP)
            called.append(time.monotonic())
            invoker.interrupt()

    assert failure_of(invoker, on_event=freeze).kind is FailureKind.INTERRUPTED
    assert time.monotonic() - called[0] < 20
    assert invoker.ask("next").text == "Simulated answer to: next"
    assert not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE


def test_a_killed_process_fails_its_turn_and_is_replaced(make: Make, simulator: RunningSimulator) -> None:
    """In mid-turn at once; between turns before anybody asks."""
    invoker = make()
    invoker.ask("warm up")
    simulator.control.add_rule({"text": "long " * 10, "hang_after_deltas": 2, "hang_seconds": 30}, times=1)
    pid = invoker.status().pid
    assert pid
    assert failure_of(invoker, on_event=lambda _: os.kill(pid, signal.SIGKILL)).kind is FailureKind.DIED
    assert invoker.ask("next").text == "Simulated answer to: next"
    second = invoker.status().pid
    assert second not in (None, pid)
    os.kill(second, signal.SIGKILL)
    wait_until(lambda: invoker.status().state == "idle" and invoker.status().pid not in (None, second))
    assert invoker.ask("again").text == "Simulated answer to: again"
    # Found dead while it is wiped, it could not be wiped.
    assert invoker.status().restarts in ({"died": 2}, {"died": 1, "reset_failed": 1})


def test_a_cli_that_cannot_start_is_tried_until_it_can(
    make: Make, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Meanwhile the state says so with a reason, and a request fails at once, as nobody's fault."""
    real = cli.bundled_cli()
    monkeypatch.setattr(cli, "bundled_cli", lambda: tmp_path / "missing")
    invoker = make()
    invoker.start()
    wait_until(lambda: invoker.status().state == "unavailable")
    assert "missing" in invoker.status().reason
    assert not invoker.is_ready()
    assert failure_of(invoker).kind is FailureKind.UNAVAILABLE
    monkeypatch.setattr(cli, "bundled_cli", lambda: real)
    wait_until(lambda: invoker.status().state == "idle")
    assert invoker.ask("hello").text == "Simulated answer to: hello"


def test_a_start_is_never_given_up(make: Make, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """However often it has failed, Claude is there soon after it can be."""
    monkeypatch.setattr(pool, "BACKOFF_SECONDS", (0.001, 0.002))
    monkeypatch.setattr(watch, "TICK_SECONDS", 0.01)
    real, tries = cli.bundled_cli(), []

    def missing() -> Path:
        tries.append(1)
        return tmp_path / "missing"

    monkeypatch.setattr(cli, "bundled_cli", missing)
    invoker = make()
    invoker.start()
    wait_until(lambda: len(tries) >= 40)
    monkeypatch.setattr(cli, "bundled_cli", lambda: real)
    assert invoker.wait_until_idle(60)


def test_an_api_that_is_away_is_a_server_error(tmp_path: Path) -> None:
    """Nothing listens: the turn fails as one to be tried again."""
    with ClaudeInvoker(settings_for("http://127.0.0.1:9", tmp_path)) as invoker:
        assert failure_of(invoker).kind is FailureKind.SERVER


def test_a_schema_that_the_cli_refuses_is_the_callers_fault(make: Make, simulator: RunningSimulator) -> None:
    """It is never dropped in silence, and the model is not asked without it."""
    failure = failure_of(make(), profile=Profile(schema='{"type": "object", "x-unknown": 1}'))
    assert (failure.kind, failure.status) == (FailureKind.CALLER, 400)
    assert bodies(simulator) == []


def test_a_login_is_checked_by_a_request_that_no_model_sees(make: Make, simulator: RunningSimulator) -> None:
    """It is refused either way, counts nowhere, and leaves the process as it was; with a bad login it says why."""
    invoker = make()
    assert invoker.check_login(timeout_seconds=20) is None
    pid = invoker.status().pid
    assert invoker.ask("hello").text == "Simulated answer to: hello"
    assert invoker.status().pid == pid
    assert bodies(simulator)[0]["messages"] == []
    rule = simulator.control.add_rule({"error": {"status": 401, "message": "invalid x-api-key"}})
    failure = invoker.check_login(timeout_seconds=20)
    assert failure is not None
    assert (failure.kind, failure.message) == (FailureKind.LOGIN, "Invalid API key")
    simulator.control.remove_rule(rule)
    assert invoker.check_login(timeout_seconds=20) is None
    assert (invoker.status().turns_total, invoker.status().errors) == (1, 0)
