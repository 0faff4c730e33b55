"""The environment of a service: what of the user's own matters to it, as a file that systemd and a shell read alike."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from app import environment, settings
from ops.supervisor.data_dir import absolute

if TYPE_CHECKING:
    from collections.abc import Mapping

    from app.settings import Settings

#: beside the settings and what Claude may see
_OTHERS = ("CLAUDE_CONFIG_DIR",)
_PREFIXES = ("OTEL_",)
#: set by `nightshift` for its children
_NOT_KEPT = ("NIGHTSHIFT_SUPERVISOR_PID",)
_ESCAPED = re.compile(r'([\\"`$])')
_LINE = re.compile(r'(\w+)="')


def kept(environ: Mapping[str, str], found: Settings, given: Mapping[str, object]) -> dict[str, str]:
    """The variables that make a service what `nightshift up` would be here. `given`: options, by the names of settings."""
    names = settings.variables() | environment.for_claude(environ).keys() | set(_OTHERS)
    names |= {name for name in environ if name.startswith(_PREFIXES)}
    variables = {name: environ[name] for name in names - set(_NOT_KEPT) if environ.get(name)}
    spelled = found.to_environment()
    options = {f"NIGHTSHIFT_{name.upper()}" for name, value in given.items() if value is not None}
    variables |= {name: spelled[name] for name in options}
    # It is started elsewhere: a relative path would be another one.
    variables["NIGHTSHIFT_DATA_DIR"] = str(absolute(found.data_dir))
    if found.prices is not None:
        variables["NIGHTSHIFT_PRICES"] = str(absolute(found.prices))
    return dict(sorted(variables.items()))


def text(variables: Mapping[str, str]) -> str:
    """The file. In double quotes systemd and POSIX shells have the same escapes."""
    return "".join(f'{name}="{_ESCAPED.sub(_BACKSLASHED, value)}"\n' for name, value in variables.items())


def names(text: str) -> list[str]:
    """The variables that such a file has."""
    return [found[1] for line in text.splitlines() if (found := _LINE.match(line))]


_BACKSLASHED = r"\\\1"
