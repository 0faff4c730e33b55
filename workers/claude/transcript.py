"""Earlier messages, written as a session that a fresh Claude process resumes: so each keeps its true role.

The CLI takes nothing but user messages while it runs. The format of its session files is its own affair and may change
with any release; a contract test looks at what the API is sent.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import uuid4

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from workers.claude.profile import Json


def write(history: Sequence[Json], variables: Mapping[str, str], cwd: Path, folder_name: str, model: str) -> Path:
    """Write `history` where a process with these variables and this working directory will look for it.

    `folder_name` is the CLI's name for `cwd`. Returns the file, whose stem is the session's id.
    """
    session = str(uuid4())
    config = Path(variables["CLAUDE_CONFIG_DIR"]) if "CLAUDE_CONFIG_DIR" in variables else Path.home() / ".claude"
    folder = config / "projects" / folder_name
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    path = folder / f"{session}.jsonl"
    path.touch(mode=0o600)
    path.write_text("".join(json.dumps(e) + "\n" for e in entries(history, session, cwd, model)), encoding="utf-8")
    return path


def entries(history: Sequence[Json], session: str, cwd: Path, model: str) -> list[dict[str, Any]]:
    """One entry a message, each the child of the one before."""
    found: list[dict[str, Any]] = []
    for message in history:
        entry_id = str(uuid4())
        found.append(
            {
                "type": message["role"],
                "uuid": entry_id,
                "parentUuid": found[-1]["uuid"] if found else None,
                "timestamp": datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
                "sessionId": session,
                "cwd": str(cwd.resolve()),
                "isSidechain": False,
                "userType": "external",
                "version": "2.0.0",
                "message": _message(message, model),
            }
        )
    return found


def _message(message: Json, model: str) -> dict[str, Any]:
    if message["role"] == "user":
        return {"role": "user", "content": message["content"]}
    content = message["content"]
    blocks = [{"type": "text", "text": content}] if isinstance(content, str) else list(content)
    return {
        "id": f"msg_{uuid4().hex}",
        "type": "message",
        "role": "assistant",
        "model": model,
        "content": blocks,
        "stop_reason": "tool_use" if any(b.get("type") == "tool_use" for b in blocks) else "end_turn",
        "stop_sequence": None,
        "usage": {"input_tokens": 0, "output_tokens": 0},
    }
