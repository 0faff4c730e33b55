"""`NIGHTSHIFT_MEMORY=frugal`: Claude's CLI without its just-in-time compiler, which takes two fifths of its memory.

Its engine promises nothing about such options, and one that it does not know ends it at once. So it is used with versions of the CLI that it
was measured with, after the installed one has been seen to start so.
"""

from __future__ import annotations

import logging
import re
import subprocess
from functools import lru_cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

log = logging.getLogger(__name__)

VARIABLES = {"BUN_JSC_useJIT": "0"}
#: of the CLI, those with which it was measured (docs/benchmarks.md)
KNOWN_VERSIONS = ("2.1.330", "2.1.332")
#: it says its version in a tenth of a second; a cold disk takes many
_SECONDS = 30.0
_VERSION = re.compile(r"\d+\.\d+\.\d+")


def variables(program: Path) -> dict[str, str]:
    """What to add to the environment of this CLI; nothing where it can't be run so, which the log says once. May take a while."""
    return {} if fault(program) else dict(VARIABLES)


def fault(program: Path) -> str:
    """Why this CLI is not run so; empty: it can be. May take a while, the first time."""
    try:
        found = program.stat()
    except OSError as error:
        return f"{program}: {error.strerror}"
    # Another one, after an update, is looked at anew.
    return _fault(program, found.st_mtime_ns, found.st_size)


@lru_cache(maxsize=4)
def _fault(program: Path, _changed_ns: int, _size: int) -> str:
    why = _tried(program)
    if why:
        log.warning("[MEMORY] NIGHTSHIFT_MEMORY=frugal has no effect (speed is used): %s", why)
    return why


def _tried(program: Path) -> str:
    argv = [str(program), "--version"]
    try:
        done = subprocess.run(
            argv, env=VARIABLES, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=_SECONDS, check=False
        )
    except (OSError, subprocess.SubprocessError) as error:
        return f"Claude's CLI could not be asked for its version ({type(error).__name__})"
    version = _VERSION.search(done.stdout)
    if done.returncode != 0 or version is None:
        return "Claude's CLI does not start without its just-in-time compiler"
    if version[0] not in KNOWN_VERSIONS:
        return f"it is not known how Claude's CLI {version[0]} takes it, only of {', '.join(KNOWN_VERSIONS)}"
    return ""
