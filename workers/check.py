"""`python -m workers.check`: whether the way to Claude is there, and with one request whether its login works. JSON on stdout."""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from app.login import engine_settings
from app.messages import to_claude
from app.messages.failure import FailureKind, TurnFailed
from app.settings import Settings, SettingsError
from app.ways import OF_WORKERS, Way
from workers.claude import ClaudeInvoker, Profile, frugal
from workers.claude.cli import bundled_cli, sdk_version
from workers.messages_api import ApiEngine

#: Claude's smallest model
_MODEL = "haiku"
_SECONDS = 60.0
_QUESTION = "Answer with one word: yes."


def main(argv: list[str] | None = None) -> int:
    """0 always: what is wrong is in `failure` (a `FailureKind`) and `message`."""
    parser = argparse.ArgumentParser(prog="check")
    parser.add_argument("--no-request", action="store_true")
    parser.add_argument("--way", choices=OF_WORKERS, help="of those that NIGHTSHIFT_WAYS names; default: the first")
    given = parser.parse_args(argv)
    asks, settings = not given.no_request, Settings.from_environment()
    way = given.way or settings.way
    settings = engine_settings(settings, next(step for step in settings.ways if step.way == way))
    found = _by_api(settings, asks=asks) if way == Way.API else _by_cli(settings, asks=asks)
    sys.stdout.write(json.dumps(found))
    return 0


def _by_api(settings: Settings, *, asks: bool) -> dict[str, Any]:
    body = {"model": _MODEL, "messages": [{"role": "user", "content": _QUESTION}]}
    try:
        with ApiEngine(settings, name="check") as engine:
            if not asks:
                return {}
            answer = engine.ask(to_claude({"claude_model": _MODEL, "request": body}), time.monotonic() + _SECONDS)
    except SettingsError as error:
        return {"failure": str(FailureKind.UNAVAILABLE), "message": str(error)}
    except TurnFailed as failure:
        return {"failure": str(failure.kind), "message": str(failure)}
    return {"model": answer.model, "seconds": answer.duration_seconds}


def _by_cli(settings: Settings, *, asks: bool) -> dict[str, Any]:
    found: dict[str, Any] = {"sdk_version": sdk_version()}
    with tempfile.TemporaryDirectory(prefix="nightshift-check-") as directory:
        profile = Profile(model=_MODEL)
        with ClaudeInvoker(settings, name="check", work_dir=Path(directory), profile=profile) as claude:
            claude.wait_until_idle(_SECONDS)
            status = claude.status()
            found["cli_version"] = status.cli_version
            if settings.memory == "frugal":
                found["frugal_fault"] = frugal.fault(bundled_cli())
            if status.cli_version is None:
                found |= {"failure": "unavailable", "message": status.reason}
            elif asks:
                found |= _ask(claude, profile)
    return found


def _ask(claude: ClaudeInvoker, profile: Profile) -> dict[str, Any]:
    try:
        answer = claude.ask(_QUESTION, profile, timeout_seconds=_SECONDS)
    except TurnFailed as failure:
        return {"failure": str(failure.kind), "message": str(failure)}
    return {"model": answer.model, "seconds": answer.duration_seconds}


if __name__ == "__main__":
    sys.exit(main())
