"""What a login is called where people look: the same on each machine, and of no use to whoever wants the login."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from app.login_label import label
from app.settings import Settings
from app.ways import Step, Way

if TYPE_CHECKING:
    from pathlib import Path

KEY = b"k" * 64


def of(environ: dict[str, str], way: Way = Way.CLI, key: bytes = KEY) -> str:
    settings = Settings.from_environment({"NIGHTSHIFT_DATA_DIR": "/d", "CLAUDE_CONFIG_DIR": "/nowhere", **environ})
    return label(settings, Step(way), key)


@pytest.mark.parametrize(
    ("variable", "kind"),
    [
        ("ANTHROPIC_API_KEY", "api_key"),
        ("ANTHROPIC_AUTH_TOKEN", "auth_token"),
        ("CLAUDE_CODE_OAUTH_TOKEN", "subscription"),
    ],
)
def test_a_login_of_a_variable(variable: str, kind: str) -> None:
    """Its kind and six letters, which another login does not have, nor this one under another key."""
    mine = of({variable: "secret-1"})
    name, letters = mine.split()
    assert (name, len(letters)) == (kind, 6)
    assert mine not in (of({variable: "secret-2"}), of({variable: "secret-1"}, key=b"another"))


def test_the_same_key_by_two_ways_is_one_login() -> None:
    assert of({"ANTHROPIC_API_KEY": "k"}, Way.API) == of({"ANTHROPIC_API_KEY": "k"}, Way.CLI)


def test_a_cloud_s_account() -> None:
    """What tells one from another there; the switch alone says nothing."""
    assert of({"CLAUDE_CODE_USE_BEDROCK": "1"}) == "bedrock"
    one, other = (of({"CLAUDE_CODE_USE_BEDROCK": "1", "AWS_ACCESS_KEY_ID": name}) for name in ("a", "b"))
    assert one.startswith("bedrock ") and one != other
    assert of({"CLAUDE_CODE_USE_VERTEX": "1", "ANTHROPIC_VERTEX_PROJECT_ID": "p"}).startswith("vertex ")


def test_the_login_that_claude_keeps_is_known_by_its_account(tmp_path: Path) -> None:
    """Its tokens are others on each machine, and are renewed."""

    def on(machine: str, account: object) -> str:
        home = tmp_path / machine
        home.mkdir()
        (home / ".credentials.json").write_text(json.dumps({"claudeAiOauth": {"accessToken": machine}}))
        (home / ".claude.json").write_text(json.dumps({"oauthAccount": account}))
        return of({"CLAUDE_CONFIG_DIR": str(home)})

    mine = {"accountUuid": "u-1", "organizationUuid": "o-1", "emailAddress": "me@example.com"}
    assert on("a", mine) == on("b", mine)
    assert on("c", {**mine, "accountUuid": "u-2"}) not in (on("d", mine), "subscription")
    assert on("e", None) == "subscription"


def test_no_login() -> None:
    assert of({}) == ""
