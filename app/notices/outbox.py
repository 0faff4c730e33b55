"""Messages that wait to be sent, one for each message and each URL, until they are sent or given up.

A hash `nightshift:notice:{id}` and the index `nightshift:notices:due` (score: the next try). URLs are not in it: a target names one
of the settings' by its mark, or one of a batch's by its number.
"""

from __future__ import annotations

import json
import secrets
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

from app import clock
from app.batches.record import urls_key
from app.connection import transaction
from app.ids import new_id
from app.notices.rules import Kind
from app.notify_settings import mark

if TYPE_CHECKING:
    from collections.abc import Sequence

    from redis import Redis

    from app.notices.words import Message
    from app.settings import Settings

DUE = "nightshift:notices:due"
_PREFIX = "nightshift:notice:"
#: tries after the first, each so long after the one before, seconds; the last pause is repeated
_PAUSES = (30.0, 120.0, 600.0, 1800.0, 3600.0)
#: how long it is tried, seconds: that a batch waits is old news after an hour
GIVE_UP_SECONDS = 24 * 3600.0
HELD_GIVE_UP_SECONDS = 3600.0
#: a try whose process died is made again after this: longer than one takes with its reports, seconds
LEASE_SECONDS = 75.0


@dataclass(frozen=True)
class Notice:
    """A message to one URL, and the try that was begun (from 1)."""

    id: str
    kind: Kind
    title: str
    text: str
    #: of `words.Tone`
    tone: str
    target: str
    batch_ids: Sequence[str]
    attempt: int
    give_up_at: float


def of_settings(url: str) -> str:
    """The target for a URL of `NIGHTSHIFT_NOTIFY`."""
    return f"settings:{mark(url)}"


def of_batch(batch_id: str, number: int) -> str:
    """The target for a URL of a batch's own, by its number from 0."""
    return f"{batch_id}:{number}"


def add(pipe: Any, kind: Kind, message: Message, target: str, batch_ids: Sequence[str]) -> None:
    """Put the commands that store it, due at once, on a pipeline in its MULTI."""
    now, notice_id = clock.now(), new_id("notice_")
    seconds = HELD_GIVE_UP_SECONDS if kind is Kind.HELD else GIVE_UP_SECONDS
    fields = {
        "kind": str(kind),
        "title": message.title,
        "text": message.text,
        "tone": str(message.tone),
        "target": target,
        "batch_ids": json.dumps(list(batch_ids)),
        "attempts": 0,
        "give_up_at": now + seconds,
    }
    pipe.hset(_PREFIX + notice_id, mapping=cast("Any", fields))
    pipe.expire(_PREFIX + notice_id, int(seconds + _PAUSES[-1] + LEASE_SECONDS))
    pipe.zadd(DUE, {notice_id: now})


class NoticeOutbox:
    """The steps on it; each is the same twice."""

    def __init__(self, connection: Redis) -> None:
        self._connection = connection

    def is_due(self) -> bool:
        """Whether there is anything to send now."""
        return bool(self._connection.zcount(DUE, "-inf", clock.now()))

    def claim(self) -> Notice | None:
        """Begin a try of what has been due for longest; None: there is nothing."""
        claimant = secrets.token_hex(8)
        while True:
            due = cast("list[bytes]", self._connection.zrangebyscore(DUE, "-inf", clock.now(), start=0, num=1))
            if not due:
                return None
            found = self._claim(due[0].decode(), claimant)
            if found is not None:
                return found

    def _claim(self, notice_id: str, claimant: str) -> Notice | None:
        key = _PREFIX + notice_id

        def change(pipe: Any) -> Notice | None:
            due: float | None = pipe.zscore(DUE, notice_id)
            fields = {name.decode(): value.decode() for name, value in pipe.hgetall(key).items()}
            pipe.multi()
            if not fields:
                pipe.zrem(DUE, notice_id)
                return None
            # Its own, where the reply to this step was lost.
            is_ours = fields.get("claimant") == claimant
            if not is_ours and (due is None or due > clock.now()):
                return None  # another process was quicker
            attempt = int(fields["attempts"]) + (not is_ours)
            if not is_ours:
                pipe.hset(key, mapping={"attempts": attempt, "claimant": claimant})
                pipe.zadd(DUE, {notice_id: clock.now() + LEASE_SECONDS})
            return Notice(
                notice_id,
                Kind(fields["kind"]),
                fields["title"],
                fields["text"],
                fields["tone"],
                fields["target"],
                json.loads(fields["batch_ids"]),
                attempt,
                float(fields["give_up_at"]),
            )

        return transaction(self._connection, (DUE, key), change)

    def end(self, notice: Notice) -> None:
        """It was sent, or is not to be sent any more."""
        pipe = self._connection.pipeline()
        pipe.zrem(DUE, notice.id)
        pipe.delete(_PREFIX + notice.id)
        pipe.execute()

    def failed(self, notice: Notice) -> float | None:
        """It was refused: seconds until the next try. None: it is given up."""
        pause = _PAUSES[min(notice.attempt, len(_PAUSES)) - 1]
        if clock.now() + pause > notice.give_up_at:
            self.end(notice)
            return None
        self._connection.zadd(DUE, {notice.id: clock.now() + pause}, xx=True)
        return pause

    def url(self, notice: Notice, settings: Settings) -> str | None:
        """Where it goes; None: nowhere any more."""
        where, _, which = notice.target.partition(":")
        if where == "settings":
            return next((url for url in settings.notify if mark(url) == which), None)
        urls = urls_of(self._connection, where)
        return urls[int(which)] if int(which) < len(urls) else None


def urls_of(reader: Any, batch_id: str) -> list[str]:
    """A batch's own URLs. They are nowhere else, and are shown to nobody."""
    found = reader.get(urls_key(batch_id))
    return json.loads(found) if found else []
