"""Which login is in use, and what a process with it gets to see."""

from __future__ import annotations

import json
from pathlib import Path
from types import MappingProxyType

import pytest

from app.login import Login, login_in_use
from app.settings import Settings
from workers.claude.environment import surroundings
from workers.claude.profile import Profile, Prompt

KEY = Login("api_key", "")


def settings(environ: dict[str, str], home: Path) -> Settings:
    return Settings(claude_environment=MappingProxyType(environ), claude_home=home)


@pytest.mark.parametrize(
    ("environ", "kind"),
    [
        ({}, None),
        ({"ANTHROPIC_API_KEY": ""}, None),
        ({"ANTHROPIC_API_KEY": "k"}, "api_key"),
        ({"ANTHROPIC_API_KEY": "k", "ANTHROPIC_AUTH_TOKEN": "t"}, "auth_token"),
        ({"CLAUDE_CODE_OAUTH_TOKEN": "t", "ANTHROPIC_API_KEY": "k"}, "api_key"),
        ({"CLAUDE_CODE_OAUTH_TOKEN": "t"}, "oauth_token"),
        ({"CLAUDE_CODE_USE_BEDROCK": "1", "ANTHROPIC_API_KEY": "k"}, "bedrock"),
        ({"CLAUDE_CODE_USE_BEDROCK": "0", "ANTHROPIC_API_KEY": "k"}, "api_key"),
        ({"CLAUDE_CODE_USE_VERTEX": "true"}, "vertex"),
    ],
)
def test_variables_decide_in_the_clis_order(environ: dict[str, str], kind: str | None, tmp_path: Path) -> None:
    """A provider, a bearer token, a key, a setup-token; an empty variable is none; no secret is told."""
    found = login_in_use(settings(environ, tmp_path))
    assert (found and found.kind) == kind
    assert found is None or found.allows_bare is (kind != "oauth_token")


def test_the_users_own_login(tmp_path: Path) -> None:
    """A logged-in home counts when no variable decides, and runs without `--bare`."""
    (tmp_path / ".credentials.json").write_text("{}")
    found = login_in_use(settings({}, tmp_path))
    assert found is not None
    assert found.kind == "claude_home"
    assert not found.allows_bare


def test_the_users_directory_is_shared_never_copied(tmp_path: Path) -> None:
    """Its refresh token rotates: two copies would log each other out."""
    around = surroundings(settings({}, tmp_path), Login("claude_home", ""), Profile(), tmp_path / "private")
    assert around.variables["CLAUDE_CONFIG_DIR"] == str(tmp_path)
    default = surroundings(
        settings({}, Path("~/.claude").expanduser()), Login("claude_home", ""), Profile(), tmp_path / "private"
    )
    assert "CLAUDE_CONFIG_DIR" not in default.variables
    assert default.variables["HOME"] == str(Path.home())


def test_system_text_goes_alone_where_the_login_permits() -> None:
    """With a key it replaces the whole slot, turn by turn; a subscription's process is started with it."""
    profile, prompt = Profile(system="text"), Prompt("hi", fields={"top_p": 1})
    body = json.loads(prompt.in_body("text", is_bare=True))
    assert ([block["text"] for block in body["system"]], body["top_p"]) == (["text"], 1)
    assert profile.at_launch(is_bare=True) == Profile()
    assert json.loads(prompt.in_body("text", is_bare=False)).keys() == {"top_p", "messages"}
    assert profile.at_launch(is_bare=False) == profile


def test_a_thinking_profile_does_not_turn_thinking_off(tmp_path: Path) -> None:
    """Off unless asked for."""
    off = surroundings(settings({}, tmp_path), KEY, Profile(), tmp_path).variables
    on = surroundings(settings({}, tmp_path), KEY, Profile(thinking_tokens=2000), tmp_path).variables
    assert off["CLAUDE_CODE_DISABLE_THINKING"] == "1"
    assert "CLAUDE_CODE_DISABLE_THINKING" not in on
