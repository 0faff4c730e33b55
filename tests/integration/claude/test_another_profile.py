"""A warm process is told to serve another model, or another system text: the API sees what it sees of a process that was started for it."""

from __future__ import annotations

import os
import signal
from typing import TYPE_CHECKING, Any

import pytest

from chaos.until import wait_until
from tests.integration.claude.conftest import SUBSCRIPTION, Make, bodies
from workers.claude import Profile, TurnFailed, process

if TYPE_CHECKING:
    from simulator.process import RunningSimulator
    from workers.claude import ClaudeInvoker

#: betas go by model
HEADERS = ("anthropic-beta", "anthropic-version", "user-agent")


def seen(simulator: RunningSimulator) -> list[tuple[dict[str, Any], dict[str, str]]]:
    """Each request's body and headers, without the session's own ids. Forgets them."""
    requests = [one for one in simulator.control.requests() if one["path"].startswith("/v1/messages")]
    simulator.control.clear()
    return [
        (
            {name: value for name, value in one["body"].items() if name != "metadata"},
            {name: value for name, value in one["headers"].items() if name.lower() in HEADERS},
        )
        for one in requests
    ]


def pid_of(invoker: ClaudeInvoker) -> int:
    pid = invoker.status().pid
    assert pid is not None
    return pid


@pytest.mark.parametrize(
    ("login", "profiles"),
    [
        (None, [Profile(), Profile("haiku"), Profile("opus")]),
        (None, [Profile(model, thinking_tokens=2048, effort="low") for model in ("haiku", "sonnet")]),
        (
            SUBSCRIPTION,
            [Profile(system="Be kind."), Profile("haiku", system="Be brief."), Profile("haiku", system="Be kind.")],
        ),
    ],
    ids=["key", "thinking", "subscription"],
)
def test_it_asks_as_one_that_was_started_for_it(
    make: Make, simulator: RunningSimulator, login: dict[str, str] | None, profiles: list[Profile]
) -> None:
    for profile in profiles[1:]:
        make(login, profile).ask("hello", profile)
    fresh = seen(simulator)
    invoker = make(login, profiles[0])
    invoker.ask("hello", profiles[0])
    first = pid_of(invoker)
    seen(simulator)
    answers = [invoker.ask("hello", profile) for profile in profiles[1:]]
    assert seen(simulator) == fresh
    assert [answer.model for answer in answers] == [f"simulated-{body['model']}" for body, _ in fresh]
    assert all(answer.cost_usd for answer in answers)
    assert pid_of(invoker) == first


def test_nothing_is_asked_of_a_model_but_what_was_asked(make: Make, simulator: RunningSimulator) -> None:
    """A full id costs a question of the CLI's own when a running process changes to it, so it gets a process."""
    invoker = make(warm_processes=1)
    models = ("sonnet", "claude-haiku-4-5", "haiku", "claude-sonnet-4-5", "sonnet")
    for model in models:
        invoker.ask("hello", Profile(model))
    assert [body["messages"][-1]["content"][0]["text"] for body in bodies(simulator)] == ["hello"] * len(models)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (Profile(), Profile(thinking_tokens=2048)),
        (Profile(), Profile(effort="low")),
        (Profile(), Profile(tools='[{"name":"f","description":"","input_schema":{"type":"object"}}]')),
        (Profile(), Profile(schema='{"type":"object"}')),
        (Profile(), Profile("claude-haiku-4-5")),
        (Profile("claude-haiku-4-5"), Profile()),
        (Profile(), Profile(system="Be kind.")),
        (Profile(system="Be kind."), Profile()),
    ],
)
def test_what_is_fixed_at_the_start_needs_another_process(before: Profile, after: Profile) -> None:
    assert not before.may_become(after)


def test_one_that_does_not_change_is_replaced(
    make: Make, simulator: RunningSimulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The request is asked once, of the model that it wants."""
    monkeypatch.setattr(process, "CONFIGURE_SECONDS", 0.5)
    invoker = make()
    invoker.ask("hello")
    first = pid_of(invoker)
    wait_until(lambda: invoker._keeper._preparing is not None and invoker._keeper._preparing.done(), "the wiping")
    os.kill(first, signal.SIGSTOP)
    answer = invoker.ask("who are you?", Profile("haiku"))
    assert "haiku" in answer.model
    assert [body["model"] for body in bodies(simulator)] == ["claude-sonnet-5-5", "claude-haiku-5-5"]
    assert pid_of(invoker) != first
    assert invoker.status().restarts == {"profile": 1}


def test_a_request_after_one_that_gave_up_the_change_is_asked_of_its_own_model(make: Make) -> None:
    """The change goes on when its request's time is over, and the next one waits for its end."""
    invoker = make(warm_processes=1)
    invoker.ask("hello")
    for model in ("haiku", "opus") * 5:
        with pytest.raises(TurnFailed):
            invoker.ask("hello", Profile(model), timeout_seconds=0.0)
        for asked in ("sonnet", model):
            assert asked in invoker.ask("hello", Profile(asked)).model
