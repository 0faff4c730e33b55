"""An agent of launchd, on macOS."""

from __future__ import annotations

import os
import plistlib
from typing import TYPE_CHECKING

from ops.service.plan import ask, must

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ops.service.plan import Plan

LABEL = "local.nightshift"
#: launchd reads no file of variables, and everybody can read an agent: so a shell does. $0 is the file
_WITH_ENVIRONMENT = 'set -a; . "$0"; set +a; exec "$@"'


def agent(plan: Plan) -> bytes:
    """The property list."""
    log = str(plan.data_dir / "service.log")
    return plistlib.dumps(
        {
            "Label": LABEL,
            "ProgramArguments": ["/bin/sh", "-c", _WITH_ENVIRONMENT, str(plan.environment_file), *plan.command],
            "WorkingDirectory": str(plan.home),
            "RunAtLoad": True,
            # Not after `nightshift stop`.
            "KeepAlive": {"SuccessfulExit": False},
            "ThrottleInterval": 30,
            # A background process gets a fiftieth of a CPU's time while somebody else wants it.
            "ProcessType": "Interactive",
            "ExitTimeOut": 30,
            "Umask": 0o077,
            "StandardOutPath": log,
            "StandardErrorPath": log,
        }
    )


class Launchd:
    """The user's domain of the graphical session."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self.path = plan.home / "Library" / "LaunchAgents" / f"{LABEL}.plist"
        self._domain = f"gui/{os.getuid()}"
        self._service = f"{self._domain}/{LABEL}"

    @property
    def definition(self) -> str:
        """The property list, as XML."""
        return agent(self._plan).decode()

    def check(self) -> None:
        """Raises `StackError` where nobody is logged in at the screen, whose processes agents are."""
        must("launchctl", "print", self._domain)

    def is_active(self) -> bool:
        """Whether it is loaded."""
        return ask("launchctl", "print", self._service).returncode == 0

    def start(self, *, is_changed: bool) -> None:
        """Now, and at each login."""
        if is_changed and self.is_active():
            must("launchctl", "bootout", self._service)
        must("launchctl", "enable", self._service)
        if not self.is_active():
            must("launchctl", "bootstrap", self._domain, str(self.path))
        must("launchctl", "kickstart", self._service)

    def stop(self) -> None:
        """And no more."""
        if self.is_active():
            must("launchctl", "bootout", self._service)

    def forgotten(self) -> None:
        """Nothing else knows of it."""

    def hints(self) -> list[str]:
        """An agent belongs to a session."""
        return ["It ends when you log out, and starts when you log in.", "Its log only grows: remove it now and then."]

    def status_command(self) -> Sequence[str]:
        """Of launchd."""
        return ("launchctl", "print", self._service)

    def logs_command(self, lines: int, *, follow: bool) -> Sequence[str]:
        """The file that it writes."""
        return ("tail", "-n", str(lines), *(["-F"] if follow else []), str(self._plan.data_dir / "service.log"))
