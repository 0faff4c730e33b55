"""Settings as variables: what is read, what is refused, and what a child reads of its parent's."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path

import pytest

from app import environment
from app.settings import Settings, SettingsError


@pytest.mark.parametrize(
    ("name", "text", "takes"),
    [
        ("NIGHTSHIFT_WORKERS", "two", "takes a whole number$"),
        ("NIGHTSHIFT_LEASE_SECONDS", "ten", "takes a number$"),
        ("NIGHTSHIFT_MODEL_MAP", "gpt-4o=opus", "takes a JSON object of names"),
        ("NIGHTSHIFT_STALL_SECONDS", "-1", "must not be negative"),
        ("NIGHTSHIFT_OFFLINE", "maybe", "takes 1 or 0"),
        ("NIGHTSHIFT_MODEL_MAP", '{"gpt-4o": 1}', "takes a JSON object of names"),
        ("NIGHTSHIFT_DATA_DIR", "~nobody-at-all/x", "no home directory.*set HOME"),
        ("NIGHTSHIFT_ISOLATION", "none", "takes one of .*reset.*process"),
    ],
)
def test_what_is_not_understood_is_refused(name: str, text: str, takes: str) -> None:
    """The message names the variable and what it takes."""
    with pytest.raises(SettingsError, match=f"^{name}=.*{takes}"):
        Settings.from_environment({name: text})


@pytest.mark.parametrize("text", ["NaN", "inf"])
@pytest.mark.parametrize("name", [f.name for f in fields(Settings) if f.type == "float"])
def test_no_setting_is_nan_or_infinite(name: str, text: str) -> None:
    """Neither is a number for any setting that may have a fraction."""
    variable = f"NIGHTSHIFT_{name.upper()}"
    with pytest.raises(SettingsError, match=f"^{variable}='{text}' is not understood: takes a number"):
        Settings.from_environment({variable: text})


def test_a_level_is_read_in_either_case() -> None:
    """`NIGHTSHIFT_LOG_LEVEL=WARNING`, as logging spells it."""
    assert Settings.from_environment({"NIGHTSHIFT_LOG_LEVEL": "WARNING"}).log_level == "warning"


def test_a_child_reads_what_its_parent_has() -> None:
    """Each type of field survives the way through the variables."""
    settings = Settings(
        data_dir=Path("/somewhere"),
        redis_url="unix:///x",
        workers=7,
        stall_seconds=1.5,
        offline=True,
        isolation="process",
        api_keys=("one", "two"),
        model_map={"gpt-4o": "opus", "gpt-*": "sonnet", "gpt-5": ""},
        default_model="haiku",
        otlp_endpoint="http://127.0.0.1:4318",
    )
    assert Settings.from_environment(settings.to_environment()) == settings


def test_claude_sees_what_is_its_own() -> None:
    """Names are taken whole or by their prefix; all else stays outside."""
    own = {"ANTHROPIC_API_KEY": "key", "AWS_REGION": "eu", "PATH": "/bin"}
    storage = {"NIGHTSHIFT_STORAGE": "s3://bucket/prefix", "CLAUDE_CODE_USE_BEDROCK": ""}
    assert "AWS_REGION" not in environment.for_claude(own | storage)
    assert "AWS_REGION" in environment.for_claude(own | storage | {"CLAUDE_CODE_USE_BEDROCK": "1"})
    assert environment.for_claude(own | {"PATHS": "/", "OPENAI_API_KEY": "k", "MY_AWS_REGION": "eu"}) == own
