"""What the queue `callbacks` names: `workers.callbacks.tasks.deliver_event`."""

from __future__ import annotations

import random
from urllib.parse import urlsplit

from app import clock
from workers.callbacks.context import CallbackContext, current
from workers.callbacks.delivery import deliver


def deliver_event(event_id: str) -> None:
    """Begin one attempt to deliver the event, and return. What comes of it, and what is next, is in the outbox."""
    context = current()
    url = context.outbox.url(event_id)
    if url is None:
        return
    if not context.lanes.start(_host(url), lambda: deliver(event_id, context)):
        _put_off(event_id, context)


def _host(url: str) -> str:
    """Only to tell receivers apart; whether the URL is one to connect to is decided at the attempt."""
    try:
        return (urlsplit(url).hostname or "").removesuffix(".")
    except ValueError:
        return ""


def _put_off(event_id: str, context: CallbackContext) -> None:
    """The host is busy with others of its own: come back, ever less often, so that a long row costs little."""
    context.outbox.postpone(event_id, clock.now(), 0.5 + random.random())
