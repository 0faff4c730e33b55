"""What a delivering process works with. Its main calls `install` once; the task, which RQ calls by name, `current`."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from app.jobs.store import Jobs
from app.outbound import OutboundClient, Resolver, system_resolver
from app.webhooks.endpoints import Endpoints
from app.webhooks.outbox import Outbox
from app.webhooks.signing import parse_secrets
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
        raise RuntimeError("workers.callbacks.context.install() must be called before tasks run")
    return _installed
