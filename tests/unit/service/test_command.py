"""`nightshift service`, on a machine whose systemd or launchd is played: here is none for a user."""

from __future__ import annotations

import plistlib
from typing import TYPE_CHECKING

import pytest

from app.settings import Settings
from ops.cli import main

if TYPE_CHECKING:
    from pathlib import Path

#: each writes down how it is called, and answers as the real one does: what is started is active
PLAYED = """\
#!/bin/sh
echo "${0##*/} $*" >> "$HOME/calls"
case "$*" in
*"show-environment") [ ! -e "$HOME/away" ] || { echo "Failed to connect to bus" >&2; exit 1; } ;;
*" restart "* | *" start "* | "bootstrap "*) touch "$HOME/active" ;;
*"disable --now"* | "bootout "*) rm -f "$HOME/active" ;;
*"is-active"*) [ -e "$HOME/active" ] && echo active || { echo inactive; exit 3; } ;;
"print gui/"*"/local.nightshift") [ -e "$HOME/active" ] || exit 113 ;;
"show-user"*) cat "$HOME/linger" 2> /dev/null || echo no ;;
esac
"""


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Of a user whose shell has a login and nothing else."""
    for name in Settings().to_environment():
        monkeypatch.delenv(name, raising=False)
    programs = tmp_path / "bin"
    programs.mkdir()
    for name in ("systemctl", "loginctl", "journalctl", "launchctl"):
        (programs / name).write_text(PLAYED)
        (programs / name).chmod(0o755)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("PATH", f"{programs}:/usr/bin:/bin")
    monkeypatch.delenv("XDG_CONFIG_HOME", raising=False)
    monkeypatch.setenv("ANTHROPIC_API_KEY", "sk-secret")
    monkeypatch.setattr("platform.system", lambda: "Linux")
    return tmp_path


def calls(home: Path) -> list[str]:
    """Since the last look, without the questions."""
    path = home / "calls"
    found = path.read_text().splitlines() if path.exists() else []
    path.unlink(missing_ok=True)
    asking = ("show-environment", "is-active", "show-user", "reset-failed", " print ")
    return [line.replace(" --user", "") for line in found if not any(one in line for one in asking)]


def test_systemd(home: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> None:
    """Installed, installed again, given another setting, looked at, removed."""
    unit, file = home / ".config/systemd/user/nightshift.service", home / ".config/nightshift/service.env"
    assert main.main(["service", "install", "--port", "9001"]) == 0
    start = ["systemctl daemon-reload", "systemctl enable nightshift.service"]
    assert calls(home) == [*start, "systemctl start nightshift.service"]
    assert 'ANTHROPIC_API_KEY="sk-secret"\n' in file.read_text() and 'NIGHTSHIFT_PORT="9001"\n' in file.read_text()
    assert (file.stat().st_mode & 0o777, file.parent.stat().st_mode & 0o777) == (0o600, 0o700)
    assert "sk-secret" not in unit.read_text()
    said = capfd.readouterr()
    assert "loginctl enable-linger" in said.err and "sk-secret" not in said.err + said.out

    (home / "linger").write_text("yes\n")
    assert main.main(["service", "install", "--port", "9001"]) == 0
    assert calls(home) == [*start, "systemctl start nightshift.service"]
    said = capfd.readouterr()
    assert "Nothing has changed" in said.err and "linger" not in said.err

    monkeypatch.delenv("ANTHROPIC_API_KEY")
    monkeypatch.setenv("CLAUDE_CODE_OAUTH_TOKEN", "other")
    assert main.main(["service", "install", "--port", "9001"]) == 0
    assert calls(home)[-1] == "systemctl restart nightshift.service"
    assert "No longer among them, since this shell has none: ANTHROPIC_API_KEY" in capfd.readouterr().err

    assert main.main(["service", "status"]) == 0
    assert main.main(["service", "logs", "-n", "5", "-f"]) == 0
    assert calls(home) == [
        "systemctl status --no-pager nightshift.service",
        "journalctl --unit nightshift.service --lines 5 --output cat --follow",
    ]
    assert main.main(["service", "uninstall"]) == 0
    assert calls(home) == ["systemctl disable --now nightshift.service", "systemctl daemon-reload"]
    assert not unit.exists() and not file.exists()
    assert main.main(["service", "uninstall"]) == 0
    assert main.main(["service", "status"]) == 1
    assert "No service is installed" in capfd.readouterr().err


def test_launchd(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same on macOS, where an agent that is given another setting is loaded anew."""
    monkeypatch.setattr("platform.system", lambda: "Darwin")
    agent = home / "Library/LaunchAgents/local.nightshift.plist"
    assert main.main(["service", "install"]) == 0
    assert [call.split()[1] for call in calls(home)] == ["enable", "bootstrap", "kickstart"]
    assert plistlib.loads(agent.read_bytes())["Label"] == "local.nightshift"
    assert main.main(["service", "install", "--workers", "1"]) == 0
    assert main.main(["service", "uninstall"]) == 0
    assert [call.split()[1] for call in calls(home)] == ["bootout", "enable", "bootstrap", "kickstart", "bootout"]
    assert not agent.exists()


def test_print_changes_nothing(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """It names the variables, and shows no value."""
    assert main.main(["service", "install", "--print"]) == 0
    shown = capsys.readouterr().out
    assert "ExecStart=" in shown and "#   ANTHROPIC_API_KEY" in shown and "sk-secret" not in shown
    assert not (home / ".config").exists() and not (home / ".nightshift").exists() and calls(home) == []


def test_where_systemd_runs_nothing_for_the_user(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """It says what to do, and leaves nothing."""
    (home / "away").touch()
    assert main.main(["service", "install"]) == 1
    said = capsys.readouterr().err
    assert "Failed to connect to bus" in said and "run `nightshift up` itself" in said
    assert not (home / ".config").exists()


def test_what_up_would_refuse_is_refused(
    home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Here, and not in a log that nobody reads."""
    assert main.main(["service", "install", "--host", "0.0.0.0"]) == 2
    monkeypatch.delenv("ANTHROPIC_API_KEY")
    assert main.main(["service", "install"]) == 2
    assert "There is no login for Claude" in capsys.readouterr().err
    assert calls(home) == []


def test_another_system(home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr("platform.system", lambda: "FreeBSD")
    assert main.main(["service", "install"]) == 1
    assert "FreeBSD has neither" in capsys.readouterr().err
    assert calls(home) == []
