"""The one list of error codes, and that nothing else knows one of its own."""

from __future__ import annotations

import re
from pathlib import Path

from app.error_codes import ErrorCode, ErrorType, known
from app.tally import CANCELLED, COMPLETED

ROOT = Path(__file__).parents[2]


def test_every_code_is_some_errors() -> None:
    """The list, and the table in the docs that is made of it, names no code that no error has."""
    sources = [path for part in ("app", "api", "ops", "workers") for path in (ROOT / part).rglob("*.py")]
    used = {name for path in sources for name in re.findall(r"ErrorCode\.([A-Z_]+)", path.read_text())}
    by_name = {"RANGE_NOT_SATISFIABLE"}  # Flask's own, found by the text that it has for it
    assert {code.name for code in ErrorCode} - used == by_name


def test_codes_are_read_back_from_their_text() -> None:
    """What is stored as text is a member again; what is none is nobody's."""
    assert all(known(str(code)) is code for code in ErrorCode)
    assert all(known(str(one)) == one for one in ErrorType)
    assert known("made_up") is None
    assert known(None) is None


def test_the_alert_spares_what_nobody_failed_at() -> None:
    """The rule about failures leaves out what was answered or not wanted any more, by the counters' own list."""
    rules = (ROOT / "deploy" / "alerts.yml").read_text()
    spared = re.findall(r'nightshift_requests_total\{outcome!~"([^"]*)"', rules)
    assert spared
    assert all(set(one.split("|")) == {COMPLETED, *CANCELLED} for one in spared)
