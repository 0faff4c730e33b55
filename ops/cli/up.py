"""`nightshift up`: everything, in the foreground."""

from __future__ import annotations

import contextlib
import logging
import sys
from dataclasses import replace
from functools import partial
from itertools import chain
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from app import environment, logs, spans, supervisors
from app.connection import connect
from app.error_codes import ErrorCode
from app.settings import Settings
from ops import notify
from ops.cli import options, screen
from ops.cli.options import DataDir, Host, Port, Reserve, whole_number
from ops.supervisor import hooks, probe, process_specs, redis_server, secrets, storage_check
from ops.supervisor.data_dir import DataDirLock, prepare
from ops.supervisor.errors import StackError, Stopped
from ops.supervisor.pidfile import Record
from ops.supervisor.supervisor import Supervisor

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable

    from ops.supervisor.redis_server import RedisServer

log = logging.getLogger(__name__)

#: how long the screen waits for a worker to be ready, seconds; a slower one still comes up
_WORKER_READY_SECONDS = 15.0


def up(
    *,
    host: Host = None,
    port: Port = None,
    workers: Annotated[
        int | None,
        Parameter(converter=whole_number(1, 256), help="workers, each with one Claude process (default 2)"),
    ] = None,
    reserve: Reserve = None,
    data_dir: DataDir = None,
    offline: Annotated[bool | None, Parameter(help="simulate Claude's answers: needs no login and no network")] = None,
) -> int:
    """Check everything that can be checked, then start, show one screen, and stay until a signal comes."""
    settings = Settings.from_environment(
        host=host, port=port, workers=workers, reserve=reserve, data_dir=data_dir, offline=offline
    )
    options.check_exposure(settings)
    notify.check(settings)
    if not settings.redis_url:
        options.check_reserve(settings)
    settings = replace(settings, data_dir=prepare(settings.data_dir))
    logs.configure(settings, "nightshift")
    spans.configure(settings, "nightshift")
    # A port to be chosen is chosen first: the lock says where this Nightshift is found. A given one is looked at later,
    # so that a second start hears of the first one and not of its port.
    if settings.port == 0:
        settings = replace(settings, port=probe.claim_port(settings.host, 0))
    storage_check.check(settings)
    with DataDirLock(settings.data_dir, screen.url(settings)):
        login = options.require_login(settings)
        listener = probe.bound(settings.host, settings.port)
        server = None if settings.redis_url else redis_server.place(settings.data_dir)
        if server is None:
            redis_server.check_external(settings.redis_url or "")
        secret, is_new = _secret(settings)
        settings = replace(settings, webhook_secret=secret)
        if server is not None:
            settings = replace(settings, redis_url=server.url)
        shown = partial(
            screen.text,
            settings,
            listener.getsockname()[:2],
            login.description if login else None,
            secret if is_new else None,
            embedded=server is not None,
            # systemd's word that what is printed goes to its journal
            is_kept="JOURNAL_STREAM" in environment.variables(),
        )
        try:
            _keep_up(settings, server, listener, shown)
        finally:
            if server:
                server.remove_traces()
    say("Stopped.")
    return 0


def _secret(settings: Settings) -> tuple[str, bool]:
    """As `secrets.webhook_secret`; on a Redis of the user's the others that use it have the same. Raises `StackError`."""
    if not settings.redis_url:
        return secrets.webhook_secret(settings)
    with connect(settings.redis_url) as connection:
        secret, is_new = secrets.webhook_secret(settings, connection)
        mine = supervisors.of_this_process(replace(settings, webhook_secret=secret), supervisors.Part.UP)
        secrets.check_others(connection, mine)
    return secret, is_new


def _keep_up(
    settings: Settings, server: RedisServer | None, listener: socket.socket, shown: Callable[..., str]
) -> None:
    """Start in order, show the screen (`shown`, of what is wrong), stay. Everything has ended when this returns or raises."""
    record = Record(settings.data_dir / "processes.json")
    with Supervisor(say, record) as supervisor, contextlib.suppress(Stopped):
        try:
            lost = _start_redis(supervisor, server) if server else ""
            trouble = _start(supervisor, settings, listener)
            show(shown(trouble=trouble))
            if lost:
                show(f"{lost}\n")
            supervisor.wait()
        except StackError as error:
            say(f"nightshift: {error}")
            say("Stopping what has been started ...")
            raise StackError("the start failed; the reason is above.") from error
        finally:
            # The API's own goes with it: nobody may be left waiting for one that does not come.
            listener.close()
            if supervisor.stopping:
                say("Stopping: what runs is finished or goes back to the queue (Ctrl-C again: at once) ...")


def _start(supervisor: Supervisor, settings: Settings, listener: socket.socket) -> str:
    """Start everything else. Why no request is served yet; empty when one is."""
    simulator_url = None
    if settings.offline:
        say("Starting the simulator (offline) ...")
        port_file = settings.data_dir / "simulator.port"
        supervisor.start([process_specs.simulator(port_file, environment.variables())])
        simulator_url = f"http://127.0.0.1:{port_file.read_text().strip()}"
    say(f"Starting the API and {settings.workers} worker{'s' if settings.workers > 1 else ''} ...")
    env = process_specs.environment(settings, environment.variables(), simulator_url)
    workers = [process_specs.chat_worker(settings, env, index) for index in range(1, settings.workers + 1)]
    callbacks = [
        process_specs.callback_worker(settings, env, index) for index in range(1, settings.callback_workers + 1)
    ]
    lane = process_specs.lane(settings, env)
    supervisor.start([process_specs.api(settings, env, listener), *workers, *callbacks, *lane])
    work_of = (hooks.maintenance(settings, supervisors.Part.UP), hooks.batches(settings))
    for name, seconds, work in chain(*work_of, hooks.keeping_awake(settings, supervisor.knows)):
        supervisor.every(seconds, work, name)
    found: tuple[str, str] | None = None

    def is_clear() -> bool:
        nonlocal found
        found = probe.not_ready(settings.host, settings.port)
        # Nothing that waiting would change.
        return found is None or found[0] == ErrorCode.LOGIN_REQUIRED

    if not supervisor.wait(is_clear, _WORKER_READY_SECONDS) and supervisor.stopping:
        raise Stopped
    return "" if found is None else found[1] or "The API does not answer yet."


def _start_redis(supervisor: Supervisor, server: RedisServer) -> str:
    """The embedded one. What it has lost since it ran last, for people: mostly nothing. Its file may have to be cut before it starts."""
    say("Starting Redis ...")
    server.end_leftover()
    lost = server.mend()
    try:
        supervisor.start([process_specs.redis(server, environment.variables())])
    except StackError as error:
        lost = server.mend()
        if not lost:
            raise StackError(f"{error}\nThe runbook (docs/runbook.md) has it under 'Redis does not start'.") from error
        supervisor.start([process_specs.redis(server, environment.variables())])
    supervisor.every(redis_server.SYNC_SECONDS, server.sync, "sync")
    if lost:
        log.error("[REDIS] %s", lost)
    return lost


def say(line: str) -> None:
    """Progress, on stderr. A terminal that was closed is no reason to fail."""
    with contextlib.suppress(OSError, ValueError):
        print(line, file=sys.stderr, flush=True)


def show(text: str) -> None:
    """The screen, on stdout."""
    with contextlib.suppress(OSError, ValueError):
        print(text, flush=True)
