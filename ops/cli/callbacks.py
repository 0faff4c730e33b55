"""`nightshift callbacks`: the processes that deliver callbacks alone, for containers."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from app import environment
from ops.cli import fleet, options
from ops.supervisor import hooks, plan, redis_server

if TYPE_CHECKING:
    import argparse

    from app.settings import Settings

HELP = "Run the processes that deliver callbacks alone, against the Redis that REDIS_URL names."


def arguments(parser: argparse.ArgumentParser) -> None:
    """How many."""
    parser.add_argument("--count", type=options.count, metavar="N", help="processes that deliver callbacks")


def run(args: argparse.Namespace) -> int:
    """Supervise them until a signal comes, and do the maintenance, which says what is due."""
    settings = options.settings(args, callback_workers=args.count)
    options.require_redis(settings)
    redis_server.check_external(settings.redis_url or "")
    settings = replace(settings, webhook_secret=_secret(settings))
    env = plan.environment(settings, environment.variables())
    specs = [plan.callback_worker(settings, env, index) for index in range(1, settings.callback_workers + 1)]
    return fleet.supervise(settings, "callback-supervisor", specs, hooks.maintenance(settings, "callbacks"))


def _secret(settings: Settings) -> str:
    """The user's own, or that of the `nightshift up` on this Redis. Raises `SettingsError`, and `StackError` for another one."""
    from app import supervisors  # noqa: PLC0415 - `nightshift version` and its like need no queue
    from app.connection import connect  # noqa: PLC0415
    from ops.supervisor import secrets  # noqa: PLC0415

    with connect(settings.redis_url or "") as connection:
        secret = settings.webhook_secret or secrets.shared_secret(connection)
        if not secret:
            options.fail(
                "Callbacks are signed: set NIGHTSHIFT_WEBHOOK_SECRET, the same for all parts of one Nightshift. (Without it the one"
                " that a `nightshift up` on the same Redis has made is used; there is none.)"
            )
        mine = supervisors.of_this_process(replace(settings, webhook_secret=secret), "callbacks")
        secrets.check_others(connection, mine)
    return secret
