"""Where each way of the ladder shows: /health, /metrics, the page, and `nightshift status`."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from api.outlook import Outlook
from app import caps, clock, spending, ways
from app.gate import Cause, Gate
from app.scopes import Scope
from app.settings import Settings
from app.ways import Way
from ops.cli import status
from tests.integration.jobs.conftest import new_record

if TYPE_CHECKING:
    from flask.testing import FlaskClient
    from redis import Redis

    from tests.integration.api.conftest import MakeClient

LADDER = ways.read("cli:subscription,batches,api:2usd/day")


@pytest.fixture
def client(make_client: MakeClient, connection: Redis) -> FlaskClient:
    """One family of a subscription is limited, and the key is at its cap."""
    until = time.time() + 900
    Gate(connection, Scope(Way.CLI, "opus")).close(Cause.USAGE_LIMIT, until, "You've hit your limit", "seven_day_opus")
    pipe = connection.pipeline()
    spending.add(pipe, Way.API, 2.5, clock.now())
    spending.add(pipe, Way.API, None, clock.now())
    pipe.execute()
    caps.keep(connection, LADDER)
    return make_client(ways=LADDER)


def test_health_names_each_way(client: FlaskClient) -> None:
    """In the ladder's order, with what closes it, for whom, and what it has spent."""
    cli, batches, api = client.get("/health").get_json()["ways"]
    assert (cli["way"], cli["login"], cli["state"], cli["closed"], cli["spent"]) == (
        "cli",
        "subscription",
        "open",
        None,
        None,
    )
    assert {family: closed["cause"] for family, closed in cli["families"].items()} == {"opus": "usage_limit"}
    assert (batches["way"], batches["state"], batches["families"]) == ("batches", "open", {})
    assert (api["way"], api["state"], api["closed"]["cause"]) == ("api", "closed", "spending_cap")
    spent = api["spent"]
    assert (spent["usd"], spent["cap_usd"], spent["period"], spent["unpriced"]) == (2.5, 2.0, "day", 1)
    assert spent["until"] == int(api["closed"]["until"])


def test_status_has_a_line_for_each_way(client: FlaskClient) -> None:
    """Short enough for a terminal."""
    found = {"health": client.get("/health").get_json(), "url": "http://x", "batches": [], "failures": []}
    lines = [line for line in status.text(found, clock.now(), 400) if line.startswith("Way ")]
    assert lines[0].startswith("Way        cli:subscription  open; for opus closed, for ")
    assert lines[1] == "Way        batches  open"
    assert lines[2].startswith("Way        api  closed, for ")
    assert lines[2].endswith("; $2.50 of $2.00 spent this day; 1 answers of unknown cost")


def test_the_page_lists_the_ways(client: FlaskClient) -> None:
    """Those that are closed with their cause."""
    page = client.get("/", headers={"Accept": "text/html"}).get_data(as_text=True)
    assert "Ways to Claude" in page
    assert "closed for opus (usage limit, until" in page
    assert "(spending cap, until" in page
    assert "$2.50 of $2.00 spent this day, 1 answer of unknown cost" in page


def test_one_way_without_a_cap_is_no_list(make_client: MakeClient) -> None:
    """Who has one way reads what they read before."""
    assert "Ways to Claude" not in make_client().get("/", headers={"Accept": "text/html"}).get_data(as_text=True)


def test_a_request_hears_of_models_that_its_kind_gets_an_answer_from(client: FlaskClient, connection: Redis) -> None:
    """What waits for the cheap way is told of none that the other way would answer."""
    settings = Settings(ways=ways.read("cli:subscription,api"))
    Gate(connection, Scope(Way.API)).open()
    record = replace(new_record(service_tier="flex"), model="opus")
    held = Outlook(connection, settings).held(record, time.monotonic())
    assert held is not None
    assert (held.model, held.open_models) == ("opus", ["haiku", "sonnet"])
    Gate(connection).close(Cause.USAGE_LIMIT, time.time() + 900, "You've hit your limit", "five_hour")
    held = Outlook(connection, settings).held(record, time.monotonic())
    assert held is not None
    assert (held.model, *held.open_models) == ("",)
    assert Outlook(connection, settings).held(replace(record, service_tier=""), time.monotonic()) is None


def test_metrics_have_what_was_spent(client: FlaskClient) -> None:
    """By way, beside the cap."""
    text = client.get("/metrics").get_data(as_text=True)
    assert 'nightshift_spent_usd{way="api"} 2.5' in text
    assert 'nightshift_spending_cap_usd{way="api"} 2.0' in text
