"""A worker's engines: which are made, and what they report together."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from app import ways
from app.settings import Settings
from app.ways import Way
from tests.engine import ScriptedEngine, answer
from workers.engine import EngineStatus
from workers.engine_by_way import Engines

if TYPE_CHECKING:
    from contextlib import ExitStack

    import pytest

    from workers.engine import Engine

SETTINGS = Settings(ways=ways.read("api,batches,cli:subscription"))


class ByApi(ScriptedEngine):
    way = Way.API


def test_an_engine_is_made_when_it_is_needed_and_ended_with_the_others() -> None:
    """Once each, in the ladder's order; Message Batches are no worker's."""
    made: list[str] = []
    ended: list[str] = []

    def make(way: Way, ends: ExitStack) -> Engine:
        made.append(way)
        ends.callback(ended.append, way)
        return ByApi() if way is Way.API else ScriptedEngine()

    with Engines(SETTINGS, make) as engines:
        assert engines.ways == (Way.API, Way.CLI)
        assert made == []
        first = engines.of(Way.API)
        assert engines.of(Way.API) is first
        assert [way for way, _ in engines.made()] == [Way.API]
        engines.of(Way.CLI)
        assert [way for way, _ in engines.made()] == [Way.API, Way.CLI]
    assert made == ["api", "cli"]
    assert sorted(ended) == ["api", "cli"]


def test_they_report_as_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """The state of the way that is asked for; turns, errors, processes and memory of all."""
    cli, api = ScriptedEngine(answer("a")), ByApi()
    of_cli = EngineStatus(
        "starting", "", 0.0, 5, 3, 3, 1, {"turns": 2}, rss_mb=200.0, cli_version="2", login="oauth_token"
    )
    of_api = replace(
        of_cli, state="busy", turns_total=4, errors=2, restarts={}, rss_mb=0.0, cli_version=None, login="api_key"
    )
    monkeypatch.setattr(cli, "status", lambda: of_cli)
    monkeypatch.setattr(api, "status", lambda: of_api)
    engines = Engines.holding(SETTINGS, {Way.CLI: cli, Way.API: api})
    found = engines.status(Way.API)
    assert (found.state, found.login) == ("busy", "api_key")
    assert (found.turns_total, found.errors, found.restarts, found.rss_mb, found.cli_version) == (
        7,
        3,
        {"turns": 2},
        200.0,
        "2",
    )
    assert engines.status(Way.CLI).state == "starting"
