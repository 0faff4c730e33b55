"""`NIGHTSHIFT_MEMORY=frugal`: only with a CLI that is known to take it, and never at the price of a worker that can't start."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import psutil
import pytest

from workers.claude import cli, frugal

if TYPE_CHECKING:
    from pathlib import Path

    from tests.integration.claude.conftest import Make

NAME, VALUE = next(iter(frugal.VARIABLES.items()))


def environ(invoker_pid: int | None) -> dict[str, str]:
    return psutil.Process(invoker_pid).environ()


@pytest.mark.parametrize(("memory", "expected"), [("frugal", VALUE), ("speed", None)])
def test_the_bundled_cli_runs_so(make: Make, memory: str, expected: str | None) -> None:
    """The installed version is a known one, starts so, and answers."""
    invoker = make(memory=memory)
    assert invoker.ask("hi").text
    assert environ(invoker.status().pid).get(NAME) == expected
    assert frugal.fault(cli.bundled_cli()) == ""


def test_an_unknown_option_is_seen_before_it_ends_a_worker(
    make: Make, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A CLI that does not take the option says so at its start: it runs as in `speed`, and the log says so once."""
    monkeypatch.setattr(frugal, "VARIABLES", {"BUN_JSC_useNothingOfTheKind": "0"})
    frugal._fault.cache_clear()
    invoker = make(memory="frugal")
    with caplog.at_level(logging.WARNING):
        assert invoker.ask("hi").text
    assert "BUN_JSC_useNothingOfTheKind" not in environ(invoker.status().pid)
    frugal.fault(cli.bundled_cli())
    said = [record.getMessage() for record in caplog.records if record.getMessage().startswith("[MEMORY]")]
    assert len(said) == 1 and "does not start without its just-in-time compiler" in said[0]
    frugal._fault.cache_clear()


@pytest.mark.parametrize(
    ("script", "expected"),
    [
        ("echo '9.9.9 (Claude Code)'", "Claude's CLI 9.9.9"),
        ("exit 1", "does not start"),
        ("echo nothing", "does not start"),
        (f"echo '{frugal.KNOWN_VERSIONS[-1]} (Claude Code)'", ""),
        (f'test "${NAME}" = {VALUE} && echo {frugal.KNOWN_VERSIONS[0]}', ""),
    ],
)
def test_which_cli_is_taken(tmp_path: Path, script: str, expected: str) -> None:
    """One that starts so and says a known version; whatever else it says is named."""
    program = tmp_path / "claude"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o700)
    fault = frugal.fault(program)
    assert expected in fault and bool(fault) is bool(expected)


def test_an_updated_cli_is_looked_at_anew(tmp_path: Path) -> None:
    """The same path with another program is not taken for the old one; one that is gone is named."""
    program = tmp_path / "claude"
    program.write_text(f"#!/bin/sh\necho {frugal.KNOWN_VERSIONS[0]}\n")
    program.chmod(0o700)
    assert frugal.fault(program) == ""
    program.write_text("#!/bin/sh\necho 10.0.0\n")
    assert "10.0.0" in frugal.fault(program)
    program.unlink()
    assert str(program) in frugal.fault(program)
