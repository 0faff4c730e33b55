"""Python runs this at the start of each process of a stack that `bench.timeline` watches, since its folder is on `PYTHONPATH`.

It notes when the functions of `NIGHTSHIFT_BENCH_MARKS` (`module:function` by label, JSON) run, and each round trip to Redis that a thread makes
within one of them: a line of JSON each, in a file of the process in `NIGHTSHIFT_BENCH_NOTES`. The product knows nothing of it.
"""

from __future__ import annotations

import functools
import importlib.abc
import importlib.machinery
import json
import os
import sys
import threading
import time
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import ModuleType

_DIRECTORY = os.environ.get("NIGHTSHIFT_BENCH_NOTES", "")
_MARKS: dict[str, str] = json.loads(os.environ.get("NIGHTSHIFT_BENCH_MARKS", "{}"))
_local = threading.local()
#: of this process; its parent's is not used after a fork
_file: tuple[int, int] = (0, -1)


def _note(**what: Any) -> None:
    global _file  # noqa: PLW0603 - one process, one file
    if _file[0] != os.getpid():
        name = f"{_DIRECTORY}/{os.getpid()}.jsonl"
        _file = (os.getpid(), os.open(name, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600))
    os.write(_file[1], json.dumps(what).encode() + b"\n")


def _marked(label: str, function: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(function)
    def run(*args: Any, **named: Any) -> Any:
        above = getattr(_local, "label", "")
        _end_trip()
        _local.label = label
        began, cpu = time.monotonic(), time.thread_time()
        try:
            return function(*args, **named)
        finally:
            _end_trip()
            _local.label = above
            spent = time.thread_time() - cpu
            _note(what="ran", label=label, above=above, began=began, ended=time.monotonic(), cpu=spent)

    return run


def _end_trip() -> None:
    """The last reply to what this thread has sent has been read."""
    trip = getattr(_local, "trip", None)
    _local.trip = None
    if trip is not None:
        _note(what="trip", label=_local.label, **trip)


def _watch_redis(module: ModuleType) -> None:
    connection = module.AbstractConnection
    send, read = connection.send_packed_command, connection.read_response

    def send_packed_command(self: Any, command: Any, *args: Any, **named: Any) -> Any:
        if getattr(_local, "label", ""):
            _end_trip()
            commands = [*_names(command if isinstance(command, bytes) else b"".join(command))]
            _local.trip = {"began": time.monotonic(), "ended": time.monotonic(), "commands": commands}
        return send(self, command, *args, **named)

    def read_response(self: Any, *args: Any, **named: Any) -> Any:
        try:
            return read(self, *args, **named)
        finally:
            if (trip := getattr(_local, "trip", None)) is not None:
                trip["ended"] = time.monotonic()

    connection.send_packed_command, connection.read_response = send_packed_command, read_response


def _names(packed: bytes) -> Iterator[str]:
    """The names of the commands in what is sent, each a list of texts with their lengths."""
    place = 0
    while place < len(packed):
        end = packed.index(b"\r\n", place)
        for number in range(int(packed[place + 1 : end])):
            begin = packed.index(b"\r\n", end + 2) + 2
            end = begin + int(packed[end + 3 : begin - 2])
            if number == 0:
                yield packed[begin:end].decode()
        place = end + 2


class _Loader(importlib.abc.Loader):
    """Runs a module as its own loader does, then marks its functions."""

    def __init__(self, own: Any, name: str) -> None:
        self._own = own
        self._name = name

    def create_module(self, spec: importlib.machinery.ModuleSpec) -> ModuleType | None:
        found: ModuleType | None = self._own.create_module(spec)
        return found

    def exec_module(self, module: ModuleType) -> None:
        self._own.exec_module(module)
        if self._name == "redis.connection":
            _watch_redis(module)
        for path, label in _MARKS.items():
            name, _, function = path.partition(":")
            *holder, last = function.split(".")
            where: Any = module
            for part in holder:
                where = getattr(where, part, None)
            if name == self._name and hasattr(where, last):
                setattr(where, last, _marked(label, getattr(where, last)))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._own, name)


class _Finder(importlib.abc.MetaPathFinder):
    """Finds the modules that are marked where Python finds them."""

    _names = {path.partition(":")[0] for path in _MARKS} | {"redis.connection"}

    def find_spec(self, name: str, path: Any, target: Any = None) -> importlib.machinery.ModuleSpec | None:
        if name not in self._names:
            return None
        spec = importlib.machinery.PathFinder.find_spec(name, path, target)
        if spec is not None and spec.loader is not None:
            spec.loader = _Loader(spec.loader, name)
        return spec


if _DIRECTORY:
    sys.meta_path.insert(0, _Finder())
