"""`python -m workers.check`: whether Claude starts here, and with one request whether its login works. JSON on stdout."""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from pathlib import Path
from typing import Any

from app.settings import Settings
from workers.claude import ClaudeInvoker, Profile, TurnFailed
from workers.claude.cli import sdk_version

#: Claude's smallest model
_MODEL = "haiku"
_SECONDS = 60.0


def main(argv: list[str] | None = None) -> int:
    """0 always: what is wrong stands in `failure` (a `FailureKind`) and `message`."""
    parser = argparse.ArgumentParser(prog="check")
    parser.add_argument("--no-request", action="store_true")
    asks = not parser.parse_args(argv).no_request
    found: dict[str, Any] = {"sdk_version": sdk_version()}
    with tempfile.TemporaryDirectory(prefix="nightshift-check-") as directory:
        settings = Settings.from_environment()
        profile = Profile(model=_MODEL)
        with ClaudeInvoker(settings, name="check", work_dir=Path(directory), profile=profile) as claude:
            claude.wait_until_idle(_SECONDS)
            status = claude.status()
            found["cli_version"] = status.cli_version
            if status.cli_version is None:
                found |= {"failure": "unavailable", "message": status.reason}
            elif asks:
                found |= _ask(claude, profile)
    sys.stdout.write(json.dumps(found))
    return 0


def _ask(claude: ClaudeInvoker, profile: Profile) -> dict[str, Any]:
    try:
        answer = claude.ask("Answer with one word: yes.", profile, timeout_seconds=_SECONDS)
    except TurnFailed as failure:
        return {"failure": str(failure.kind), "message": str(failure)}
    return {"model": answer.model, "seconds": answer.duration_seconds}


if __name__ == "__main__":
    sys.exit(main())
