"""`scripts/audit`: what it makes of pip-audit's report. That needs no database."""

from __future__ import annotations

import subprocess
import sys
from datetime import date
from importlib.machinery import SourceFileLoader
from importlib.util import module_from_spec, spec_from_loader
from pathlib import Path
from typing import Any

import pytest

SCRIPT = Path(__file__).parents[2] / "scripts" / "audit"
TODAY = date(2026, 11, 28)


def script() -> Any:
    """The script as a module."""
    loader = SourceFileLoader("audit_script", str(SCRIPT))
    spec = spec_from_loader(loader.name, loader)
    assert spec is not None
    module = module_from_spec(spec)
    sys.modules[loader.name] = module
    loader.exec_module(module)
    return module


def report(*packages: dict[str, Any]) -> dict[str, Any]:
    return {"dependencies": [{"name": "quiet", "version": "1", "vulns": []}, *packages]}


HOLE = {
    "name": "open",
    "version": "2",
    "vulns": [{"id": "GHSA-1", "aliases": ["CVE-1"], "fix_versions": ["3"], "description": ""}],
}


@pytest.mark.parametrize(
    ("accepted", "wrong"),
    [
        ("", "open 2: CVE-1, GHSA-1. Mended in: 3"),
        ("CVE-1 2026-11-27 why", "open 2: CVE-1, GHSA-1. Its exception ended on 2026-11-27"),
        ("CVE-1 2026-11-28 why", ""),
        ("# a comment\n\nGHSA-1 2027-01-01 why it does no harm", ""),
    ],
)
def test_a_hole_is_wrong_unless_it_is_accepted_until_later(accepted: str, wrong: str) -> None:
    """By any of its names, with a day and a reason."""
    audit = script()
    found, _ = audit.judge(report(HOLE), audit.read_exceptions(accepted), TODAY)
    assert found == ([wrong] if wrong else [])


def test_what_was_not_looked_up_is_wrong() -> None:
    """pip-audit ends well when it has looked up nothing at all."""
    audit = script()
    found, _ = audit.judge(report({"name": "lost", "skip_reason": "not found"}), [], TODAY)
    assert found == ["lost was not looked up: not found"]


def test_an_exception_that_nothing_needs_is_named() -> None:
    """So that it can be removed."""
    audit = script()
    assert audit.judge(report(), audit.read_exceptions("CVE-9 2027-01-01 why"), TODAY) == (
        [],
        ["CVE-9 is in audit-exceptions.txt, and is not found any more"],
    )


@pytest.mark.parametrize("line", ["CVE-1", "CVE-1 tomorrow why", "CVE-1 2027-01-01"])
def test_a_line_that_is_not_understood_is_named(line: str) -> None:
    """With its number."""
    with pytest.raises(ValueError, match=r"audit-exceptions\.txt, line 2: write ID YYYY-MM-DD REASON"):
        script().read_exceptions(f"# first\n{line}")


def test_a_database_that_is_away_is_said_and_fails_nothing_in_ci() -> None:
    """By its name, before anything is installed."""
    for option, status in (([], 3), (["--if-reached"], 0)):
        command = [sys.executable, str(SCRIPT), *option]
        env = {"PATH": "/usr/bin:/bin", "OSV_URL": "http://127.0.0.1:9/"}
        done = subprocess.run(command, env=env, capture_output=True, text=True, check=False)
        assert done.returncode == status
        assert "SKIPPED, nothing was looked up: http://127.0.0.1:9/ can't be reached" in done.stderr
