"""Rules: which one answers, and how often."""

from collections.abc import Callable
from typing import Any

import pytest

from simulator.message_request import MessageRequest
from simulator.rule_book import RuleBook
from simulator.rules import Rule, RuleError, parse_rules

MakeRequest = Callable[..., MessageRequest]


def book(*rules: dict[str, Any]) -> RuleBook:
    """Return a rule book of rules given as JSON objects."""
    return RuleBook([Rule.model_validate(rule) for rule in rules])


def ids(rules: RuleBook, request: MessageRequest, times: int) -> list[int | None]:
    """Return the ids of the rules that answer ``request``, ``times`` times over."""
    taken = [rules.take(request) for _ in range(times)]
    return [rule.id if rule else None for rule in taken]


def test_first_matching_rule_wins(make_request: MakeRequest) -> None:
    """Rules are tried in their order, and a rule that is used up makes room for the next."""
    rules = book({"match": {"contains": "other"}}, {"match": {"contains": "hell"}, "times": 2}, {})
    assert ids(rules, make_request("hello"), 4) == [2, 2, 3, 3]


def test_after_leaves_out_the_first(make_request: MakeRequest) -> None:
    """A rule with ``after`` lets that many matching requests pass."""
    assert ids(book({"after": 2, "times": 1}), make_request(), 4) == [None, None, 1, None]


def test_probability_is_seeded(make_request: MakeRequest) -> None:
    """The same seed takes the same requests, about the wanted share of them."""
    first, second = (ids(book({"probability": 0.3, "seed": 5}), make_request(), 1000) for _ in range(2))
    assert first == second
    assert 230 < first.count(1) < 370


@pytest.mark.parametrize(
    ("match", "fits"),
    [
        ({"model": "claude-test"}, True),
        ({"model": "claude"}, False),
        ({"system_contains": "terse"}, True),
        ({"system_contains": "hello"}, False),
        ({"header": {"X-Api-Key": "k"}}, True),
        ({"header": {"x-api-key": "other"}}, False),
        ({"header": {"authorization": None}}, True),
        ({"contains": "hello", "model": "no"}, False),
    ],
)
def test_match_fields(make_request: MakeRequest, match: dict[str, Any], fits: bool) -> None:
    """Every field that is given must fit."""
    request = make_request("hello", system="be terse", headers={"x-api-key": "k"})
    assert (book({"match": match}).take(request) is not None) is fits


def test_a_rule_that_calls_tools_is_over_with_their_results(make_request: MakeRequest) -> None:
    """The request that brings a tool's result is not answered with the same call again."""
    rules = book({"respond": {"tool_calls": [{"name": "f"}]}})
    result = {"type": "tool_result", "tool_use_id": "t", "content": "ok"}
    assert rules.take(make_request([result])) is None
    assert rules.take(make_request([{**result, "is_error": True}])) is not None


@pytest.mark.parametrize(
    ("data", "said"),
    [
        ("{", "not JSON"),
        ('{"match": {"contain": "x"}}', "match.contain"),
        ('{"respond": {"text": "a", "echo": true}}', "only one of these"),
        ('{"respond": {"error": {"status": 200}}}', "respond.error.status"),
        ('{"times": 0}', "times"),
    ],
)
def test_bad_rules_are_named(data: str, said: str) -> None:
    """A bad rule's error says which field is wrong."""
    with pytest.raises(RuleError, match=said):
        parse_rules(data)
