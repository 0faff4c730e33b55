"""Which requests a closing holds."""

from __future__ import annotations

import pytest

from app.scopes import SCOPES, Scope, family_of, scope_of_limit, scopes_of
from app.ways import Way


@pytest.mark.parametrize(
    ("model", "family"),
    [
        ("claude-opus-4-5", "opus"),
        ("sonnet", "sonnet"),
        ("claude-3-5-haiku-20241022", "haiku"),
        ("anthropic.claude-Sonnet-4-5[1m]", "sonnet"),
        ("claude-fable-5", "fable"),
        ("a-model-behind-a-gateway", ""),
    ],
)
def test_a_models_name_tells_its_family(model: str, family: str) -> None:
    """Ids, aliases and a provider's spelling; another name has none."""
    assert family_of(model) == family


@pytest.mark.parametrize(
    ("limit", "family"),
    [
        ("five_hour", ""),
        ("seven_day", ""),
        ("overage", ""),
        ("a_limit_of_next_year", ""),
        ("seven_day_opus", "opus"),
        ("seven_day_sonnet", "sonnet"),
        ("seven_day_overage_included", "fable"),
    ],
)
def test_a_limits_name_tells_what_it_holds(limit: str, family: str) -> None:
    """One that is not known holds all: nothing is asked for that it may refuse."""
    assert scope_of_limit(Way.CLI, limit) == Scope(Way.CLI, family)


def test_a_request_is_held_by_its_family_and_by_its_way() -> None:
    """The widest first; a model of no family by its way alone."""
    assert scopes_of(Way.API, "opus") == (Scope(Way.API), Scope(Way.API, "opus"))
    assert scopes_of(Way.API, "") == (Scope(Way.API),)
    assert [str(scope) for scope in scopes_of(Way.CLI, "haiku")] == ["cli", "cli:haiku"]


def test_each_scope_has_keys_of_its_own() -> None:
    """All of `cli` has the names of version 0.1.0, whose workers look there."""
    assert Scope(Way.CLI).key == "nightshift:gate"
    keys = [key for scope in SCOPES for key in (scope.key, scope.probe_key, scope.overloads_key)]
    assert len(set(keys)) == 3 * len(SCOPES)
