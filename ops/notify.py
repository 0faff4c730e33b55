"""Trial messages: what sends messages is asked to, as a program of its own, and says what became of each."""

from __future__ import annotations

import json
import subprocess
import sys
from importlib.util import find_spec
from typing import TYPE_CHECKING, NamedTuple

from app import extras
from app.notify_settings import scheme
from app.settings import SettingsError
from ops.supervisor.errors import StackError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from app.settings import Settings

_MODULE = "workers.notices"
#: for each URL, seconds
_SECONDS = 40.0
_START_SECONDS = 30.0


class Trial(NamedTuple):
    """What became of a message. `reason`: for people, empty when it was sent."""

    service: str
    outcome: str
    reason: str


def check(settings: Settings) -> None:
    """That what sends messages is installed where there are URLs for them. Raises `SettingsError`."""
    if (settings.notify or settings.notify_from_clients) and find_spec("apprise") is None:
        raise SettingsError(
            f"NIGHTSHIFT_NOTIFY needs Apprise, which is not installed. Add it: {extras.how_to_install('notify')}"
        )


def trials(settings: Settings, environ: Mapping[str, str]) -> list[Trial]:
    """Send a message to each URL of `NIGHTSHIFT_NOTIFY`. Raises `StackError` when nobody can tell what became of them."""
    env = {**environ, **settings.to_environment()}
    argv = [sys.executable, "-P", "-m", _MODULE, "--test"]
    seconds = _START_SECONDS + _SECONDS * len(settings.notify)
    try:
        done = subprocess.run(argv, env=env, capture_output=True, text=True, timeout=seconds, check=False)
        found = [Trial(**json.loads(line)) for line in done.stdout.splitlines()]
    except (subprocess.TimeoutExpired, ValueError, TypeError) as error:
        raise StackError(f"What sends messages did not answer ({type(error).__name__}).") from None
    services = [scheme(url) for url in settings.notify]
    if [one.service for one in found] != services:
        raise StackError(f"What sends messages ended with exit status {done.returncode} after {len(found)} of them.")
    return found
