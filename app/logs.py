"""One format of log lines for all processes, on stderr: for people, or JSON lines for machines.

Each line carries the ids of what it is about, from `about` or its own extras. What a client sent or Claude answered is in none,
unless `NIGHTSHIFT_LOG_CONTENT=1` asks for it (`content`); a key or a secret never is.
"""

from __future__ import annotations

import json
import logging
import sys
import traceback
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from app.secret_values import secrets_of, without

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from app.settings import Settings

#: `log.info(..., extra={"job_id": ...})`: the extras that are printed, and what `about` takes
EXTRAS = ("request_id", "job_id", "batch_id", "worker", "event_id", "attempt", "status", "seconds", "reason", "way")
#: of a prompt or an answer, where content is logged, characters
MAX_CONTENT = 2000
#: of a message, and of a traceback, characters: what others say in errors may be of any length
MAX_MESSAGE = 8000
#: exceptions whose texts are of this program and its machine; those of others may quote what they could not read
_TELLING = (OSError, RuntimeError, AttributeError, ImportError, NameError)
#: our own packages: only theirs are the lines that `NIGHTSHIFT_LOG_LEVEL=debug` adds, for others may quote a prompt in theirs
_OURS = ("api", "app", "ops", "simulator", "workers")
#: libraries that say too much at INFO, RQ with a job's description among it
_QUIET = ("httpx", "httpx2", "httpcore", "httpcore2", "rq", "rq.worker", "asyncio", "werkzeug", "urllib3")


_about: ContextVar[Mapping[str, object]] = ContextVar("about")
_of_process: Mapping[str, object] = {}
_logs_content = False

log = logging.getLogger(__name__)


def configure(settings: Settings, process_name: str, **ids: str) -> None:
    """Log to stderr as the settings say, under this process's name. Calling it again replaces what was there.

    `ids`: what all lines of this process are about, whichever its thread.
    """
    global _logs_content, _of_process
    _logs_content, _of_process = settings.log_content, ids
    handler = logging.StreamHandler(sys.stderr)
    secrets = secrets_of(settings)
    handler.setFormatter(
        JsonLines(process_name, secrets) if settings.log_format == "json" else ForPeople(process_name, secrets)
    )
    level = logging.getLevelNamesMapping()[settings.log_level.upper()]
    logging.basicConfig(level=max(level, logging.INFO), handlers=[handler], force=True)
    logging.captureWarnings(True)
    for name in _OURS:
        logging.getLogger(name).setLevel(level)
    for name in _QUIET:
        logging.getLogger(name).setLevel(max(level, logging.WARNING))


@contextmanager
def about(**ids: str) -> Iterator[None]:
    """All lines of this thread that are logged within are about these, beside what they were about already."""
    before = _about.set({**_about.get({}), **ids})
    try:
        yield
    finally:
        _about.reset(before)


def begin(**ids: str) -> None:
    """From now on the lines of this thread are about these and nothing else."""
    _about.set(ids)


def note(**ids: str) -> None:
    """From now on they are about these, too."""
    _about.set({**_about.get({}), **ids})


def content(kind: str, value: Any) -> None:
    """A prompt or an answer, its beginning, if the settings ask for such lines."""
    if _logs_content:
        text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)
        log.info("[CONTENT] %s: %s%s", kind, text[:MAX_CONTENT], "…" if len(text) > MAX_CONTENT else "")


class ForPeople(logging.Formatter):
    """`2026-11-22 08:43:52.120 INFO    worker-1 | message  job_id=...`; a traceback follows on lines of its own."""

    def __init__(self, process_name: str, secrets: tuple[str, ...] = ()) -> None:
        super().__init__()
        self._process_name = process_name
        self._secrets = secrets

    def format(self, record: logging.LogRecord) -> str:
        """One line, whatever the message contains; then the traceback."""
        when = datetime.fromtimestamp(record.created).astimezone().strftime("%Y-%m-%d %H:%M:%S")
        message = one_line(_cut(without(self._secrets, record.getMessage())))
        line = f"{when}.{record.msecs:03.0f} {record.levelname:<7} {self._process_name} | {message}"
        # A worker's lines begin with its name.
        extras = [(name, value) for name, value in _extras(record).items() if value != self._process_name]
        line += "".join(f"  {name}={one_line(str(value))}" for name, value in extras)
        line = without(self._secrets, line)
        return "\n".join([line, _cut(without(self._secrets, _traceback(record)))]) if record.exc_info else line


class JsonLines(logging.Formatter):
    """One JSON object a line: time (UTC), level, process, logger, message, the extras, and the traceback if any."""

    def __init__(self, process_name: str, secrets: tuple[str, ...] = ()) -> None:
        super().__init__()
        self._process_name = process_name
        self._secrets = secrets

    def format(self, record: logging.LogRecord) -> str:
        """One line."""
        found = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "process": self._process_name,
            "logger": record.name,
            "message": _cut(without(self._secrets, record.getMessage())),
            **{n: without(self._secrets, v) if isinstance(v, str) else v for n, v in _extras(record).items()},
        }
        if record.exc_info:
            found["exception"] = _cut(without(self._secrets, _traceback(record)))
        return json.dumps(found, ensure_ascii=False, default=str)


def _extras(record: logging.LogRecord) -> dict[str, object]:
    known = {
        **_of_process,
        **_about.get({}),
        **{name: value for name in EXTRAS if (value := record.__dict__.get(name)) is not None},
    }
    return {name: known[name] for name in EXTRAS if name in known}


def _cut(text: str) -> str:
    """Its beginning and its end."""
    if len(text) <= MAX_MESSAGE:
        return text
    half = MAX_MESSAGE // 2
    return f"{text[:half]} … {len(text) - 2 * half} characters … {text[-half:]}"


def _traceback(record: logging.LogRecord) -> str:
    """Where it happened, and of what type; what it says only where that can't quote a request."""
    error = record.exc_info[1] if record.exc_info else None
    lines = []
    while error is not None:
        lines += ["".join(traceback.format_tb(error.__traceback__)).rstrip()]
        lines += [
            f"{type(error).__name__}: {error}" if _logs_content or isinstance(error, _TELLING) else type(error).__name__
        ]
        error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
        if error is not None:
            lines += ["caused by, or while handling:"]
    return "\n".join(line for line in lines if line)


def one_line(text: str) -> str:
    """No line break, no control sequence: nothing in a message can look like another line."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)
