"""`nightshift backup`: the data dir of a running Nightshift in one file. `nightshift restore`: a data dir of such a file."""

from __future__ import annotations

import sys
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter
from redis.exceptions import RedisError

from app.settings import Settings
from ops import backup as backups
from ops.cli.options import DataDir, fail
from ops.supervisor import data_dir as data_dirs
from ops.supervisor import redis_server
from ops.supervisor.data_dir import DataDirLock
from ops.supervisor.errors import StackError

if TYPE_CHECKING:
    from ops.backup import About

_NOT_OURS = (
    "REDIS_URL names a server of your own, which has its own way to be backed up. Do that first, and then copy {}: in that order, what"
    " Redis knows of is in the copy."
)
_ELSEWHERE = (
    "The files of batches are in {}, which is backed up in its own way (docs/storage.md). Stop Nightshift, and copy the data dir and that: in"
    " that order, what Redis knows of is in the copy."
)


def backup(
    file: Path,
    *,
    force: Annotated[bool, Parameter(help="overwrite FILE")] = False,
    data_dir: DataDir = None,
) -> int:
    """Write FILE while everything goes on."""
    where = _own(data_dir)
    if file.exists() and not force:
        fail(f"{file} is there already. Name another, or say --force.")
    if DataDirLock.holder(where) is None:
        raise StackError(f"No Nightshift runs on {where}. While none runs, a copy of that folder is a backup.")
    try:
        about = backups.write(where, redis_server.place(where), file)
    except RedisError as error:
        raise StackError(f"Redis can't be copied now: {error}") from error
    print(f"{file}: {file.stat().st_size / 1e6:,.1f} MB, {_as_of(about)}.", file=sys.stderr)
    return 0


def restore(file: Path, *, data_dir: DataDir = None) -> int:
    """Make the data dir of FILE; `nightshift up` goes on with it."""
    where = _own(data_dir)
    about = backups.restore(file, where)
    print(f"{where}: {_as_of(about)}. `nightshift up` goes on with it.", file=sys.stderr)
    return 0


def _own(data_dir: Path | None) -> Path:
    settings = Settings.from_environment(data_dir=data_dir)
    where = data_dirs.absolute(settings.data_dir)
    if settings.redis_url:
        fail(_NOT_OURS.format(settings.storage or where / "batches"))
    if settings.storage:
        fail(_ELSEWHERE.format(settings.storage))
    return where


def _as_of(about: About) -> str:
    moment = datetime.fromtimestamp(about.created_at).astimezone()
    return f"all as of {moment:%Y-%m-%d %H:%M:%S}, by {about.server}"
