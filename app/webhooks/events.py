"""Events as OpenAI's webhooks have them: thin, naming the object that changed; the receiver fetches the rest.

Source of the format: OpenAI's webhook guide and openai-python's `types/webhooks`:
`{"id": "evt_...", "object": "event", "created_at": 1700000000, "type": "...", "data": {"id": "..."}}`.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from app import clock
from app.ids import OWNER, new_id

if TYPE_CHECKING:
    from collections.abc import Mapping

#: a batch waits for somebody's word: its lines were tried, or its budget is used up
BATCH_HELD = "nightshift.batch.held"
#: for operators: a Claude process was replaced for its memory
WORKER_MEMORY = "nightshift.worker.memory"


@dataclass(frozen=True)
class Event:
    """Something that happened. Made once; `body` is what is signed and sent at every attempt, byte for byte."""

    #: `evt_` + 32 hexadecimal digits; receivers recognise a repeated delivery by it
    id: str
    type: str
    #: seconds since the epoch
    created_at: int
    #: UTF-8 JSON
    body: bytes
    #: whose object it is about; nothing of this is sent
    owner: str = OWNER

    @classmethod
    def new(cls, type_: str, data: Mapping[str, Any], *, now: float | None = None, owner: str = OWNER) -> Event:
        """An event of that type; `data` is thin: `{"id": "chatcmpl-..."}`, the job, response or batch it is about."""
        event_id = new_id("evt_")
        created_at = int(clock.now() if now is None else now)
        body = {
            "id": event_id,
            "object": "event",
            "created_at": created_at,
            "type": type_,
            "data": dict(data),
        }
        return cls(event_id, type_, created_at, json.dumps(body, separators=(",", ":")).encode(), owner)
