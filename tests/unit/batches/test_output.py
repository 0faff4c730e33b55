"""What a line of an output or error file has beside OpenAI's fields."""

from __future__ import annotations

import json
from typing import Any

import pytest

from app import errors
from app.batches.output import ended
from app.outcome import COST_HEADER, WAY_HEADER, Outcome

BODY: dict[str, Any] = {"object": "chat.completion", "usage": {}}


@pytest.mark.parametrize(
    ("headers", "ours"),
    [
        ({WAY_HEADER: "batches", COST_HEADER: "0.5"}, {"way": "batches", "cost_usd": 0.5}),
        ({WAY_HEADER: "cli"}, {"way": "cli", "cost_usd": None}),
    ],
)
@pytest.mark.parametrize("error", [None, errors.internal()])
def test_it_says_which_way_it_came_and_what_it_cost(
    headers: dict[str, str], ours: dict[str, Any], error: errors.ErrorReply | None
) -> None:
    outcome = Outcome(body=None if error else BODY, error=error, headers=headers)
    line = json.loads(ended("batch_req_1", "a", "req_1", outcome).text)
    assert line["nightshift"] == ours
    assert line.keys() - {"nightshift"} == {"id", "custom_id", "response", "error"}


def test_where_nobody_was_asked_it_has_openais_fields_alone() -> None:
    line = json.loads(ended("batch_req_1", "a", "req_1", Outcome(error=errors.internal())).text)
    assert line.keys() == {"id", "custom_id", "response", "error"}
