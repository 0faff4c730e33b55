"""`nightshift callbacks`: the processes that deliver callbacks alone, for containers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from app import environment
from app.cli import fleet, options
from app.stack import plan

if TYPE_CHECKING:
    import argparse

HELP = "Run the processes that deliver callbacks alone, against the Redis that REDIS_URL names."


def arguments(parser: argparse.ArgumentParser) -> None:
    """How many."""
    parser.add_argument("--count", type=options.count, metavar="N", help="processes that deliver callbacks")


def run(args: argparse.Namespace) -> int:
    """Supervise them until a signal comes."""
    settings = options.settings(args, callback_workers=args.count)
    options.require_redis(settings)
    if not settings.webhook_secret:
        options.fail("Callbacks are signed: set NIGHTSHIFT_WEBHOOK_SECRET, the same for all parts of one Nightshift.")
    env = plan.environment(settings, environment.variables())
    specs = [plan.callback_worker(settings, env, index) for index in range(1, settings.callback_workers + 1)]
    return fleet.supervise(settings, "callback-supervisor", specs)
