"""Schemas in a process of their own, which may be slow or die of them: bounded in time, and nobody else waits.

`python -m app.schemas.sandbox` reads `{schema, values}` and answers `{draft, faults}` or `{refused, path}`, as JSON.
"""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from threading import BoundedSemaphore
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

#: computing time to look at a schema, and to hold a value against it, seconds
READ_SECONDS = 1
CHECK_SECONDS = 10
#: waiting included: the machine may be busy
_WALL = 4
MAX_MEMORY_BYTES = 1 << 30
#: faults that are reported of one value
_MAX_FAULTS = 20
_PROCESSES = BoundedSemaphore(2)
#: longer schemas are looked at anew each time: what is remembered must not fill the memory, characters
_MAX_REMEMBERED = 64 * 1024
_ROOT = Path(__file__).parents[2]


class TooSlowError(ValueError):
    """The time was not enough, or the process died of it."""


class _MachineTooBusyError(TooSlowError):
    """Perhaps not for the schema's own sake: the next time it may be."""


@dataclass(frozen=True)
class Fault:
    """What does not fit, and where."""

    message: str
    instance_path: list[str | int]


@dataclass(frozen=True)
class Sandboxed:
    """A schema that compiles, as a validator."""

    schema: str
    draft: int

    def is_valid(self, instance: Any) -> bool:
        """Whether the instance satisfies the schema. Raises `TooSlowError`."""
        return not list(self.iter_errors(instance))

    def iter_errors(self, instance: Any) -> Iterator[Fault]:
        """The violations, the first of them. Raises `TooSlowError`."""
        found = _ask(self.schema, [instance], CHECK_SECONDS)
        return (Fault(**fault) for fault in found["faults"])


def read(schema: Any) -> tuple[Sandboxed | None, str, list[str | int]]:
    """The validator; or None, why the schema is none, and where in it."""
    text = json.dumps(schema)
    look = _read if len(text) <= _MAX_REMEMBERED else _read.__wrapped__
    try:
        draft, reason, path = look(text)
    except _MachineTooBusyError as error:
        return None, str(error), []
    return (Sandboxed(text, draft) if draft else None), reason, list(path)


@lru_cache(maxsize=128)
def _read(text: str) -> tuple[int, str, tuple[str | int, ...]]:
    try:
        found = _ask(text, [], READ_SECONDS)
    except _MachineTooBusyError:
        raise  # lest it be remembered
    except TooSlowError as error:
        return 0, str(error), ()
    return found.get("draft", 0), found.get("refused", ""), tuple(found.get("path", ()))


def _ask(schema: str, values: list[Any], seconds: int) -> dict[str, Any]:
    asked = f'{{"schema": {schema}, "values": {json.dumps(values)}, "seconds": {seconds}}}'
    with _PROCESSES:
        try:
            done = subprocess.run(
                [sys.executable, "-m", "app.schemas.sandbox"],
                # The user's own directory may have another package `app`.
                cwd=_ROOT,
                input=asked.encode(),
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                timeout=seconds * _WALL,
                check=False,
            )
        except subprocess.TimeoutExpired as error:
            raise _MachineTooBusyError(_slow(seconds)) from error
    if done.returncode != 0:
        raise TooSlowError(_slow(seconds))
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def _slow(seconds: int) -> str:
    return f"it takes more than {seconds} s to follow its references, which multiply"


def main() -> None:
    """The process: one question, one answer."""
    # Here alone: it is this module that the other imports.
    from app.schemas.json_schema import SchemaError, compile_in_place, draft_of  # noqa: PLC0415

    asked = json.load(sys.stdin)
    os.nice(10)
    resource.setrlimit(resource.RLIMIT_CPU, (asked["seconds"], asked["seconds"]))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if sys.platform == "linux":
        resource.setrlimit(resource.RLIMIT_AS, (MAX_MEMORY_BYTES, MAX_MEMORY_BYTES))
    try:
        validator = compile_in_place(asked["schema"])
    except SchemaError as error:
        json.dump({"refused": str(error), "path": error.path}, sys.stdout)
        return
    faults: list[dict[str, Any]] = []
    for value in asked["values"]:
        for fault in validator.iter_errors(value):
            faults.append({"message": fault.message[:1000], "instance_path": list(fault.instance_path)})
            if len(faults) == _MAX_FAULTS:
                break
    json.dump({"draft": draft_of(validator), "faults": faults}, sys.stdout)


if __name__ == "__main__":
    main()
