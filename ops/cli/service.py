"""`nightshift service`: Nightshift as a service of its user, which outlives the terminal and starts by itself."""

from __future__ import annotations

import platform
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

from app import environment
from app.private_files import private, write_private
from app.settings import Settings
from ops.cli import options
from ops.cli.options import DataDir, Host, Port, Reserve, whole_number
from ops.service import variables
from ops.service.launchd import Launchd
from ops.service.plan import Plan
from ops.service.systemd import Systemd
from ops.supervisor.data_dir import DataDirLock, absolute, prepare
from ops.supervisor.errors import StackError

if TYPE_CHECKING:
    from ops.service.plan import Manager

_NONE = "No service is installed: there is no {}. `nightshift service install` makes one."


def install(
    *,
    host: Host = None,
    port: Port = None,
    workers: Annotated[
        int | None, Parameter(converter=whole_number(1, 256), help="workers, each with one Claude process (default 2)")
    ] = None,
    reserve: Reserve = None,
    data_dir: DataDir = None,
    offline: Annotated[bool | None, Parameter(help="simulate Claude's answers: needs no login and no network")] = None,
    print_: Annotated[
        bool, Parameter(("--print", "--dry-run"), help="print what would be written, and change nothing")
    ] = False,
) -> int:
    """Write it and start it, with the settings and the login of this shell; again, to give it others."""
    given: dict[str, Any] = {
        "host": host,
        "port": port,
        "workers": workers,
        "reserve": reserve,
        "data_dir": data_dir,
        "offline": offline,
    }
    settings = Settings.from_environment(**given)
    options.check_exposure(settings)
    if not settings.redis_url:
        options.check_reserve(settings)
    options.require_login(settings)
    settings = replace(settings, data_dir=absolute(settings.data_dir))
    plan, manager = _planned(settings)
    wanted = variables.kept(environment.variables(), settings, given)
    if print_:
        print(f"# {manager.path}\n{manager.definition}\n# {plan.environment_file}, for you alone, with the values of")
        print("\n".join(f"#   {name}" for name in wanted))
        return 0
    manager.check()
    is_active = manager.is_active()
    if not is_active and (pid := DataDirLock.holder(settings.data_dir)) is not None:
        raise StackError(f"Nightshift runs on {settings.data_dir} already, as process {pid}: `nightshift stop` first.")
    prepare(settings.data_dir)
    dropped = set(_variables_of(plan.environment_file)) - wanted.keys()
    private(plan.environment_file.parent)
    is_changed = _write(plan.environment_file, variables.text(wanted))
    manager.path.parent.mkdir(parents=True, exist_ok=True)
    is_changed = _write(manager.path, manager.definition) or is_changed
    manager.start(is_changed=is_changed and is_active)
    _say(f"{'Installed' if is_changed else 'Nothing has changed'}: {manager.path}")
    _say(f"Its settings and login, for you alone: {plan.environment_file} ({', '.join(wanted)})")
    if dropped:
        _say(f"No longer among them, since this shell has none: {', '.join(sorted(dropped))}")
    for hint in manager.hints():
        _say(hint)
    _say("`nightshift status` shows how it goes, `nightshift service logs -f` what it says.")
    return 0


def uninstall() -> int:
    """Stop it and remove it. The data dir stays, and what is queued with it."""
    plan, manager = _planned(Settings.from_environment())
    if not manager.path.exists():
        _say(_NONE.format(manager.path))
        plan.environment_file.unlink(missing_ok=True)
        return 0
    manager.check()
    manager.stop()
    manager.path.unlink()
    plan.environment_file.unlink(missing_ok=True)
    manager.forgotten()
    _say("Removed. What is queued goes on when Nightshift is started again.")
    return 0


def status() -> int:
    """Show what the system says of it; its exit status."""
    return subprocess.call(_installed().status_command())


def logs(
    *,
    lines: Annotated[int, Parameter(("--lines", "-n"), help="how many (default 100)")] = 100,
    follow: Annotated[bool, Parameter(("--follow", "-f"), help="and what comes, until Ctrl-C")] = False,
) -> int:
    """Show what it has said."""
    return subprocess.call(_installed().logs_command(lines, follow=follow))


def _installed() -> Manager:
    _, manager = _planned(Settings.from_environment())
    if not manager.path.exists():
        raise StackError(_NONE.format(manager.path))
    return manager


def _planned(settings: Settings) -> tuple[Plan, Manager]:
    environ = environment.variables()
    home = environment.home_path("~")
    config = Path(environ.get("XDG_CONFIG_HOME") or home / ".config")
    plan = Plan(_command(), config / "nightshift" / "service.env", absolute(settings.data_dir), home)
    system = platform.system()
    if system == "Darwin":
        return plan, Launchd(plan)
    if system == "Linux":
        return plan, Systemd(plan, config)
    raise StackError(f"A service is one of systemd or launchd; {system} has neither.")


def _command() -> list[str]:
    """`nightshift up` of this installation, from anywhere."""
    return [sys.executable, "-P", "-m", "ops.cli.main", "up"]


def _variables_of(path: Path) -> list[str]:
    return variables.names(path.read_text()) if path.exists() else []


def _write(path: Path, text: str) -> bool:
    """Whether it was another text before."""
    if path.exists() and path.read_text() == text:
        return False
    write_private(path, text)
    return True


def _say(line: str) -> None:
    print(line, file=sys.stderr)
