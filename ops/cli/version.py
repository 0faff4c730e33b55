"""`nightshift version`."""

from __future__ import annotations

import platform
from importlib.metadata import version
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import argparse

HELP = "Print the versions of Nightshift and of what it stands on."


def arguments(parser: argparse.ArgumentParser) -> None:
    """None."""


def run(_args: argparse.Namespace) -> int:
    """Print them, one a line."""
    print(f"nightshift {version('claude-nightshift')}")
    for name in ("claude-agent-sdk", "rq", "redis"):
        print(f"{name} {version(name)}")
    print(f"python {platform.python_version()} on {platform.system()} {platform.machine()}")
    return 0
