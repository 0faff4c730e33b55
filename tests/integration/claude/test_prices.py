"""Our list prices beside those by which Claude's CLI reckons."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import pytest

from app.messages.request import MessagesRequest
from app.prices import LIST, cost_usd
from tests.integration.claude.conftest import KEY, settings_for
from workers.claude import CliEngine
from workers.models import ALIASES

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from app.messages.answer import Answer
    from simulator.process import RunningSimulator

#: primes, so that no two mixtures of them cost the same
USAGE = {
    "input_tokens": 1_009,
    "output_tokens": 2_003,
    "cache_creation_input_tokens": 5_003,
    "cache_read_input_tokens": 7_001,
}


@pytest.fixture(scope="module")
def engine(_simulator_for_session: RunningSimulator, tmp_path_factory: pytest.TempPathFactory) -> Iterator[CliEngine]:
    """The CLI with a key."""
    settings = settings_for(_simulator_for_session.base_url, tmp_path_factory.mktemp("prices"), KEY)
    with CliEngine(settings, name="prices") as started:
        yield started


def asked(engine: CliEngine, model: str) -> Answer:
    """The answer to a short question."""
    request = MessagesRequest(model=model, messages=({"role": "user", "content": "hi"},))
    return engine.ask(request, time.monotonic() + 60)


@pytest.mark.parametrize("model", LIST)
def test_our_list_is_that_of_the_cli(engine: CliEngine, simulator: RunningSimulator, model: str) -> None:
    """The same usage costs the same, for each model of the table."""
    simulator.control.add_rule({"text": "x", "usage": USAGE})
    answer = asked(engine, model)
    assert answer.cost_usd is not None, "the CLI has no price for it any more"
    assert answer.cost_usd == pytest.approx(cost_usd(model, answer.usage), abs=1e-9)


@pytest.mark.parametrize("model", ["sonnet", "claude-haiku-4-5"])
def test_what_is_cut_has_its_cost(engine: CliEngine, simulator: RunningSimulator, model: str) -> None:
    """The CLI is ended before it says one."""
    simulator.control.add_rule({"text": "x", "usage": USAGE, "stop_reason": "max_tokens"})
    answer = asked(engine, model)
    assert answer.stop_reason == "max_tokens"
    assert answer.cost_usd == pytest.approx(cost_usd(ALIASES.get(model, model), answer.usage), abs=1e-9)


def test_what_is_cut_of_a_model_without_a_price_has_none(engine: CliEngine, simulator: RunningSimulator) -> None:
    simulator.control.add_rule({"text": "x", "usage": USAGE, "stop_reason": "max_tokens"})
    assert asked(engine, "claude-of-tomorrow").cost_usd is None


def test_a_long_prompt_costs_what_the_cli_says(engine: CliEngine, simulator: RunningSimulator) -> None:
    """At the limit, and one token above it."""
    for plain in (100_000, 100_001):
        used: dict[str, Any] = {"input_tokens": plain, "output_tokens": 1_000}
        simulator.control.set_rules([{"respond": {"text": "x", "usage": used}}])
        answer = asked(engine, "claude-haiku-5-5")
        assert answer.cost_usd == pytest.approx(cost_usd("claude-haiku-5-5", answer.usage), abs=1e-9)


def test_own_prices_go_before_those_of_the_cli(simulator: RunningSimulator, tmp_path: Path) -> None:
    """For the models that the file names."""
    path = tmp_path / "prices.toml"
    numbers = "input = 100\noutput = 100\ncache_write_5m = 100\ncache_write_1h = 100\ncache_read = 100\n"
    path.write_text(f'["claude-haiku-4-5"]\n{numbers}')
    simulator.control.add_rule({"text": "x", "usage": {"input_tokens": 9_000, "output_tokens": 1_000}})
    with CliEngine(settings_for(simulator.base_url, tmp_path, KEY, prices=path), name="own") as engine:
        assert asked(engine, "claude-haiku-4-5").cost_usd == pytest.approx(1.0)
        assert asked(engine, "claude-sonnet-4-5").cost_usd == pytest.approx(0.042)
