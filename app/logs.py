"""One format of log lines for all processes, on stderr: for people, or JSON lines for machines.

What a client sent or Claude answered is never logged: of a record's extras only the names below are printed.
"""

from __future__ import annotations

import json
import logging
import sys
from datetime import UTC, datetime
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from app.settings import Settings

#: `log.info(..., extra={"job_id": ...})`: the extras that are printed
EXTRAS = ("request_id", "job_id", "worker", "event_id", "attempt", "status", "seconds", "reason")
#: libraries that say too much at INFO, RQ with a job's description among it
_QUIET = ("httpx", "httpcore", "rq", "rq.worker", "asyncio", "werkzeug", "urllib3")


def configure(settings: Settings, process_name: str, level: int = logging.INFO) -> None:
    """Log to stderr as the settings say, under this process's name. Calling it again replaces what was there."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonLines(process_name) if settings.log_format == "json" else ForPeople(process_name))
    logging.basicConfig(level=level, handlers=[handler], force=True)
    logging.captureWarnings(True)
    for name in _QUIET:
        logging.getLogger(name).setLevel(logging.WARNING)


class ForPeople(logging.Formatter):
    """`2026-11-22 08:43:52.120 INFO    worker-1 | message  job_id=...`; a traceback follows on lines of its own."""

    def __init__(self, process_name: str) -> None:
        super().__init__()
        self._process_name = process_name

    def format(self, record: logging.LogRecord) -> str:
        """One line, whatever the message contains; then the traceback."""
        when = datetime.fromtimestamp(record.created).astimezone().strftime("%Y-%m-%d %H:%M:%S")
        line = (
            f"{when}.{record.msecs:03.0f} {record.levelname:<7} {self._process_name} | {_one_line(record.getMessage())}"
        )
        line += "".join(f"  {name}={_one_line(str(value))}" for name, value in _extras(record).items())
        return "\n".join([line, self.formatException(record.exc_info)]) if record.exc_info else line


class JsonLines(logging.Formatter):
    """One JSON object a line: time (UTC), level, process, logger, message, the extras, and the traceback if any."""

    def __init__(self, process_name: str) -> None:
        super().__init__()
        self._process_name = process_name

    def format(self, record: logging.LogRecord) -> str:
        """One line."""
        found = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "process": self._process_name,
            "logger": record.name,
            "message": record.getMessage(),
            **_extras(record),
        }
        if record.exc_info:
            found["exception"] = self.formatException(record.exc_info)
        return json.dumps(found, ensure_ascii=False, default=str)


def _extras(record: logging.LogRecord) -> dict[str, object]:
    return {name: record.__dict__[name] for name in EXTRAS if record.__dict__.get(name) is not None}


def _one_line(text: str) -> str:
    """No line break, no control sequence: nothing in a message can look like another line."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)
