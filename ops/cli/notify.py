"""`nightshift notify test`."""

from __future__ import annotations

from app import environment
from app.settings import Settings
from ops import notify
from ops.cli.batch.server import show_json
from ops.cli.options import AsJson, fail


def send_test(*, as_json: AsJson = False) -> int:
    """Say what became of each message: 0 when all were sent. No URL is shown."""
    settings = Settings.from_environment()
    if not settings.notify:
        fail("NIGHTSHIFT_NOTIFY is not set. It takes URLs of Apprise, e.g. NIGHTSHIFT_NOTIFY=ntfys://ntfy.sh/my-topic")
    notify.check(settings)
    found = notify.trials(settings, environment.variables())
    if as_json:
        show_json([one._asdict() for one in found])
    else:
        for one in found:
            print(f"{one.service}://: {one.outcome}{f': {one.reason}' if one.reason else ''}")
    return int(any(one.outcome != "sent" for one in found))
