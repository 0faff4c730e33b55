"""Files that an agent names: only in the directory that `--files` names, and none is overwritten."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ops.agents.tool import Refused
from ops.cli.batch import results

if TYPE_CHECKING:
    from pathlib import Path

    from ops.agents.tool import Desk


def inside(desk: Desk, name: str) -> Path:
    """The path that it names. Raises `Refused` for one that leads out of the directory, by links too."""
    if desk.files is None:
        raise Refused(
            "No file may be named: start `nightshift mcp --files DIR` to allow those in DIR. Pass `rows` instead."
        )
    root = desk.files.resolve()
    path = (root / name).resolve()
    if not path.is_relative_to(root):
        raise Refused(f"{name} is not in {root}: only files there may be named.")
    return path


def save(desk: Desk, batch_id: str, name: str) -> str:
    """Write a batch's results. Raises `Refused`, `TargetError`, `ServerError`."""
    path = inside(desk, name)
    if path.exists():
        raise Refused(f"{name} is there already: name another file.")
    status = results.results(batch_id, output=path, url=desk.server.url)
    if not path.exists():
        raise Refused(f"{batch_id} has not ended: nothing was written. batch_status says how it goes.")
    beside = path.with_name(f"{path.name}.errors.jsonl")
    errors = f" Requests without an answer, and why: {beside.name}." if beside.exists() else ""
    return f"Written: {path}.{errors}" + (" Some requests have no answer." if status and not errors else "")
