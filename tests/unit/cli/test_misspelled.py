"""Variables that look like settings and are none."""

from __future__ import annotations

import pytest

from app.settings import Settings
from ops.cli import main, misspelled


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("NIGHTSHIFT_WORKER", "NIGHTSHIFT_WORKERS"),
        ("NIGHTSHIFT_MAX_RSS", "NIGHTSHIFT_MAX_RSS_MB"),
        ("NIGHTSHIFT_APIKEYS", "NIGHTSHIFT_API_KEYS"),
        ("NIGHTSHIFT_REDIS_URL", "REDIS_URL"),
        ("NIGTHSHIFT_WORKERS", "NIGHTSHIFT_WORKERS"),
        ("nightshift_port", "NIGHTSHIFT_PORT"),
        ("NIGHTSHIFT_LOGLEVEL", "NIGHTSHIFT_LOG_LEVEL"),
        ("NIGHTSHIFT_ULR", "NIGHTSHIFT_URL"),
    ],
)
def test_a_near_miss_is_told_with_the_name_that_was_meant(name: str, meant: str) -> None:
    """The sentence has both names."""
    assert list(misspelled.complaints({name: "1"})) == [
        f"{name} is not a setting, and has no effect. Did you mean {meant}?"
    ]


def test_a_name_like_no_other_is_told_alone() -> None:
    """There is nothing to suggest."""
    assert list(misspelled.complaints({"NIGHTSHIFT_Q": "1"})) == ["NIGHTSHIFT_Q is not a setting, and has no effect."]


def test_what_is_a_setting_or_somebody_elses_is_no_typo() -> None:
    """All that a supervisor hands to its children, and what other programs read."""
    others = ("PATH", "HOME", "REDIS_PORT", "ANTHROPIC_API_KEY", "NIGHTSHIFT_PYTHON", "NIGHTSHIFT_URL", "SHIFT_PORT")
    assert not list(misspelled.complaints(Settings().to_environment() | dict.fromkeys(others, "1")))


def test_commands_warn_and_go_on(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """The warning is on standard error, and the command does what it is for."""
    monkeypatch.setenv("NIGHTSHIFT_WORKER", "3")
    assert main.main(["version"]) == 0
    shown = capsys.readouterr()
    assert shown.err == (
        "nightshift: warning: NIGHTSHIFT_WORKER is not a setting, and has no effect. Did you mean NIGHTSHIFT_WORKERS?\n"
    )
    assert shown.out.startswith("nightshift ")
