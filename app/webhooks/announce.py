"""Makes the events that report an end: one for its own callback, one for each endpoint that asked.

In two halves, for a step in Redis reads first and then writes: `prepare` before its MULTI, `add` within.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from app.ids import OWNER
from app.webhooks import outbox
from app.webhooks.endpoints import subscribed
from app.webhooks.events import Event

if TYPE_CHECKING:
    from collections.abc import Mapping

    from redis import Redis
    from redis.client import Pipeline


@dataclass(frozen=True)
class Announcement:
    """The events to send, and where to."""

    type: str
    object_id: str
    #: (URL, endpoint's id or nothing)
    targets: tuple[tuple[str, str], ...]
    #: sent beside the object's id
    details: Mapping[str, Any] = field(default_factory=dict)
    #: whose that object is
    owner: str = OWNER

    def add(self, pipeline: Pipeline) -> None:
        """Put the commands that store the events on `pipeline`."""
        for url, endpoint_id in self.targets:
            event = Event.new(self.type, {"id": self.object_id, **self.details}, owner=self.owner)
            outbox.add(pipeline, event, url, endpoint_id=endpoint_id)


def prepare(
    reader: Redis | Pipeline,
    type_: str,
    object_id: str,
    callback_url: str,
    *,
    to_endpoints: bool = True,
    details: Mapping[str, Any] = MappingProxyType({}),
    owner: str = OWNER,
) -> Announcement:
    """`reader`: a connection, or a pipeline that has not begun its MULTI."""
    targets = [(callback_url, "")] if callback_url else []
    if to_endpoints:
        targets += [(endpoint.url, endpoint.id) for endpoint in subscribed(reader, type_, owner)]
    return Announcement(type_, object_id, tuple(targets), details, owner)
