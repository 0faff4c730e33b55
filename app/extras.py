"""What an installation may lack: the optional packages of `pyproject.toml`, and how a user adds them to this one."""

from __future__ import annotations

import importlib.util
import shlex
import sys

#: as it is known to pip; it is there already, so that no index is asked for it
DISTRIBUTION = "claude-nightshift"


def how_to_install(extra: str) -> str:
    """The command that adds an extra to the environment that runs this, be it a clone's, pipx' or uv's."""
    wanted = f"'{DISTRIBUTION}[{extra}]'"
    python = shlex.quote(sys.executable)
    # uv's environments have no pip.
    if importlib.util.find_spec("pip") is None:
        return f"uv pip install --python {python} {wanted}"
    return f"{python} -m pip install {wanted}"
