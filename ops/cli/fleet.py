"""Keeps like processes running that share somebody else's Redis, and does the work that is due on every machine."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from app import logs, spans
from ops.supervisor import redis_server
from ops.supervisor.errors import Stopped
from ops.supervisor.supervisor import Supervisor

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from app.settings import Settings
    from ops.supervisor.process import ProcessSpec

    Work = Sequence[tuple[str, float, Callable[[], object]]]


def supervise(
    settings: Settings, name: str, specs: Sequence[ProcessSpec], work: Work, *, needs_redis: bool = True
) -> int:
    """Run them, and the periodic work, until a signal comes. The exit status. Raises `StackError` without the Redis they need."""
    logs.configure(settings, name)
    spans.configure(settings, name)
    if needs_redis:
        redis_server.check_external(settings.redis_url or "")
    with Supervisor() as supervisor, contextlib.suppress(Stopped):
        supervisor.start(specs)
        for label, seconds, call in work:
            supervisor.every(seconds, call, label)
        supervisor.wait()
    return 0
