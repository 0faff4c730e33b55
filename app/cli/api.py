"""`nightshift api`: the API alone, for containers."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

from app import environment
from app.cli import options
from app.stack import plan

if TYPE_CHECKING:
    import argparse

HELP = "Run the API alone, against the Redis that REDIS_URL names."


def arguments(parser: argparse.ArgumentParser) -> None:
    """Where to listen."""
    options.address(parser)


def run(args: argparse.Namespace) -> int:
    """Become the API's process."""
    settings = options.settings(args)
    options.require_redis(settings)
    options.check_exposure(settings)
    environ = environment.variables() | settings.to_environment()
    os.execve(sys.executable, [sys.executable, "-P", "-m", plan.API_MODULE], environ)  # noqa: S606 - becomes the server
