"""Messages to people: that what sends them is installed, and, where a request to Claude is sent too, that they arrive."""

from __future__ import annotations

from typing import TYPE_CHECKING

from app.settings import SettingsError
from ops import notify
from ops.doctor.finding import Finding, fail, ok, warn
from ops.supervisor.errors import StackError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from app.settings import Settings

_SUBJECT = "Messages"


def look(settings: Settings, environ: Mapping[str, str], *, asks: bool) -> Iterator[Finding]:
    """One finding for each URL; none where nobody wants any. `asks`: send a trial message to each."""
    if not settings.notify:
        return
    try:
        notify.check(settings)
        if not asks:
            number = len(settings.notify)
            yield ok(_SUBJECT, f"{number} URL{'s' if number > 1 else ''}; `nightshift notify test` sends to each")
            return
        for one in notify.trials(settings, environ):
            said = f"{one.service}://: {one.reason or 'a trial message was sent'}"
            if one.outcome == "sent":
                yield ok(_SUBJECT, said)
            elif one.outcome == "unknown":
                yield warn(_SUBJECT, said, "Look whether it has arrived.")
            else:
                yield fail(_SUBJECT, said, "Correct its URL in NIGHTSHIFT_NOTIFY (docs/notifications.md).")
    except (SettingsError, StackError) as error:
        yield fail(_SUBJECT, str(error), "Install it, or unset NIGHTSHIFT_NOTIFY.")
