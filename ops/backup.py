"""A data dir in one file, and back: what the embedded Redis holds, the bytes of files and batches, the webhook secret.

It is a gzipped tar. Redis' part is taken first, as of one moment, by the server itself (an RDB file). Redis says how many bytes count of what
grows while a batch runs, and those never change; so what is copied after it has them all, while everything goes on. What a restored
Redis does not know of is removed as what a crash left.
"""

from __future__ import annotations

import fcntl
import gzip
import io
import json
import os
import re
import shutil
import tarfile
import time
import zlib
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from importlib.metadata import version
from typing import IO, TYPE_CHECKING, Any

from app import clock
from app.batches.storage import BATCHES_FOLDER
from app.connection import connect
from app.private_files import private
from ops.supervisor.aof import WHOLE_FILE
from ops.supervisor.errors import StackError
from ops.supervisor.redis_server import DATA_FOLDER
from ops.supervisor.secrets import SECRET_FILE

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from redis import Redis

    from ops.supervisor.redis_server import RedisServer

FORMAT = 1
_ABOUT, _RDB = "backup.json", "redis.rdb"
#: of what is in a backup: nothing else is written to a disk
_NAME = re.compile(rf"{re.escape(SECRET_FILE)}|{BATCHES_FOLDER}/(\.place|[\w-]+/(?!\.part-)\.?[\w-][\w.-]*)")
#: how long the server may take to write all that it holds, seconds
_SAVE_SECONDS = 600.0
_POLL_SECONDS = 0.05
_PIECE_BYTES = 1024 * 1024


@dataclass(frozen=True)
class About:
    """What a backup says of itself."""

    #: seconds since the epoch: what has happened since is not in it
    created_at: float
    #: of Nightshift, and of the server that wrote the RDB file; an older server may not read it
    version: str
    server: str
    format: int = FORMAT


def write(data_dir: Path, server: RedisServer, target: Path) -> About:
    """Make a backup of a data dir whose server runs; mode 0600, whole or not at all. Raises `StackError`, `OSError` and redis-py's errors."""
    draft = target.with_name(f".{target.name}.part")
    try:
        descriptor = os.open(draft, os.O_CREAT | os.O_TRUNC | os.O_WRONLY, 0o600)
        with os.fdopen(descriptor, "wb") as file, connect(server.url) as connection:
            with tarfile.open(fileobj=file, mode="w:gz", compresslevel=1) as tar, _saved(connection, server) as rdb:
                about = About(clock.now(), version("claude-nightshift"), _name_of(connection))
                text = json.dumps(asdict(about)).encode()
                _add(tar, _ABOUT, io.BytesIO(text), len(text))
                _add(tar, _RDB, rdb, os.fstat(rdb.fileno()).st_size)
                for path in _files(data_dir):
                    _add_file(tar, path, str(path.relative_to(data_dir)))
            file.flush()
            os.fsync(file.fileno())
        draft.replace(target)
    except BaseException:
        draft.unlink(missing_ok=True)
        raise
    return about


def restore(source: Path, data_dir: Path) -> About:
    """Make a data dir of a backup, for `nightshift up` to go on with. Raises `StackError` and `OSError`; then there is nothing of it.

    `data_dir`: there is none, or there is nothing in it that a backup would replace.
    """
    redis, batches = data_dir / DATA_FOLDER, data_dir / BATCHES_FOLDER
    for path in (redis, batches):
        if path.exists():
            raise StackError(
                f"There is {path} already. Name a data dir that is empty, with --data-dir, or move this one."
            )
    draft = private(data_dir) / ".restoring"
    shutil.rmtree(draft, ignore_errors=True)
    try:
        about = _unpack(source, draft)
        private(draft / DATA_FOLDER)
        (draft / _RDB).replace(draft / DATA_FOLDER / WHOLE_FILE)
        os.sync()
        # Redis' last: without it a data dir is a new one, and nothing is half there.
        for name in (SECRET_FILE, BATCHES_FOLDER, DATA_FOLDER):
            if (draft / name).exists():
                (draft / name).replace(data_dir / name)
    finally:
        shutil.rmtree(draft, ignore_errors=True)
    return about


@contextmanager
def _saved(connection: Redis, server: RedisServer) -> Iterator[IO[bytes]]:
    """What the server holds as of now, as an RDB file. For one backup at a time."""
    path = server.directory / str(connection.config_get("dbfilename")["dbfilename"])
    folder = os.open(server.directory, os.O_RDONLY)
    try:
        fcntl.flock(folder, fcntl.LOCK_EX)
        path.unlink(missing_ok=True)
        connection.bgsave()
        give_up = time.monotonic() + _SAVE_SECONDS
        # It is renamed when it is whole.
        while not path.exists():
            state: dict[str, Any] = connection.info("persistence")
            has_failed = not state["rdb_bgsave_in_progress"] and state["rdb_last_bgsave_status"] != "ok"
            if has_failed or time.monotonic() > give_up:
                raise StackError(f"Redis did not write what it holds; it says why at the end of {server.log_file}.")
            time.sleep(_POLL_SECONDS)
        with path.open("rb") as file:
            path.unlink()
            yield file
    finally:
        os.close(folder)


def _name_of(connection: Redis) -> str:
    found: dict[str, Any] = connection.info("server")
    if "valkey_version" in found:
        return f"Valkey {found['valkey_version']}"
    return f"Redis {found['redis_version']}"


def _files(data_dir: Path) -> list[Path]:
    """Those of a data dir that belong into a backup; drafts, locks and what a start makes anew do not."""
    found = [data_dir / SECRET_FILE, *(data_dir / BATCHES_FOLDER).glob("*"), *(data_dir / BATCHES_FOLDER).glob("*/*")]
    return sorted(path for path in found if _NAME.fullmatch(str(path.relative_to(data_dir))) and path.is_file())


def _add_file(tar: tarfile.TarFile, path: Path, name: str) -> None:
    try:
        file = path.open("rb")
    except FileNotFoundError:
        # Removed since: Redis has forgotten it by now, and will again.
        return
    with file:
        try:
            _add(tar, name, file, os.fstat(file.fileno()).st_size)
        except OSError as error:
            raise StackError(f"{path} was cut off while it was copied: {error}. Make the backup again.") from error


def _add(tar: tarfile.TarFile, name: str, file: IO[bytes], size: int) -> None:
    member = tarfile.TarInfo(name)
    member.size, member.mode, member.mtime = size, 0o600, clock.now()
    tar.addfile(member, file)


def _unpack(source: Path, draft: Path) -> About:
    """Raises `StackError` for what is no whole backup."""
    about = None
    try:
        with tarfile.open(source, "r:gz") as tar:
            for member in tar:
                content = tar.extractfile(member)
                if content is None or (about is None) != (member.name == _ABOUT):
                    raise StackError(f"{source} is no backup of Nightshift's.")
                if member.name == _ABOUT:
                    about = _read_about(source, content.read())
                    continue
                if member.name != _RDB and not _NAME.fullmatch(member.name):
                    raise StackError(f"{source} has {member.name!r}, which no backup has.")
                path = draft / member.name
                private(path.parent)
                with os.fdopen(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600), "wb") as file:
                    shutil.copyfileobj(content, file)
            # To the very end, where the sum over all of it is.
            while tar.fileobj.read(_PIECE_BYTES):
                pass
    except (tarfile.TarError, gzip.BadGzipFile, EOFError, zlib.error, ValueError, LookupError, TypeError) as error:
        raise StackError(f"{source} is no backup of Nightshift's, or not the whole of one: {error}.") from error
    if about is None or not (draft / _RDB).exists():
        raise StackError(f"{source} is not the whole of a backup.")
    return about


def _read_about(source: Path, text: bytes) -> About:
    found = json.loads(text)
    if found["format"] != FORMAT:
        raise StackError(f"{source} was made by a newer Nightshift ({found['version']}): restore it with that one.")
    return About(**found)
