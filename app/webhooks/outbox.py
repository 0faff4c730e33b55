"""The outbox: events in Redis from the step that made them until a day after their delivery.

`add` only puts commands on the caller's pipeline, so that an event is stored in the same MULTI as the outcome it tells
of: there is never one without the other. Everything after that is a step of its own, atomic, and harmless when
repeated. An event whose delivery dies half-way is due again when its claim ends: at least once, never lost.

Keys: `nightshift:event:{id}` (hash, see `outbox_scripts`), `nightshift:event:{id}:attempts` (list of JSON), and the
indexes `nightshift:events:due` (pending; score: the next attempt), `:delivered` and `:undelivered` (score: since when).
"""

from __future__ import annotations

import json
import secrets
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Literal, cast, get_args

from app import counters, redis_index
from app.connection import repeated
from app.ids import OWNER
from app.webhooks import outbox_scripts as scripts
from app.webhooks.events import Event
from app.webhooks.schedule import GIVE_UP_SECONDS

if TYPE_CHECKING:
    from collections.abc import Iterable

    from redis import Redis
    from redis.client import Pipeline

EventStatus = Literal["pending", "delivered", "undelivered"]

DUE = "nightshift:events:due"
DELIVERED = "nightshift:events:delivered"
UNDELIVERED = "nightshift:events:undelivered"
_PREFIX = "nightshift:event:"
#: how long an event is kept after it ended, seconds
KEEP_SECONDS: dict[EventStatus, int] = {"delivered": 24 * 3600, "undelivered": 7 * 24 * 3600}
#: attempts remembered of an event; the schedule has about 12 in its day
MAX_HISTORY = 20
#: an event that was handed to the queue and not claimed is due again after this, seconds
DISPATCH_SECONDS = 30.0
#: an attempt that has no place yet comes again after this, ever later, seconds
POSTPONE_SECONDS, LONGEST_POSTPONE_SECONDS = 0.5, 60.0
_MAX_DOUBLINGS = 10


class UnknownEventError(LookupError):
    """There is no such event: it never was, or it ended so long ago that it has been removed."""


@dataclass(frozen=True)
class Claim:
    """The right to make one attempt. `attempt` counts all there were; `tries` those of this round, both from 1."""

    event_id: str
    attempt: int
    tries: int
    give_up_at: float
    url: str
    body: bytes
    #: the registered endpoint that it goes to, if it is one's
    endpoint_id: str = ""


@dataclass(frozen=True)
class Attempt:
    """What came of one attempt. `status` is the receiver's; `error` our word for what was wrong with it."""

    number: int
    at: float
    status: int | None
    error: str | None
    duration_seconds: float


@dataclass(frozen=True)
class StoredEvent:
    """An event as an operator looks at it. Times are seconds since the epoch."""

    event: Event
    url: str
    status: EventStatus
    #: attempts begun; `history` holds the last ones that ended, oldest first
    attempts: int
    history: tuple[Attempt, ...]
    next_attempt_at: float | None
    ended_at: float | None
    #: the receiver answered 410: it wants no more of these
    endpoint_gone: bool


def add(pipeline: Pipeline, event: Event, url: str, *, endpoint_id: str = "") -> None:
    """Put the commands that store the event, due at once, on `pipeline`. Nothing happens before the caller executes it.

    For a registered endpoint, its address and secrets at the time of each attempt are what counts.
    """
    fields = {
        "type": event.type,
        "url": url,
        "endpoint_id": endpoint_id,
        "body": event.body,
        "created_at": event.created_at,
        "status": "pending",
        "attempts": 0,
        "tries": 0,
        "give_up_at": event.created_at + GIVE_UP_SECONDS,
        "owner": event.owner,
    }
    pipeline.hset(_PREFIX + event.id, mapping=cast("Any", fields))
    pipeline.zadd(DUE, {event.id: event.created_at})


class Outbox:
    """The steps on stored events. `connection` has `decode_responses` off; it may be shared between threads."""

    def __init__(self, connection: Redis) -> None:
        self._connection = connection
        self._take_due = connection.register_script(scripts.TAKE_DUE)
        self._claim = connection.register_script(scripts.CLAIM)
        self._record = connection.register_script(scripts.RECORD)
        self._postpone = connection.register_script(scripts.POSTPONE)
        self._resend = connection.register_script(scripts.RESEND)

    def take_due(self, now: float, limit: int) -> list[tuple[str, int]]:
        """(id, attempts so far) of events whose time has come. Each is due again in `DISPATCH_SECONDS` if nothing happens."""
        args: list[Any] = [now, limit, now + DISPATCH_SECONDS, _PREFIX, _new_name()]
        flat = repeated(lambda: self._take_due(keys=[DUE], args=args))
        return [(flat[i].decode(), int(flat[i + 1])) for i in range(0, len(flat), 2)]

    def claim(self, event_id: str, now: float, *, lease_seconds: float) -> Claim | None:
        """Begin an attempt; None if the event has ended, is not known, or another attempt is under way."""
        args: list[Any] = [event_id, now, now + lease_seconds, _new_name()]
        found = repeated(lambda: self._claim(keys=[_PREFIX + event_id, DUE], args=args))
        if not found:
            return None
        attempt, tries, give_up_at, url, body, endpoint_id = found
        return Claim(
            event_id, int(attempt), int(tries), float(give_up_at), url.decode(), body, (endpoint_id or b"").decode()
        )

    def record_success(self, event_id: str, attempt: Attempt) -> bool:
        """The receiver has the event. False if that was known already."""
        return self._write(event_id, attempt, "delivered")

    def record_failure(
        self, event_id: str, attempt: Attempt, *, next_at: float | None, endpoint_gone: bool = False
    ) -> bool:
        """The attempt failed; `next_at` None: for good. False if the attempt's claim has passed to another, or it ended."""
        status: EventStatus = "undelivered" if next_at is None else "pending"
        return self._write(event_id, attempt, status, next_at=next_at, endpoint_gone=endpoint_gone)

    def postpone(self, event_id: str, now: float, share: float) -> None:
        """Put off an attempt that was not begun; it does not count as one.

        For `POSTPONE_SECONDS`, twice as long each time, `LONGEST_POSTPONE_SECONDS` at most; and of that `share`, lest all come at once.
        """
        args: list[Any] = [
            event_id,
            now,
            POSTPONE_SECONDS,
            _MAX_DOUBLINGS,
            LONGEST_POSTPONE_SECONDS,
            share,
            _new_name(),
        ]
        repeated(lambda: self._postpone(keys=[_PREFIX + event_id, DUE], args=args))

    def resend(self, event_id: str, now: float) -> None:
        """Deliver once more, with a new day of attempts; the id stays. For delivered events too. `UnknownEventError`."""
        args: list[Any] = [event_id, now, now + GIVE_UP_SECONDS, _new_name()]
        if not repeated(lambda: self._resend(keys=self._keys(event_id), args=args)):
            raise UnknownEventError(event_id)

    def url(self, event_id: str) -> str | None:
        """Where the event is sent, None if there is none."""
        found = cast("bytes | None", self._connection.hget(_PREFIX + event_id, "url"))
        return None if found is None else found.decode()

    def get(self, event_id: str) -> StoredEvent:
        """One event. Raises `UnknownEventError`."""
        found = self._load([event_id])
        if not found:
            raise UnknownEventError(event_id)
        return found[0]

    def page(
        self, status: EventStatus, *, limit: int = 20, after: str | None = None, owner: str | None = None
    ) -> list[StoredEvent]:
        """Up to `limit` events, of one owner or of all, behind the id `after`. Pending: the soonest first; ended: the newest first.

        Raises `ErrorReply` (400) when no event `after` has that status.
        """

        def load(ids: list[str]) -> list[StoredEvent]:
            return [stored for stored in self._load(ids) if owner in (None, stored.event.owner)]

        return redis_index.page(
            self._connection,
            _index(status),
            after,
            load,
            limit=limit,
            what=f"{status} event",
            newest_first=status != "pending",
            records=_PREFIX,
            owner=owner,
        )

    def _write(
        self,
        event_id: str,
        attempt: Attempt,
        status: EventStatus,
        *,
        next_at: float | None = None,
        endpoint_gone: bool = False,
    ) -> bool:
        ended_at = attempt.at + attempt.duration_seconds
        args: list[Any] = [event_id, attempt.number, json.dumps(asdict(attempt)), ended_at, status]
        args += [next_at or 0, MAX_HISTORY, KEEP_SECONDS.get(status, 0), int(endpoint_gone)]
        args.append(counters.field(counters.CALLBACKS, "retry" if status == "pending" else status))
        return bool(repeated(lambda: self._record(keys=[*self._keys(event_id), counters.KEY], args=args)))

    def _load(self, event_ids: Iterable[str]) -> list[StoredEvent]:
        ids = list(event_ids)
        with self._connection.pipeline(transaction=False) as pipe:
            for event_id in ids:
                pipe.hgetall(_PREFIX + event_id)
                pipe.lrange(_history(event_id), 0, -1)
                pipe.zscore(DUE, event_id)
            replies = pipe.execute()
        # The index may name an event whose hash has just expired.
        return [
            _stored(event_id, replies[3 * i], replies[3 * i + 1], replies[3 * i + 2])
            for i, event_id in enumerate(ids)
            if replies[3 * i]
        ]

    @staticmethod
    def _keys(event_id: str) -> list[str]:
        return [_PREFIX + event_id, _history(event_id), DUE, DELIVERED, UNDELIVERED]


def _new_name() -> str:
    return secrets.token_hex(8)


def _history(event_id: str) -> str:
    return f"{_PREFIX}{event_id}:attempts"


def _index(status: EventStatus) -> str:
    if status not in get_args(EventStatus):
        raise ValueError(f"status is one of {', '.join(get_args(EventStatus))}, not {status!r}")
    return {"pending": DUE, "delivered": DELIVERED, "undelivered": UNDELIVERED}[status]


def _stored(event_id: str, fields: dict[bytes, bytes], history: list[bytes], due: float | None) -> StoredEvent:
    ended_at = fields.get(b"ended_at")
    return StoredEvent(
        event=Event(
            event_id,
            fields[b"type"].decode(),
            int(fields[b"created_at"]),
            fields[b"body"],
            fields.get(b"owner", OWNER.encode()).decode(),
        ),
        url=fields[b"url"].decode(),
        status=cast("EventStatus", fields[b"status"].decode()),
        attempts=int(fields[b"attempts"]),
        history=tuple(Attempt(**json.loads(entry)) for entry in history),
        next_attempt_at=due,
        ended_at=None if ended_at is None else float(ended_at),
        endpoint_gone=fields.get(b"endpoint_gone") == b"1",
    )
