"""One message to one URL by Apprise. Nobody else imports it.

Apprise raises nothing and logs URLs: its logger stays at INFO, nothing of it reaches our log, and of what it says there a status is read.
"""

from __future__ import annotations

import logging
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from app import extras
from app.notify_settings import scheme

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

#: for one message, seconds
SECONDS = 30.0
#: Apprise has URLs in its lines at DEBUG, what it sends by at other levels
_LOUD = ("apprise", "urllib3", "requests", "httpx", "httpcore", "paho", "aiohttp", "slixmpp")
_STATUS = re.compile(r"error=(\d{3})\b")


class NotifyError(Exception):
    """It can't be sent by anybody here: Apprise is not installed, or does not know the URL. The message shows none of it."""


@dataclass(frozen=True)
class Sent:
    """What became of it. `unknown`: the service took too long, and may have it."""

    outcome: Literal["sent", "refused", "unknown"]
    #: for people; empty when it was sent
    reason: str = ""


class _Listener(logging.Handler):
    """Keeps the statuses that are in lines; nothing else of them may be known."""

    def __init__(self) -> None:
        super().__init__(logging.INFO)
        self.statuses: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        """A line of Apprise's."""
        self.statuses += _STATUS.findall(record.getMessage())


def quiet() -> None:
    """Nothing of what these libraries say is logged. Call it after the log was configured."""
    for name in _LOUD:
        logger = logging.getLogger(name)
        logger.setLevel(logging.INFO)
        logger.propagate = False
        # Without any handler Python would write warnings to stderr by itself.
        logger.addHandler(logging.NullHandler())


def service(url: str) -> Any:
    """An Apprise of that URL alone. Raises `NotifyError`."""
    try:
        import apprise  # noqa: PLC0415 - not installed by default
    except ImportError as error:
        raise NotifyError(f"Messages need Apprise: {extras.how_to_install('notify')}") from error
    # Nothing is kept on the disk, and nothing that looks like an escape in a message is one.
    asset = apprise.AppriseAsset(
        app_id="Nightshift",
        app_desc="Nightshift",
        secure_logging=True,
        storage_mode=apprise.PersistentStoreMode.MEMORY,
        interpret_escapes=False,
        # No picture of somebody else's server in messages.
        image_url_mask="",
        image_url_logo="",
    )
    found = apprise.Apprise(asset=asset)
    # Of one text `add` would make several services, if it looks like several URLs.
    only = apprise.Apprise.instantiate(url, asset=asset)
    if only is None or not found.add(only):
        raise NotifyError(f"Apprise does not understand this URL of {scheme(url)}://, or does not know the service.")
    return found


def send(
    url: str, title: str, text: str, files: Sequence[Path] = (), *, tone: str = "info", seconds: float = SECONDS
) -> Sent:
    """Send it. Raises `NotifyError`. `files`: attached where the service takes any."""
    found = service(url)
    listener = _Listener()
    logger = logging.getLogger("apprise")
    logger.addHandler(listener)
    try:
        attached = [str(file) for file in files] if files and getattr(found[0], "attachment_support", False) else None
        result = found.notify(
            body=text or title, title=title, notify_type=tone, body_format="text", attach=attached, timeout=seconds
        )
    finally:
        logger.removeHandler(listener)
    if result.status.name == "SUCCESS":
        return Sent("sent")
    if result.status.name == "TIMEOUT":
        return Sent("unknown", f"no answer within {seconds:.0f} s; it may have arrived")
    reason = f"the service answered {listener.statuses[-1]}" if listener.statuses else "it refused, or can't be reached"
    return Sent("refused", reason)
