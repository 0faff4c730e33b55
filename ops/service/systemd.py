"""A user unit of systemd."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ops.service.plan import ask, must
from ops.supervisor.errors import StackError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from ops.service.plan import Plan

NAME = "nightshift.service"
_SYSTEMCTL = ("systemctl", "--user")
_NO_INSTANCE = """\
systemd runs nothing for this user here: {said}
- In a shell that was opened by `su` or `sudo`, log in as the user itself (`ssh`, `machinectl shell USER@`).
- Without any login of the user: `sudo loginctl enable-linger USER`, then log in again.
- In a container there is no systemd: run `nightshift up` itself."""
_UNIT = """\
# Made by `nightshift service install`, which writes it anew. Settings are in the environment file.
[Unit]
Description=Nightshift, an OpenAI-compatible gateway to Claude
# A start that fails five times in two minutes has a reason that a sixth won't change.
StartLimitIntervalSec=120
StartLimitBurst=5

[Service]
Type=exec
ExecStart={command}
EnvironmentFile={environment_file}
WorkingDirectory=~
UMask=0077
Restart=on-failure
RestartSec=5
# A setting that is wrong.
RestartPreventExitStatus=2
# It stops its own processes, and requeues what runs.
KillMode=mixed
TimeoutStopSec=30
# A worker that memory ran out for is replaced; by default systemd would stop everything.
OOMPolicy=continue

[Install]
WantedBy=default.target
"""


def unit(plan: Plan) -> str:
    """The unit."""
    return _UNIT.format(
        command=" ".join(map(_quoted, plan.command)),
        # The rest of the line, verbatim but for specifiers.
        environment_file=str(plan.environment_file).replace("%", "%%"),
    )


def _quoted(argument: str) -> str:
    """As ExecStart takes it, verbatim."""
    for mark, escaped in (("\\", "\\\\"), ('"', '\\"'), ("%", "%%"), ("$", "$$")):
        argument = argument.replace(mark, escaped)
    return f'"{argument}"'


class Systemd:
    """The user's own instance. `config`: where the user's configuration is."""

    def __init__(self, plan: Plan, config: Path) -> None:
        self._plan = plan
        self.path = config / "systemd" / "user" / NAME

    @property
    def definition(self) -> str:
        """The unit."""
        return unit(self._plan)

    def check(self) -> None:
        """Raises `StackError` without such an instance."""
        done = ask(*_SYSTEMCTL, "show-environment")
        if done.returncode:
            raise StackError(_NO_INSTANCE.format(said=done.stderr.strip() or f"exit status {done.returncode}"))

    def is_active(self) -> bool:
        """Whether it runs or is about to."""
        return ask(*_SYSTEMCTL, "is-active", NAME).stdout.strip() in (
            "active",
            "activating",
            "reloading",
            "deactivating",
        )

    def start(self, *, is_changed: bool) -> None:
        """Now, and whenever the instance starts."""
        must(*_SYSTEMCTL, "daemon-reload")
        must(*_SYSTEMCTL, "enable", NAME)
        # What failed too often is tried again.
        ask(*_SYSTEMCTL, "reset-failed", NAME)
        must(*_SYSTEMCTL, "restart" if is_changed else "start", NAME)

    def stop(self) -> None:
        """And no more."""
        must(*_SYSTEMCTL, "disable", "--now", NAME)

    def forgotten(self) -> None:
        """The instance forgets the unit, too."""
        must(*_SYSTEMCTL, "daemon-reload")
        ask(*_SYSTEMCTL, "reset-failed", NAME)

    def hints(self) -> list[str]:
        """Without lingering it ends with the user's last session."""
        if ask("loginctl", "show-user", "--property=Linger", "--value").stdout.strip() == "yes":
            return []
        return ["It ends when you log out. `loginctl enable-linger` keeps it running, and starts it at boot."]

    def status_command(self) -> Sequence[str]:
        """Of systemd."""
        return (*_SYSTEMCTL, "status", "--no-pager", NAME)

    def logs_command(self, lines: int, *, follow: bool) -> Sequence[str]:
        """The journal."""
        command = ("journalctl", "--user", "--unit", NAME, "--lines", str(lines), "--output", "cat")
        return (*command, "--follow") if follow else (*command, "--no-pager")
