"""The page's sections as HTML, made once a second for all open pages, and the stream that sends each page what has changed."""

from __future__ import annotations

import json
import math
import threading
import time
from typing import TYPE_CHECKING

from api import figures
from api.overview import headline, past, snapshot
from api.overview.chart import Chart, spark
from app import clock, errors
from app.batches import waits
from app.connection import AWAY
from app.error_codes import ErrorCode

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from jinja2 import Environment

    from api.overview.past import Past
    from api.services import Services

#: how old what a page shows may be, and what changes slowly, seconds
SNAPSHOT_SECONDS, PAST_SECONDS = 1.0, 5.0
#: a stream says something at least so often, for proxies that end silent connections, seconds
_SILENCE_SECONDS = 15.0
#: when a browser tries again after a broken connection, milliseconds
_RETRY_MS = 2000
#: pages that are open and in view at most; each takes a thread while it is
MAX_PAGES = 50
_NAMES = ("headline", "numbers", "traffic", "workers", "batches", "failures")


class Live:
    """One per application; any number of threads."""

    def __init__(self, services: Services, templates: Environment) -> None:
        self._services = services
        self._templates = templates
        self._lock = threading.Lock()
        self._sections: dict[str, str] = {}
        self._hours = past.Hours(services.connection, services.jobs)
        self._past: Past | None = None
        self._made_at = self._past_at = -math.inf
        # The threads beyond those that waiting clients may take are for everything else, too.
        spare = services.settings.api_threads - services.settings.max_waiting
        self.most_pages = min(MAX_PAGES, spare // 2)
        self._places = threading.BoundedSemaphore(self.most_pages)

    def sections(self) -> dict[str, str]:
        """HTML by the section's id, a second old at most. Only the headline while Redis is away."""
        with self._lock:
            if time.monotonic() - self._made_at >= SNAPSHOT_SECONDS:
                self._sections = self._make()
                self._made_at = time.monotonic()
            return self._sections

    def forget(self) -> None:
        """Something was changed by hand: whoever looks next sees it."""
        with self._lock:
            self._made_at = self._past_at = -math.inf

    def stream(self, is_gone: Callable[[], bool], is_writable: Callable[[float], bool]) -> Iterable[bytes]:
        """Server-sent events for one page, each a JSON object of sections that differ from what it was sent before.

        Raises `ErrorReply` at once when too many pages are open. Ends within a second after its client or the server does.
        """
        if not self._places.acquire(blocking=False):
            raise errors.rate_limited(
                f"Only {self.most_pages} pages may be live at once (NIGHTSHIFT_API_THREADS, NIGHTSHIFT_MAX_WAITING).",
                ErrorCode.TOO_MANY_PAGES,
                10.0,
            )
        return _Stream(self._events(is_gone, is_writable), self._places.release)

    def _events(self, is_gone: Callable[[], bool], is_writable: Callable[[float], bool]) -> Iterator[bytes]:
        yield f"retry: {_RETRY_MS}\n\n".encode()
        sent: dict[str, str] = {}
        last = time.monotonic()
        while not is_gone() and not self._services.waiting.is_draining:
            found = self.sections()
            changed = {name: html for name, html in found.items() if sent.get(name) != html}
            if changed:
                if not is_writable(_SILENCE_SECONDS):
                    return  # it does not read; a browser that does comes back
                yield f"data: {json.dumps(changed)}\n\n".encode()
                sent |= changed
                last = time.monotonic()
            elif time.monotonic() - last >= _SILENCE_SECONDS:
                yield b": nothing new\n"
                last = time.monotonic()
            time.sleep(SNAPSHOT_SECONDS)

    def _make(self) -> dict[str, str]:
        try:
            now = snapshot.take(self._services, self._read_past())
        except AWAY:
            return {"headline": self._render("headline", headline=headline.without_redis(), now=None)}
        shown = {
            "headline": headline.of(now),
            "now": now,
            "chart": Chart(now.past),
            "spark": spark,
            "figures": figures,
            "meanings": figures.FAILURES,
            "why_waits": waits.clause,
            "limit_mb": self._services.settings.max_rss_mb,
        }
        return {name: self._render(name, **shown) for name in _NAMES}

    def _read_past(self) -> Past:
        if self._past is None or time.monotonic() - self._past_at >= PAST_SECONDS:
            self._past = self._hours.read(clock.now())
            self._past_at = time.monotonic()
        return self._past

    def _render(self, name: str, **shown: object) -> str:
        return self._templates.get_template(f"overview/{name}.html").render(**shown)


class _Stream:
    """Gives its place back when the server closes it, begun or not."""

    def __init__(self, events: Iterator[bytes], release: Callable[[], None]) -> None:
        self._events = events
        self._release: Callable[[], None] | None = release

    def __iter__(self) -> Iterator[bytes]:
        return self._events

    def close(self) -> None:
        """The response has ended."""
        if self._release is not None:
            self._release()
            self._release = None
