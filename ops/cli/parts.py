"""`nightshift api`, `worker` and `callbacks`: one part alone, for containers and further machines, on a Redis of the user's."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Annotated

from cyclopts import Parameter

from app import environment, logs, spans, supervisors
from app.connection import connect
from app.settings import Settings
from app.supervisors import Part
from ops import notify
from ops.cli import options
from ops.cli.options import DataDir, Host, Port, Reserve, whole_number
from ops.supervisor import hooks, probe, process_specs, redis_server, secrets, storage_check
from ops.supervisor.data_dir import absolute, prepare
from ops.supervisor.errors import Stopped
from ops.supervisor.process import ProcessSpec
from ops.supervisor.supervisor import Supervisor

Work = Sequence[tuple[str, float, Callable[[], object]]]


def api(*, host: Host = None, port: Port = None, data_dir: DataDir = None) -> int:
    """Supervise it until a signal comes. Redis may be away: requests are answered with 503 until it is there."""
    settings = Settings.from_environment(host=host, port=port, data_dir=data_dir)
    options.require_redis(settings)
    options.check_exposure(settings)
    settings = replace(settings, data_dir=absolute(settings.data_dir))
    storage_check.check(settings, may_be_away=True)
    with probe.bound(settings.host, settings.port) as listener:
        settings = replace(settings, port=int(listener.getsockname()[1]))
        env = process_specs.without_claude(settings, environment.variables())
        work = (*hooks.maintenance(settings, Part.API), *hooks.batches(settings))
        return supervise(
            settings, "api-supervisor", [process_specs.api(settings, env, listener)], work, needs_redis=False
        )


def worker(
    *,
    count: Annotated[
        int | None,
        Parameter(converter=whole_number(0, 256), help="workers, each with one Claude process; 0: none here"),
    ] = None,
    reserve: Reserve = None,
    data_dir: DataDir = None,
) -> int:
    """Supervise them until a signal comes, bring back the jobs of dead ones, here and elsewhere, and do the batches' work."""
    settings = Settings.from_environment(workers=count, reserve=reserve, data_dir=data_dir)
    options.require_redis(settings)
    if settings.workers:
        options.require_login(settings)
    settings = replace(settings, data_dir=prepare(settings.data_dir))
    storage_check.check(settings, may_be_away=True)
    env = process_specs.environment(settings, environment.variables())
    specs = [process_specs.chat_worker(settings, env, index) for index in range(1, settings.workers + 1)]
    specs += process_specs.lane(settings, env)
    work = (*hooks.maintenance(settings, Part.WORKER), *hooks.batches(settings))
    return supervise(settings, "worker-supervisor", specs, work)


def callbacks(
    *,
    count: Annotated[
        int | None, Parameter(converter=whole_number(1, 256), help="processes that deliver callbacks")
    ] = None,
) -> int:
    """Supervise them until a signal comes, and do the maintenance, which says what is due."""
    settings = Settings.from_environment(callback_workers=count)
    options.require_redis(settings)
    notify.check(settings)
    redis_server.check_external(settings.redis_url or "")
    settings = replace(settings, webhook_secret=_secret(settings))
    env = process_specs.environment(settings, environment.variables())
    specs = [process_specs.callback_worker(settings, env, index) for index in range(1, settings.callback_workers + 1)]
    return supervise(settings, "callback-supervisor", specs, hooks.maintenance(settings, Part.CALLBACKS))


def supervise(
    settings: Settings, name: str, specs: Sequence[ProcessSpec], work: Work, *, needs_redis: bool = True
) -> int:
    """Run them, and the periodic work, until a signal comes. The exit status. Raises `StackError` without the Redis they need."""
    logs.configure(settings, name)
    spans.configure(settings, name)
    if needs_redis:
        redis_server.check_external(settings.redis_url or "")
    with Supervisor() as supervisor, contextlib.suppress(Stopped):
        supervisor.start(specs)
        for label, seconds, call in work:
            supervisor.every(seconds, call, label)
        supervisor.wait()
    return 0


def _secret(settings: Settings) -> str:
    """The user's own, or that of the `nightshift up` on this Redis. Raises `SettingsError`, and `StackError` for another one."""
    with connect(settings.redis_url or "") as connection:
        secret = settings.webhook_secret or secrets.shared_secret(connection)
        if not secret:
            options.fail(
                "Callbacks are signed: set NIGHTSHIFT_WEBHOOK_SECRET, the same for all parts of one Nightshift. (Without it the one"
                " that a `nightshift up` on the same Redis has made is used; there is none.)"
            )
        mine = supervisors.of_this_process(replace(settings, webhook_secret=secret), Part.CALLBACKS)
        secrets.check_others(connection, mine)
    return secret
