"""Which processes make up Nightshift, and in what environment each runs."""

from __future__ import annotations

import logging
import os
import secrets
import signal
import socket
import sys
from dataclasses import replace
from typing import TYPE_CHECKING

from app import storage_url
from app.environment import CLAUDE_ENVIRONMENT
from app.environment import variables as environment_variables
from app.login import login_of
from app.settings import SettingsError
from app.ways import Way
from ops.supervisor import hooks, probe
from ops.supervisor.errors import StackError
from ops.supervisor.process import ProcessSpec

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from app.settings import Settings
    from ops.supervisor.redis_server import RedisServer

log = logging.getLogger(__name__)

API_MODULE = "api.server"
CHAT_WORKER_MODULE = "workers.chat_worker"
CALLBACK_WORKER_MODULE = "workers.callback_worker"
#: what they are forked with
CHAT_WORKER_PRELOAD = "workers.preload.chat"
CALLBACK_WORKER_PRELOAD = "workers.preload.callbacks"
LANE_MODULE = "workers.lane"
SIMULATOR_MODULE = "simulator"

#: of CLAUDE_ENVIRONMENT, what has nothing to do with whose login it is and where it is used
_NEUTRAL = ("LANG", "LC_ALL", "PATH", "TZ", "NODE_EXTRA_CA_CERTS", "SSL_CERT_FILE")
#: the simulator takes any key; this one says what it is
OFFLINE_KEY = "offline-no-real-key"
_OFFLINE_VARIABLES = {"subscription": "CLAUDE_CODE_OAUTH_TOKEN", "api_key": "ANTHROPIC_API_KEY"}
#: replaying a long append-only file takes its time, seconds
_LOAD_SECONDS = 600.0


def environment(settings: Settings, environ: Mapping[str, str], simulator_url: str | None = None) -> dict[str, str]:
    """What the API, the workers and the callbacks run in: the user's environment, and the settings.

    Offline, every trace of a real login, provider or proxy is left out, and the simulator is all there is.
    """
    found = without_claude(settings, {k: v for k, v in environ.items() if not (settings.offline and _is_login(k))})
    if settings.offline:
        simulator_url = simulator_url or environ.get("ANTHROPIC_BASE_URL")
        if not simulator_url:
            raise SettingsError(
                "NIGHTSHIFT_OFFLINE is for `nightshift up --offline`, which starts the simulator. To run a part of it alone,"
                " start `python -m simulator` and set ANTHROPIC_BASE_URL to its address."
            )
        found["ANTHROPIC_BASE_URL"] = simulator_url
        found |= {_OFFLINE_VARIABLES[name]: OFFLINE_KEY for name in _offline_logins(settings)}
        found["CLAUDE_CONFIG_DIR"] = str(settings.data_dir / "offline-claude")  # never ~/.claude and its login
        found["NO_PROXY"] = found["no_proxy"] = "127.0.0.1,localhost"
    return found


def without_claude(settings: Settings, environ: Mapping[str, str]) -> dict[str, str]:
    """The same for an API that runs alone: nothing is to be found there that answers."""
    return {**environ, **settings.to_environment(), "NIGHTSHIFT_SUPERVISOR_PID": str(os.getpid())}


def _with_storage(settings: Settings, env: Mapping[str, str]) -> Mapping[str, str]:
    """For what uses the storage: the login of an object store, which offline is left out with the logins of Claude."""
    if not storage_url.is_object_store(settings.storage):
        return env
    prefixes = ("AWS_", "GOOGLE_", "AZURE_")
    return {**{k: v for k, v in environment_variables().items() if k.startswith(prefixes)}, **env}


def redis(server: RedisServer, environ: Mapping[str, str]) -> ProcessSpec:
    """The embedded server, in a bare environment: no login is in it."""

    def mended(spec: ProcessSpec) -> ProcessSpec:
        try:
            if lost := server.mend():
                log.error("[REDIS] %s", lost)
        except StackError as error:
            log.error("[REDIS] %s", error)  # noqa: TRY400 - its message is all there is to say
        return spec

    return ProcessSpec(
        name="redis",
        argv=server.argv,
        env={k: environ[k] for k in ("PATH", "TZ", "TMPDIR") if k in environ} | {"LC_ALL": "C"},
        ready=server.ready,
        ready_seconds=_LOAD_SECONDS,
        stop_seconds=2.5,
        death_signal=signal.SIGTERM,  # it writes out what it has
        lock=server.lock_file,
        last_words=server.last_words,
        renew=mended,
    )


def simulator(port_file: Path, environ: Mapping[str, str]) -> ProcessSpec:
    """The simulated Messages API of `--offline`. Started again, it takes the port it had: others know it."""

    def again(spec: ProcessSpec) -> ProcessSpec:
        return replace(spec, argv=argv(port_file.read_text().strip()))

    def argv(port: str) -> list[str]:
        return [*_python(SIMULATOR_MODULE), "--host", "127.0.0.1", "--port", port, "--port-file", str(port_file)]

    port_file.unlink(missing_ok=True)
    return ProcessSpec(
        name="simulator",
        argv=argv("0"),
        env={k: v for k, v in environ.items() if not _is_login(k)},
        ready=lambda: port_file.exists() and probe.listens("127.0.0.1", int(port_file.read_text() or 0)),
        stop_seconds=1.0,
        renew=again,
    )


def api(settings: Settings, env: Mapping[str, str], listener: socket.socket) -> ProcessSpec:
    """What clients talk to. It accepts from a socket of ours, so that no client is refused while one follows another."""
    begun = settings.data_dir / "api.begun"

    def fresh(spec: ProcessSpec) -> ProcessSpec:
        identity = secrets.token_hex(8)
        own = ["--listen-fd", str(listener.fileno()), "--begun", f"{begun}:{identity}"]
        return replace(
            spec,
            identity=identity,
            argv=[*_python(API_MODULE), *own],
            is_serving=lambda: begun.exists() and begun.read_text() == identity,
        )

    return fresh(
        ProcessSpec(
            name="api",
            argv=(),
            env=_with_storage(settings, env),
            ready=lambda: probe.status(settings.host, settings.port, "/health") is not None,
            renew=fresh,
            pass_fds=[listener.fileno()],
            drain_signal=signal.SIGUSR2,
            drain_seconds=settings.restart_grace_seconds,
            drains_alone=True,
        )
    )


def chat_worker(settings: Settings, env: Mapping[str, str], index: int) -> ProcessSpec:
    """One worker, with one Claude process. Its jobs go back to the queue whenever its process ends."""
    spec = _worker(f"worker-{index}", CHAT_WORKER_MODULE, settings, env, signal.SIGUSR2)
    return replace(spec, preload=CHAT_WORKER_PRELOAD)


def callback_worker(settings: Settings, env: Mapping[str, str], index: int) -> ProcessSpec:
    """One process that delivers callbacks."""
    spec = _worker(f"callbacks-{index}", CALLBACK_WORKER_MODULE, settings, env, signal.SIGTERM)
    return replace(spec, preload=CALLBACK_WORKER_PRELOAD)


def lane(settings: Settings, env: Mapping[str, str]) -> list[ProcessSpec]:
    """The process that asks Message Batches about this data dir's batches; none where that way is off, or has no login here."""
    step = settings.step(Way.BATCHES)
    if step is None or not (settings.offline or login_of(settings, step)):
        return []
    name = f"{_host()}-{os.getpid()}-lane"
    return [
        ProcessSpec(
            name="lane",
            argv=[*_python(LANE_MODULE), "--name", name],
            env=_with_storage(settings, env),
            drain_signal=signal.SIGTERM,
            drain_seconds=settings.restart_grace_seconds,
        )
    ]


def _worker(
    label: str, module: str, settings: Settings, env: Mapping[str, str], drain_signal: signal.Signals
) -> ProcessSpec:
    def fresh(spec: ProcessSpec) -> ProcessSpec:
        # Each process has a name of its own: whoever clears up after a dead one can't touch its successor.
        identity = f"{_host()}-{os.getpid()}-{label}-{secrets.token_hex(3)}"
        return replace(
            spec,
            identity=identity,
            argv=[*_python(module), "--name", identity],
            is_serving=lambda: hooks.is_registered(settings, identity),
        )

    def on_exit(spec: ProcessSpec, _pid: int, _status: int) -> None:
        hooks.release_worker(settings, spec.identity)

    return fresh(
        ProcessSpec(
            name=label,
            argv=(),
            env=env,
            on_exit=on_exit,
            renew=fresh,
            drain_signal=drain_signal,
            drain_seconds=settings.restart_grace_seconds,
        )
    )


def _python(module: str) -> list[str]:
    """-P: the user's current directory is not searched for our packages."""
    return [sys.executable, "-P", "-m", module]


def _host() -> str:
    """The host's name, in the letters that a worker's name may have."""
    name = socket.gethostname().split(".")[0]
    return "".join(c if c.isalnum() and c.isascii() else "-" for c in name) or "host"


def _offline_logins(settings: Settings) -> set[str]:
    """Those that `--offline` plays: what the ladder names, else the one that the settings say."""
    return {step.login for step in settings.ways if step.login} or {settings.offline_login}


def _is_login(name: str) -> bool:
    """Whether a variable is about a login, an endpoint, a provider or a proxy."""
    if name in _NEUTRAL:
        return False
    prefixes = ("ANTHROPIC_", "CLAUDE_", *(n[:-1] for n in CLAUDE_ENVIRONMENT if n.endswith("*")))
    return name.startswith(prefixes) or name in CLAUDE_ENVIRONMENT or name.lower() == "all_proxy"
