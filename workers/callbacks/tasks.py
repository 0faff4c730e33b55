"""What the queue `callbacks` names: `workers.callbacks.tasks.deliver_event`, and what a delivering process works with."""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from app import clock
from app.jobs.store import Jobs
from app.outbound import OutboundClient, Resolver, system_resolver
from app.webhooks.endpoints import Endpoints
from app.webhooks.outbox import Outbox
from app.webhooks.signing import parse_secrets
from workers.callbacks.delivery import deliver
from workers.callbacks.lanes import Lanes

if TYPE_CHECKING:
    from redis import Redis

    from app.settings import Settings


@dataclass(frozen=True)
class CallbackContext:
    """Shared by all deliveries of a process; each part is safe to use from several threads."""

    settings: Settings
    outbox: Outbox
    endpoints: Endpoints
    #: the newest first; each signs
    secrets: tuple[str, ...] = field(repr=False)
    #: of what the events are about
    jobs: Jobs
    client: OutboundClient = field(default_factory=OutboundClient)
    resolver: Resolver = system_resolver
    lanes: Lanes = field(default_factory=Lanes)

    @classmethod
    def create(cls, connection: Redis, settings: Settings) -> CallbackContext:
        """From the settings. Raises `WebhookSecretError` if there is no secret, or a malformed one."""
        secrets = parse_secrets(settings.webhook_secret or "")
        return cls(settings, Outbox(connection), Endpoints(connection), secrets, Jobs(connection, settings))

    def close(self, timeout_seconds: float) -> bool:
        """Let what runs end; False if something still does. Nothing is lost then: it is due again later."""
        return self.lanes.wait_idle(timeout_seconds)


_installed: CallbackContext | None = None


def install(context: CallbackContext | None) -> None:
    """Set the process's context; None takes it away."""
    global _installed  # noqa: PLW0603 - RQ calls tasks with nothing but their arguments
    _installed = context


def current() -> CallbackContext:
    """The process's context. Raises `RuntimeError` in a process whose main has not installed one."""
    if _installed is None:
        raise RuntimeError("workers.callbacks.tasks.install() must be called before tasks run")
    return _installed


def deliver_event(event_id: str) -> None:
    """Begin one attempt to deliver the event, and return. What comes of it, and what is next, is in the outbox."""
    context = current()
    url = context.outbox.url(event_id)
    if url is None:
        return
    if not context.lanes.start(_host(url), lambda: deliver(event_id, context)):
        _put_off(event_id, context)


def _host(url: str) -> str:
    """Only to distinguish receivers; whether we may connect to the URL is decided at the attempt."""
    try:
        return (urlsplit(url).hostname or "").removesuffix(".")
    except ValueError:
        return ""


def _put_off(event_id: str, context: CallbackContext) -> None:
    """The host is busy with others of its own: come back, ever less often, so that a long row costs little."""
    context.outbox.postpone(event_id, clock.now(), 0.5 + random.random())
