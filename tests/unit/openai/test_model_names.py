"""Which Claude model a client's name for it means."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from app.errors import ErrorReply
from app.openai.model_names import ALIASES, CLAUDE_MODELS, DEFAULT_NAMES, listed, resolve
from app.settings import Settings, SettingsError

PAGE = Path(__file__).parents[3] / "docs/requests.md"
MAPPED = Settings(
    model_map={
        "gpt-5*": "first-pattern",
        "gpt-5-mini": "exact",
        "gpt-*": "second-pattern",
        "claude-3-*": "haiku",
        "mine[1m]": "opus",
        "gpt-4": "",
        "secret-?": "",
    },
    models=("team-model",),
)


@pytest.mark.parametrize(
    ("name", "model"),
    [
        # As they come from clients whose user has chosen no model.
        ("gpt-6-luna", "haiku"),
        ("gpt-5.6-luna", "haiku"),
        ("gpt-5-mini", "haiku"),
        ("gpt-5.4-nano", "haiku"),
        ("gpt-4.1-mini", "haiku"),
        ("gpt-4o-mini", "haiku"),
        ("gpt-3.5-turbo", "haiku"),
        ("gpt-3.5-turbo-instruct", "haiku"),
        ("gpt-4o", "sonnet"),
        ("gpt-4.1", "sonnet"),
        ("gpt-5", "opus"),
        # A version's date changes nothing.
        ("gpt-4.1-mini-2025-04-14", "haiku"),
        ("gpt-4o-2024-08-06", "sonnet"),
        # Claude's own.
        ("haiku", "haiku"),
        ("claude-sonnet-4-5[1m]", "claude-sonnet-4-5[1m]"),
    ],
)
def test_names_that_are_known_without_a_setting(name: str, model: str) -> None:
    """Names that clients send unasked mean the Claude model of the nearest size."""
    assert resolve(name, Settings()) == model


@pytest.mark.parametrize(
    ("name", "model"),
    [
        ("gpt-5-mini", "exact"),
        ("gpt-5-nano", "first-pattern"),
        ("gpt-4o", "second-pattern"),
        ("gpt-4o-2024-08-06", "second-pattern"),
        ("claude-3-5-sonnet-latest", "haiku"),
        ("claude-opus-4-5", "claude-opus-4-5"),
        ("mine[1m]", "opus"),
        ("team-model", "team-model"),
        ("sonnet", "sonnet"),
    ],
)
def test_the_map_goes_before_what_is_known(name: str, model: str) -> None:
    """Exact names first, then patterns in their order; both win over the defaults, which stay for all others."""
    assert resolve(name, MAPPED) == model


@pytest.mark.parametrize("name", ["gpt-4", "secret-1", "mine1", "llama", "", "GPT-4O-MINI "])
def test_other_names_are_not_found(name: str) -> None:
    """Names that nobody knows, and those that the map takes away, are OpenAI's 404."""
    with pytest.raises(ErrorReply) as caught:
        resolve(name, MAPPED)
    assert (caught.value.status, caught.value.code, caught.value.param) == (404, "model_not_found", "model")


def test_a_default_model_answers_for_all_others() -> None:
    """It takes what nothing else knows, and no name that the map has taken away."""
    settings = Settings(default_model="haiku", model_map={"gpt-4": ""})
    assert resolve("llama-3.3-70b", settings) == "haiku"
    assert resolve("gpt-5", settings) == "opus"
    with pytest.raises(ErrorReply):
        resolve("gpt-4", settings)


def test_stars_in_the_map_stay_out_of_claudes_names() -> None:
    """`*` means everything that is not a name by itself: haiku, sonnet, opus stay what they are."""
    settings = Settings(model_map={"*": "sonnet"})
    assert [resolve(name, settings) for name in (*ALIASES, "anything")] == [*ALIASES, "sonnet"]


def test_the_list_has_names_that_can_be_asked_for() -> None:
    """Claude's first, each once, without patterns and what was taken away; every name of it resolves."""
    names = list(listed(MAPPED))
    assert names[: len(CLAUDE_MODELS)] == list(CLAUDE_MODELS)
    assert len(set(names)) == len(names)
    assert {"mine[1m]", "team-model", "gpt-5-mini", "gpt-4o"} < set(names)
    assert not {"gpt-4", "gpt-5*", "secret-?"} & set(names)
    assert all(resolve(name, MAPPED) for name in names)


def test_the_readme_names_all_defaults() -> None:
    """Its table of models is the code's."""
    rows = re.findall(r"^\| (`gpt-.*`) \| `(\w+)` \|$", PAGE.read_text(), re.MULTILINE)
    named = {name: model for names, model in rows for name in re.findall(r"`([^`]+)`", names)}
    assert named == dict(DEFAULT_NAMES)


def test_a_map_that_names_no_models_is_refused() -> None:
    """Anything but a JSON object of names is a fault of the setting."""
    with pytest.raises(SettingsError, match="NIGHTSHIFT_MODEL_MAP"):
        Settings.from_environment({"NIGHTSHIFT_MODEL_MAP": "gpt-4o=sonnet"})
