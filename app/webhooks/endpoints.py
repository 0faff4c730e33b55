"""Endpoints that clients have registered: which events they want, where, and signed with what.

One Redis hash, `nightshift:webhook_endpoints`: id to JSON; and one for those of keys with names, which version 0.1.0 must not read. They have
no end of life; deleting an endpoint removes its field. An endpoint gets the events of what its owner made.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING, Any

from pydantic import TypeAdapter

from app import clock
from app.connection import transaction
from app.idempotency import made_by
from app.ids import OWNER, new_id
from app.webhooks.events import BATCH_HELD, WORKER_MEMORY
from app.webhooks.signing import make_secret

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from redis import Redis
    from redis.client import Pipeline

    from app.idempotency import Fence

KEY = "nightshift:webhook_endpoints"
NAMED = f"{KEY}:named"
#: of one owner
MAX_ENDPOINTS = 50
#: how long a secret that was replaced still signs beside the new one, when that was asked for, seconds
OVERLAP_SECONDS = 24 * 3600.0
#: how long a repeated request finds what its first try made, seconds
TRIES_SECONDS = 24 * 3600.0

#: what can be subscribed to: OpenAI's events of work that is done here, and ours of completions nobody waits for and of
#: the workers
EVENT_TYPES = (
    "batch.completed",
    "batch.failed",
    "batch.expired",
    "batch.cancelled",
    "response.completed",
    "response.failed",
    "response.cancelled",
    "response.incomplete",
    "chat.completion.completed",
    "chat.completion.failed",
    "text_completion.completed",
    "text_completion.failed",
    WORKER_MEMORY,
    BATCH_HELD,
)


class TooManyEndpoints(Exception):
    """There are `MAX_ENDPOINTS` already."""


@dataclass(frozen=True)
class Endpoint:
    """One registration. Times are seconds since the epoch."""

    id: str
    name: str
    url: str
    event_types: tuple[str, ...]
    created_at: float
    updated_at: float
    secret: str = field(repr=False)
    #: the one before, until then
    old_secret: str = field(default="", repr=False)
    old_until: float = 0.0
    #: whose it is
    owner: str = OWNER

    def secrets(self, now: float) -> tuple[str, ...]:
        """What signs now, the newest first."""
        return (self.secret, self.old_secret) if self.old_secret and now < self.old_until else (self.secret,)

    @classmethod
    def from_json(cls, text: str | bytes) -> Endpoint:
        """As it is stored."""
        return _ADAPTER.validate_json(text)

    def to_json(self) -> str:
        """The inverse. Version 0.1.0, which may run beside this one, reads no field that it does not know."""
        return json.dumps({name: value for name, value in asdict(self).items() if (name, value) != ("owner", OWNER)})


_ADAPTER = TypeAdapter(Endpoint)


class Endpoints:
    """The registered endpoints. Methods raise redis-py's errors when Redis is away."""

    def __init__(self, connection: Redis) -> None:
        self._connection = connection

    def create(
        self, name: str, url: str, event_types: Iterable[str], *, owner: str = OWNER, fence: Fence | None = None
    ) -> Endpoint:
        """A new one with a secret of its own, or the one that an earlier try of the request made.

        Raises `TooManyEndpoints`, and `ErrorReply` (409) for a key of another request.
        """
        now = clock.now()
        types = tuple(dict.fromkeys(event_types))
        made = Endpoint(new_id("we_"), name, url, types, now, now, make_secret(), owner=owner)
        key = _key_of(owner)

        def change(pipe: Any) -> Endpoint:
            earlier = made_by(fence, pipe, partial(_read, pipe)) or _read(pipe, made.id)
            if earlier is None and len(_all(pipe, owner)) >= MAX_ENDPOINTS:
                raise TooManyEndpoints
            pipe.multi()
            if earlier is not None:
                return earlier
            pipe.hset(key, made.id, made.to_json())
            if fence is not None:
                fence.note(pipe, made.id, TRIES_SECONDS)
            return made

        return transaction(self._connection, key, change)

    def get(self, endpoint_id: str) -> Endpoint | None:
        """One, None when there is no such."""
        return _read(self._connection, endpoint_id)

    def newest(self, owner: str | None = None) -> list[Endpoint]:
        """All of one owner, or of everybody, newest first."""
        return sorted(_all(self._connection, owner), key=lambda one: (one.created_at, one.id), reverse=True)

    def update(self, endpoint_id: str, **fields: Any) -> Endpoint | None:
        """With other fields; None when there is no such. A change that changes nothing leaves `updated_at`."""

        def changed(endpoint: Endpoint) -> Endpoint:
            after = replace(endpoint, **fields)
            return after if after == endpoint else replace(after, updated_at=clock.now())

        return self._change(endpoint_id, changed)

    def rotate(self, endpoint_id: str, *, keep_old: bool, fence: Fence | None = None) -> Endpoint | None:
        """With a new secret; the old one signs beside it for a day if it is kept. None when there is no such.

        A repeated request changes nothing: a second rotation would end the secret that its receiver still has.
        """
        now, secret = clock.now(), make_secret()

        def changed(endpoint: Endpoint) -> Endpoint:
            if endpoint.secret == secret:
                return endpoint  # The reply to this step was lost, and it is decided again.
            old, until = (endpoint.secret, now + OVERLAP_SECONDS) if keep_old else ("", 0.0)
            return replace(endpoint, secret=secret, old_secret=old, old_until=until, updated_at=now)

        return self._change(endpoint_id, changed, fence)

    def delete(self, endpoint_id: str) -> bool:
        """Whether there was one. What still waits to be delivered to it is given up."""
        was_there, key = False, self._where(endpoint_id)

        def change(pipe: Any) -> bool:
            nonlocal was_there
            # Or was, before a try whose reply was lost.
            was_there = was_there or bool(pipe.hexists(key, endpoint_id))
            pipe.multi()
            pipe.hdel(key, endpoint_id)
            return was_there

        return transaction(self._connection, key, change)

    def _change(
        self, endpoint_id: str, changed: Callable[[Endpoint], Endpoint], fence: Fence | None = None
    ) -> Endpoint | None:
        key = self._where(endpoint_id)

        def change(pipe: Any) -> Endpoint | None:
            is_done = made_by(fence, pipe, partial(_read, pipe)) is not None
            found = _read(pipe, endpoint_id)
            pipe.multi()
            if found is None or is_done:
                return found
            after = changed(found)
            pipe.hset(key, endpoint_id, after.to_json())
            if fence is not None:
                fence.note(pipe, endpoint_id, TRIES_SECONDS)
            return after

        return transaction(self._connection, key, change)

    def _where(self, endpoint_id: str) -> str:
        """The hash that has it. It never moves."""
        return NAMED if self._connection.hexists(NAMED, endpoint_id) else KEY


def subscribed(reader: Redis | Pipeline, event_type: str, owner: str) -> list[Endpoint]:
    """The owner's endpoints that want such events. `reader`: a connection, or a pipeline that has not begun its MULTI."""
    return [endpoint for endpoint in _all(reader, owner) if event_type in endpoint.event_types]


def _key_of(owner: str) -> str:
    return KEY if owner == OWNER else NAMED


def _read(reader: Redis | Pipeline, endpoint_id: str) -> Endpoint | None:
    found: Any = reader.hget(KEY, endpoint_id) or reader.hget(NAMED, endpoint_id)
    return None if found is None else Endpoint.from_json(found)


def _all(reader: Redis | Pipeline, owner: str | None) -> list[Endpoint]:
    """`owner` None: everybody's."""
    values: list[Any] = []
    for key in (KEY, NAMED) if owner is None else (_key_of(owner),):
        found: Any = reader.hvals(key)
        values += found
    endpoints = [Endpoint.from_json(value) for value in values]
    return [endpoint for endpoint in endpoints if owner in (None, endpoint.owner)]
