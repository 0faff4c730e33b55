"""`python -m workers.notices`: sends all messages that are due, and ends. `--test`: one to each URL of the settings."""

from __future__ import annotations

import json
import logging
import os
import sys
import time
from typing import TYPE_CHECKING

from app import logs
from app.connection import AWAY, patiently
from app.notices.outbox import NoticeOutbox
from app.notices.rules import Kind
from app.notify_settings import scheme
from app.settings import Settings, SettingsError
from workers.notices import reports, sending
from workers.notices.sending import NotifyError, Sent
from workers.start import start
from workers.work_dir import work_dir

if TYPE_CHECKING:
    from app.notices.outbox import Notice

log = logging.getLogger("workers.notices")

#: it ends then, and leaves the rest to the next one, seconds
_RUN_SECONDS = 240.0
#: how long it waits for Redis to note what became of a message, seconds
_NOTE_SECONDS = 15.0
#: with a morning report, where that is wanted
_WITH_REPORT = (Kind.ENDED, Kind.DIGEST)
_TEST = ("Nightshift: a test", "Messages from Nightshift arrive here.")


def main(argv: list[str] | None = None) -> int:
    """0: whatever became of the messages, it is noted; with `--test` 1 when one was not sent."""
    argv = sys.argv[1:] if argv is None else argv
    if argv == ["--test"]:
        return _test()
    _, settings, connection = start("notices", ["--name", "notices"])
    sending.quiet()
    box = NoticeOutbox(connection)
    until = time.monotonic() + _RUN_SECONDS
    try:
        while time.monotonic() < until and (notice := box.claim()) is not None:
            _send(notice, box, settings)
    except AWAY as error:
        log.warning("[NOTIFY] Redis is away (%s): the rest is sent later", type(error).__name__)
        return 1
    return 0


def _send(notice: Notice, box: NoticeOutbox, settings: Settings) -> None:
    """Try, and note what came of it."""
    url = box.url(notice, settings)
    what = f"{notice.kind} message about {', '.join(notice.batch_ids[:3]) or 'nothing'}"
    if url is None:
        log.warning("[NOTIFY] %s: its URL is not there any more; dropped", what)
        box.end(notice)
        return
    where = f"{what} to {scheme(url)}://"
    try:
        if settings.notify_report and notice.kind in _WITH_REPORT:
            # If this process is killed, the next that needs such a directory removes it.
            with work_dir(settings.data_dir / "workers", f"{notice.id}-{os.getpid()}") as directory:
                files = reports.fetch(settings, notice.batch_ids, directory)
                sent = sending.send(url, notice.title, notice.text, files, tone=notice.tone)
        else:
            sent = sending.send(url, notice.title, notice.text, tone=notice.tone)
    except NotifyError as error:
        log.error("[NOTIFY] %s can't be sent: %s", where, error)  # noqa: TRY400 - its message is all there is to say
        sent = Sent("refused", str(error))
    if sent.outcome == "sent":
        log.info("[NOTIFY] %s: sent", where)
        patiently(lambda: box.end(notice), _NOTE_SECONDS)
    elif sent.outcome == "unknown":
        log.warning("[NOTIFY] %s: %s. It is not sent again", where, sent.reason)
        patiently(lambda: box.end(notice), _NOTE_SECONDS)
    elif (pause := patiently(lambda: box.failed(notice), _NOTE_SECONDS)) is None:
        log.error("[NOTIFY] %s: %s; given up after %d tries", where, sent.reason, notice.attempt)
    else:
        log.warning("[NOTIFY] %s: %s; tried again in %.0f s", where, sent.reason, pause)


def _test() -> int:
    """A line of JSON for each URL: its service, and what became of the message."""
    try:
        settings = Settings.from_environment()
    except SettingsError as error:
        sys.exit(str(error))
    logs.configure(settings, "notices")
    sending.quiet()
    status = 0
    for url in settings.notify:
        try:
            sent = sending.send(url, *_TEST)
        except NotifyError as error:
            sent = Sent("refused", str(error))
        print(json.dumps({"service": scheme(url), "outcome": sent.outcome, "reason": sent.reason}), flush=True)  # noqa: T201
        status |= sent.outcome != "sent"
    return int(status)


if __name__ == "__main__":
    # A service that took too long is still being spoken to, in a thread that would hold this process.
    status = main()
    logging.shutdown()
    sys.stdout.flush()
    os._exit(status)
