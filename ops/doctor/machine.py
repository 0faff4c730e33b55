"""Python, the data dir and its disk, memory, the port, time zones."""

from __future__ import annotations

import os
import platform
import sys
import tempfile
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import httpx
import psutil

from app import disk
from app.batches.storage import open_storage
from app.ways import Way, ways_of_workers
from ops.doctor.finding import Finding, fail, ok, warn
from ops.supervisor import probe
from ops.supervisor.errors import StackError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from app.settings import Settings

_GIB = 1024**3
#: below the first a night's batch may not fit, below the second Redis and uploads may fail at any moment
_LITTLE_DISK, _NO_DISK = 5 * _GIB, _GIB // 2
#: of a worker that has worked for a while, with its Claude process by `cli`, bytes
_WORKER_BYTES = {Way.CLI: 450 * 1024**2, Way.API: 64 * 1024**2}
_SECONDS = 3.0


def look(settings: Settings) -> Iterator[Finding]:
    """One finding a thing."""
    yield _python()
    yield _directory(settings.data_dir)
    yield _disk(settings.data_dir)
    if settings.storage:
        yield _storage(settings)
    yield _memory(settings)
    yield _port(settings)
    yield _time_zones(settings)


def _python() -> Finding:
    where = "" if sys.prefix == sys.base_prefix else f", in {sys.prefix}"
    return ok("Python", f"{platform.python_version()} on {platform.system()} {platform.machine()}{where}")


def _directory(data_dir: Path) -> Finding:
    mend = "Name another directory with --data-dir or NIGHTSHIFT_DATA_DIR, or give it to the user who runs Nightshift."
    try:
        there = next(path for path in (data_dir, *data_dir.parents) if path.exists())
        if there != data_dir and os.access(there, os.W_OK | os.X_OK) and there.is_dir():
            return ok("Data dir", f"{data_dir}, made at the first start")
        with tempfile.TemporaryFile(dir=data_dir):
            pass
    except OSError as error:
        return fail("Data dir", f"{data_dir} can't be written to: {error.strerror}", mend)
    return ok("Data dir", f"{data_dir} can be written to")


def _disk(data_dir: Path) -> Finding:
    free = disk.free_bytes(data_dir)
    if free is None:
        return warn("Disk", f"how much is free for {data_dir} can't be seen", "Look with df.")
    text = f"{free / _GIB:.1f} GiB free for {data_dir}"
    mend = (
        "Delete old files, or name a data dir on a larger disk: Redis, batches' files and their answers are kept there."
    )
    if free < _NO_DISK:
        return fail("Disk", text, mend)
    return warn("Disk", text, mend) if free < _LITTLE_DISK else ok("Disk", text)


def _storage(settings: Settings) -> Finding:
    try:
        open_storage(settings).check()
    except OSError as error:
        mend = "Look at NIGHTSHIFT_STORAGE, the variables of its login and the bucket's rights (docs/storage.md)."
        return fail("Storage", error.strerror or str(error), mend)
    return ok("Storage", f"{settings.storage} can be written to")


def _memory(settings: Settings) -> Finding:
    total, wanted = (
        psutil.virtual_memory().total,
        settings.workers * max(_WORKER_BYTES[way] for way in ways_of_workers(settings.ways)),
    )
    text = f"{total / _GIB:.1f} GiB; {settings.workers} workers take some {wanted / _GIB:.1f} GiB"
    if wanted > total * 0.8:
        return warn("Memory", text, "Start fewer workers (NIGHTSHIFT_WORKERS), or on more machines.")
    return ok("Memory", text)


def _port(settings: Settings) -> Finding:
    place = f"{settings.host} port {settings.port}"
    try:
        probe.claim_port(settings.host, settings.port)
    except StackError as error:
        if found := _answering(settings):
            simulated = "; it is offline: its answers are simulated" if found.get("offline") else ""
            return ok("Port", f"Nightshift answers on {place}{simulated}")
        return fail("Port", str(error), "Choose another with --port or NIGHTSHIFT_PORT, or end what has it.")
    return ok("Port", f"{place} is free")


def runs_offline(settings: Settings) -> bool:
    """Whether a Nightshift answers where these settings have one, and says that its answers are simulated."""
    return _answering(settings).get("offline") is True


def _answering(settings: Settings) -> dict[str, Any]:
    """What the Nightshift there says of its health; without a key it may be no more than its status. Nothing if there is none."""
    host = probe.reachable(settings.host)
    url = f"http://{f'[{host}]' if ':' in host else host}:{settings.port}/health"
    try:
        answer = httpx.get(url, timeout=_SECONDS, trust_env=False)
        found = answer.json()
    except (httpx.HTTPError, ValueError):
        return {}
    return found if isinstance(found, dict) and "status" in found and "x-request-id" in answer.headers else {}


def _time_zones(settings: Settings) -> Finding:
    mend = "Install the system's package tzdata."
    try:
        ZoneInfo("Europe/Berlin")
    except (ZoneInfoNotFoundError, OSError, ValueError):
        return fail("Time zones", "there is no data on time zones: windows of batches can't be read", mend)
    own = settings.claude_environment.get("TZ", "")
    if own and not own.startswith(":"):
        try:
            ZoneInfo(own)
        except (ZoneInfoNotFoundError, OSError, ValueError):
            return warn(
                "Time zones",
                f"TZ={own} names none, so that times are shown in UTC",
                "Set TZ to a name such as Europe/Berlin.",
            )
    window = f"; batches run {settings.batch_window}" if settings.batch_window else ""
    return ok("Time zones", f"known{window}")
