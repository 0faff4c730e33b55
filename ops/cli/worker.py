"""`nightshift worker`: workers alone, for containers and further machines."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from app import environment
from ops.cli import fleet, options
from ops.supervisor import data_dir, hooks, plan

if TYPE_CHECKING:
    import argparse

HELP = "Run workers alone, against the Redis that REDIS_URL names."


def arguments(parser: argparse.ArgumentParser) -> None:
    """How many."""
    parser.add_argument(
        "--count", type=options.count_or_none, metavar="N", help="workers, each with one Claude process; 0: none here"
    )
    options.reserve(parser)
    options.data_dir(parser)


def run(args: argparse.Namespace) -> int:
    """Supervise them until a signal comes, bring back the jobs of dead ones, here and elsewhere, and do the batches' work."""
    settings = options.settings(args, workers=args.count)
    options.require_redis(settings)
    if settings.workers:
        options.require_login(settings)
    settings = replace(settings, data_dir=data_dir.prepare(settings.data_dir))
    env = plan.environment(settings, environment.variables())
    specs = [plan.chat_worker(settings, env, index) for index in range(1, settings.workers + 1)]
    work = (*hooks.maintenance(settings, "worker"), *hooks.batches(settings))
    return fleet.supervise(settings, "worker-supervisor", specs, work)
