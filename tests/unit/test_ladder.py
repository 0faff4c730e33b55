"""Which way a request takes, of a ladder, with what is closed."""

from __future__ import annotations

import time
from typing import Any

import pytest

from app import ways
from app.gate import Cause, Closed, Closings
from app.jobs.record import JobKind, JobRecord, Status
from app.ladder import choose, held_by, steps_for
from app.scopes import Scope
from app.ways import Way

THREE = ways.read("cli:subscription,batches,api")
SOON, LATER = time.time() + 60, time.time() + 3600


def job(**fields: Any) -> JobRecord:
    known: dict[str, Any] = {"id": "chatcmpl-1", "kind": JobKind.CHAT_COMPLETION, "model": "opus"}
    return JobRecord(status=Status.QUEUED, created_at=0.0, deadline_at=LATER, **(known | fields))


def line(**fields: Any) -> JobRecord:
    return job(kind=JobKind.BATCH_LINE, **fields)


def shut(until: float = LATER, probe_at: float = LATER, cause: Cause = Cause.USAGE_LIMIT) -> Closed:
    return Closed(cause, 0.0, until, probe_at, "because")


def closings(pause: Closed | None = None, **scopes: Closed) -> Closings:
    """`cli`, or `cli_opus` for the family."""
    return Closings(
        pause, {Scope(Way(name.split("_")[0]), name.partition("_")[2]): one for name, one in scopes.items()}
    )


OPEN = closings()


@pytest.mark.parametrize(
    ("record", "found"),
    [
        (job(), ["cli", "api"]),
        (line(), ["cli", "batches", "api"]),
        (line(service_tier="default"), ["cli", "batches", "api"]),
        (line(way="batches"), ["batches"]),
        (line(way="api"), ["api"]),
        (job(kind=JobKind.CHOICE, way="batches"), []),
        (job(service_tier="flex"), ["cli"]),
        (line(service_tier="flex"), ["cli", "batches"]),
        (line(service_tier="flex", way="api"), ["api"]),
    ],
)
def test_the_ways_that_may_take_a_request(record: JobRecord, found: list[str]) -> None:
    """Message Batches take lines only; who names a way takes no other; flex takes the cheap ones."""
    assert [step.way for step in steps_for(THREE, record)] == found


def test_flex_without_a_subscription() -> None:
    """A line goes at half the price; a request by itself takes what there is, in the ladder's order."""
    ladder = ways.read("api,batches,cli:api_key")
    assert [step.way for step in steps_for(ladder, line(service_tier="flex"))] == ["batches"]
    assert [step.way for step in steps_for(ladder, job(service_tier="flex"))] == ["api", "cli"]


@pytest.mark.parametrize(
    ("closed", "record", "way"),
    [
        (OPEN, job(), "cli"),
        (closings(cli=shut()), job(), "api"),
        (closings(cli=shut()), line(), "batches"),
        (closings(cli=shut(), batches=shut()), line(), "api"),
        (closings(cli_opus=shut()), job(), "api"),
        (closings(cli_opus=shut()), job(model="sonnet"), "cli"),
        (closings(cli=shut(), api_opus=shut()), job(), None),
        (closings(cli=shut(), api_opus=shut()), job(model="haiku"), "api"),
        (closings(cli=shut()), job(service_tier="flex"), None),
        (closings(cli=shut()), job(way="cli"), None),
        (closings(pause=shut(cause=Cause.PAUSED)), job(), None),
    ],
)
def test_the_first_way_that_is_open_takes_it(closed: Closings, record: JobRecord, way: str | None) -> None:
    """By the scopes that hold its family; with none open it waits."""
    assert choose(THREE, record, closed) == way


def test_one_request_tries_a_way_whose_time_has_come() -> None:
    """The others go on by the next way, and a way that is tried later is not asked for."""
    due = closings(cli=shut(probe_at=0.0))
    asked: list[tuple[str, str]] = []

    def first(way: Way, family: str) -> bool:
        asked.append((way, family))
        return len(asked) == 1

    assert [choose(THREE, job(), due, probes=first) for _ in range(2)] == ["cli", "api"]
    assert asked == [("cli", "opus")] * 2
    assert choose(THREE, job(), closings(cli=shut()), probes=first) == "api"
    assert len(asked) == 2


def test_what_cannot_be_used_here_is_passed_over() -> None:
    """Whatever the gate says: another machine's login may work."""
    assert choose(THREE, job(), OPEN, out=[Way.CLI]) == "api"
    assert choose(THREE, job(), OPEN, out=[Way.CLI, Way.API]) is None


def test_a_request_waits_for_the_way_that_opens_first() -> None:
    """And for nothing while one of its ways is open."""
    assert held_by(THREE, job(), closings(cli=shut())) is None
    both = closings(cli=shut(LATER), api=shut(SOON, cause=Cause.LOGIN))
    assert held_by(THREE, job(), both) == shut(SOON, cause=Cause.LOGIN)
    assert held_by(THREE, job(service_tier="flex"), both) == shut(LATER)
