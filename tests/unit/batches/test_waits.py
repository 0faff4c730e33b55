"""The words for why a batch waits."""

from __future__ import annotations

import pytest

from app.batches import waits
from app.batches.record import Hold
from app.batches.waits import WAITS
from app.gate import Cause
from ops.cli.batch import watch


def test_whatever_a_batch_waits_for_has_words() -> None:
    assert set(WAITS) == {*Hold, *Cause}


@pytest.mark.parametrize("code", WAITS)
def test_they_fit_where_they_are_said(code: str) -> None:
    """After "waits: " and before "until", and what the command says then."""
    why = WAITS[code]
    assert not why.clause.endswith(".") and "until" not in why.clause
    said = watch.why({"id": "batch_1", "nightshift": {"waiting_for": code, "waiting_until": None}})
    assert said.startswith(f"waits: {why.clause}") and "{" not in said


def test_the_commands_words() -> None:
    """The time stands before the advice. Where the files are only the server knows, and so it does what a newer one waits for."""
    ours = {"waiting_for": "share", "waiting_until": 1.0, "waiting_reason": "It has used 30%."}
    said = watch.why({"id": "batch_1", "nightshift": ours})
    assert said.startswith("waits: its share of the usage window is used up until ")
    assert said.endswith(". To go on sooner: nightshift batch continue batch_1 --max-share SHARE%WINDOW")
    for code in ("files_elsewhere", "message_batches", "of_a_newer_version"):
        ours = {"waiting_for": code, "waiting_until": None, "waiting_reason": "It is so."}
        assert watch.why({"id": "batch_1", "nightshift": ours}) == "waits: It is so."
    assert waits.clause("of_a_newer_version") == "of a newer version"
