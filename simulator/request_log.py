"""What the simulator was asked: the proof of what a model would have seen."""

import json
import time
from collections import deque
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

#: Headers whose values are secrets; the log says only that they were there.
SECRET_HEADERS = frozenset({"authorization", "x-api-key", "proxy-authorization", "cookie"})


@dataclass
class Entry:
    """One request and, once known, its answer.

    ``kind`` is what was answered (``message``, ``tool_use``, ``refusal``, ``error``, ``usage_limit``,
    ``count_tokens``, ``batches_create`` and its like, ``batched`` for each request of a batch, ...), ``rule`` the id of the rule that answered. ``status`` is None while the request is
    running.
    """

    index: int
    time: float
    method: str
    path: str
    headers: dict[str, str]
    raw_body: bytes
    kind: str | None = None
    status: int | None = None
    rule: int | None = None
    stop_reason: str | None = None
    client_gone: bool = False
    seconds: float | None = None
    extra_size: int = field(default=500)

    @property
    def size(self) -> int:
        """The bytes that the entry counts for: its body's, and something for the rest."""
        return len(self.raw_body) + self.extra_size

    def contains(self, text: str) -> bool:
        """Return whether the body has ``text`` in it, as JSON escapes it."""
        return any(json.dumps(text, ensure_ascii=escaped)[1:-1].encode() in self.raw_body for escaped in (False, True))

    def describe(self) -> dict[str, Any]:
        """Return the entry as JSON can hold it; a body that is no JSON comes as a text."""
        try:
            body = json.loads(self.raw_body) if self.raw_body else None
        except ValueError:
            body = self.raw_body.decode(errors="replace")
        return {
            "index": self.index,
            "time": self.time,
            "method": self.method,
            "path": self.path,
            "headers": self.headers,
            "body": body,
            "kind": self.kind,
            "status": self.status,
            "rule": self.rule,
            "stop_reason": self.stop_reason,
            "client_gone": self.client_gone,
            "seconds": self.seconds,
        }


class RequestLog:
    """The newest requests, as many as ``max_bytes`` hold, and the counts of all of them."""

    def __init__(self, max_bytes: int, file: Path | None = None) -> None:
        self._max_bytes = max_bytes
        self._entries: deque[Entry] = deque()
        self._bytes = 0
        self._next_index = 0
        self._file = file.open("a", encoding="utf-8", buffering=1) if file else None
        self.dropped = 0
        self.running = 0
        self.max_running = 0
        self.client_gone = 0
        self.by_status: dict[int, int] = {}

    def begin(self, method: str, path: str, headers: dict[str, str], raw_body: bytes) -> Entry:
        """Note a request that was read, and drop the oldest ones that no longer have room."""
        entry = self._add(method, path, headers, raw_body)
        self.running += 1
        self.max_running = max(self.max_running, self.running)
        return entry

    def note(self, method: str, path: str, headers: dict[str, str], raw_body: bytes, kind: str) -> None:
        """Note what came within another request, and is no request of its own to count."""
        entry = self._add(method, path, headers, raw_body)
        entry.kind = kind
        self._write(entry)

    def _add(self, method: str, path: str, headers: dict[str, str], raw_body: bytes) -> Entry:
        entry = Entry(self._next_index, time.time(), method, path, _without_secrets(headers), raw_body)
        self._next_index += 1
        self._entries.append(entry)
        self._bytes += entry.size
        while self._bytes > self._max_bytes and self._entries:
            self._bytes -= self._entries.popleft().size
            self.dropped += 1
        return entry

    def end(self, entry: Entry) -> None:
        """Count a request that is over, and write it to the log file if there is one."""
        entry.seconds = round(time.time() - entry.time, 6)
        self.running -= 1
        self.client_gone += entry.client_gone
        if entry.status is not None:
            self.by_status[entry.status] = self.by_status.get(entry.status, 0) + 1
        self._write(entry)

    def _write(self, entry: Entry) -> None:
        if self._file:
            self._file.write(json.dumps(entry.describe()) + "\n")

    def find(self, contains: str | None, after: int, limit: int) -> list[dict[str, Any]]:
        """Return the first ``limit`` requests with an index above ``after`` whose body has ``contains`` in it."""
        found: list[dict[str, Any]] = []
        for entry in self._entries:
            if len(found) >= limit:
                break
            if entry.index > after and (not contains or entry.contains(contains)):
                found.append(entry.describe())
        return found

    def clear(self) -> None:
        """Forget all requests and start the counts again; indexes go on."""
        self._entries.clear()
        self._bytes = 0
        self.dropped = 0
        self.client_gone = 0
        self.max_running = self.running
        self.by_status.clear()

    def stats(self) -> dict[str, Any]:
        """Return the counts since the start or the last :meth:`clear`."""
        return {
            "by_status": {str(status): count for status, count in sorted(self.by_status.items())},
            "answered": sum(self.by_status.values()),
            "running": self.running,
            "max_running": self.max_running,
            "client_gone": self.client_gone,
            "logged": len(self._entries),
            "logged_bytes": self._bytes,
            "dropped": self.dropped,
        }


def _without_secrets(headers: dict[str, str]) -> dict[str, str]:
    return {name: "present" if name in SECRET_HEADERS else value for name, value in headers.items()}
