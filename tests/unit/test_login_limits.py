"""Whose limit holds whom: of several logins on one way, and of those that are not known."""

from __future__ import annotations

import json
from dataclasses import asdict

import pytest

from app.gate import Cause, Closed
from app.login_limits import first_over, goes_on, holding, labels_by, limits_of
from app.scopes import Scope
from app.ways import Way
from app.worker_status import WorkerState, WorkerStatus

NOW = 1000.0
CLI, OPUS = Scope(Way.CLI), Scope(Way.CLI, "opus")
A, B, C = "subscription aaaaaa", "subscription bbbbbb", "subscription cccccc"


def closed(until: float) -> Closed:
    return Closed(Cause.USAGE_LIMIT, NOW, until, until, "used up", "five_hour")


def test_what_the_hash_says() -> None:
    """Those that are over, and those of scopes that only newer code knows, are left out."""
    entries = {f"{A}|cli": closed(2000.0), f"{A}|cli:opus": closed(900.0), f"{B}|moon": closed(2000.0)}
    reply = {name.encode(): json.dumps(asdict(one)).encode() for name, one in entries.items()}
    assert limits_of(reply, NOW) == {A: {CLI: closed(2000.0)}}


def test_a_limit_of_the_whole_way_holds_each_model() -> None:
    """And one of a model that model alone."""
    assert holding({A: {CLI: closed(2000.0)}}, A, OPUS) == closed(2000.0)
    assert holding({A: {OPUS: closed(2000.0)}}, A, CLI) is None
    assert holding({A: {CLI: closed(2000.0)}}, B, CLI) is None


@pytest.mark.parametrize(
    ("others", "expected"),
    [
        (set(), False),
        ({B}, True),
        ({C}, False),
        ({B, C}, True),
        # Nobody knows whether it is the same login.
        ({B, ""}, False),
        ({B, "bedrock"}, False),
    ],
)
def test_another_login_goes_on(others: set[str], expected: bool) -> None:
    """If it has no limit itself, and all are known."""
    limits = {A: {CLI: closed(2000.0)}, C: {CLI: closed(1500.0)}}
    assert goes_on(limits, CLI, others) is expected


def test_the_gate_is_closed_until_the_first_is_over() -> None:
    limits = {A: {CLI: closed(2000.0)}, C: {CLI: closed(1500.0)}}
    assert first_over(limits, {A, C}, CLI) == closed(1500.0)
    assert first_over(limits, {A}, CLI) == closed(2000.0)
    assert first_over(limits, {B}, CLI) is None


def test_only_workers_that_go_that_way_count() -> None:
    """One of older code, which says no label, counts as one that is not known."""
    rows = [
        WorkerStatus(name="a", state=WorkerState.IDLE, ways="cli,api", login_labels={"cli": A, "api": B}),
        WorkerStatus(name="b", state=WorkerState.IDLE, ways="api", login_labels={"api": C}),
        WorkerStatus(name="c", state=WorkerState.STARTING),
    ]
    assert labels_by(Way.CLI, rows) == {A}
    assert labels_by(Way.API, rows) == {B, C}
    assert labels_by(Way.CLI, [*rows, WorkerStatus(name="d", state=WorkerState.IDLE, ways="cli")]) == {A, ""}


def test_what_newer_code_has_noted_stops_no_beat() -> None:
    """While an update is under way: a field that it says besides is left out, and so is a limit whose cause or scope it made up."""
    known = {**asdict(closed(2000.0)), "of_newer_code": True}
    newer = {**known, "cause": "of_newer_code"}
    reply = {
        f"{A}|{CLI}".encode(): json.dumps(known).encode(),
        f"{B}|{CLI}".encode(): json.dumps(newer).encode(),
        f"{C}|of_newer_code".encode(): json.dumps(newer).encode(),
    }
    assert limits_of(reply, 1000.0) == {A: {CLI: closed(2000.0)}}
