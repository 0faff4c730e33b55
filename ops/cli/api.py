"""`nightshift api`: the API alone, for containers; it does the batches' work and the maintenance, too."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from app import environment
from ops.cli import fleet, options
from ops.supervisor import data_dir, hooks, plan, probe

if TYPE_CHECKING:
    import argparse

HELP = "Run the API alone, against the Redis that REDIS_URL names. It feeds the batches, and brings back what was lost."


def arguments(parser: argparse.ArgumentParser) -> None:
    """Where to listen, and where files are."""
    options.address(parser)
    options.data_dir(parser)


def run(args: argparse.Namespace) -> int:
    """Supervise it until a signal comes. Redis may be away: requests are answered with 503 until it is there."""
    settings = options.settings(args)
    options.require_redis(settings)
    options.check_exposure(settings)
    settings = replace(settings, data_dir=data_dir.absolute(settings.data_dir))
    with probe.bound(settings.host, settings.port) as listener:
        settings = replace(settings, port=int(listener.getsockname()[1]))
        env = plan.without_claude(settings, environment.variables())
        work = (*hooks.maintenance(settings, "api"), *hooks.batches(settings))
        return fleet.supervise(settings, "api-supervisor", [plan.api(settings, env, listener)], work, needs_redis=False)
