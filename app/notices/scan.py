"""Looks at the batches every few seconds, and puts into the outbox what is to be said of them. Any number of processes do it."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from app import clock, hashes, window
from app.batches import capacity, leadership, waiting
from app.batches.parts.record import parts_key, parts_of
from app.batches.record import (
    ACTIVE,
    BATCH_RETENTION,
    KEEP_SECONDS,
    WITH_URLS,
    BatchRecord,
    BatchStatus,
    Hold,
    batch_key,
    urls_key,
)
from app.connection import texts, transaction
from app.notices import outbox, rules, words
from app.notices.rules import SHARED, Kind, Said, Wait
from app.notify_settings import read_time
from app.ways import Way

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from redis import Redis

    from app.notices.words import Message
    from app.settings import Settings

#: how often it is looked, seconds
LOOK_SECONDS = 3.0
_SAID = "nightshift:notices:said:"
#: until when ends were looked at, and since when somebody wants to know
_CURSOR, _BEGUN = "nightshift:notices:cursor", "nightshift:notices:begun"
#: ends are looked for a little before it, for what was written late, seconds
_OVERLAP_SECONDS = 120.0
#: what has ended longer ago than this when somebody begins to look is not said; a digest is not sent so much later than its time, seconds
_OLD_SECONDS, _LATE_SECONDS = 24 * 3600.0, 6 * 3600.0
#: what was said is remembered longer than a batch may last, seconds
_REMEMBERED = 9 * 24 * 3600
_DIGEST = "digest"


class Scan:
    """One for each process that looks."""

    def __init__(self, connection: Redis, settings: Settings) -> None:
        self._connection = connection
        self._settings = settings
        self._next_look = 0.0
        zone = window.parse(settings.batch_window).zone if settings.batch_window else None
        self._digest = read_time(settings.notify_digest) if settings.notify_digest else None
        self._where = words.Where((self._digest and self._digest.zone) or zone, settings.notify_links)

    def look_if_due(self) -> None:
        """Look, if it is time, and if anybody wants to know."""
        if time.monotonic() < self._next_look:
            return
        self._next_look = time.monotonic() + LOOK_SECONDS
        if self._settings.notify or self._connection.exists(WITH_URLS):
            self.look()

    def look(self) -> None:
        """Say what is to be said."""
        now = clock.now()
        active = self._load(texts(self._connection.zrange(ACTIVE, 0, -1)))
        waits = {record.id: wait for record in active if (wait := self._wait(record)) is not None}
        for record in [*active, *self._owed(active), *self._ended(now)]:
            self._say(record, waits.get(record.id), now)
        self._say_shared([record for record in active if record.id in waits], waits, now)
        if self._digest is not None and self._settings.notify:
            self._say_digest(active, waits, self._digest.last(now), now)
        self._connection.set(_CURSOR, now, ex=_REMEMBERED)

    def _load(self, ids: Sequence[str]) -> list[BatchRecord]:
        found = hashes.read_all(self._connection, BatchRecord, map(batch_key, ids))
        return [record for record in found if record is not None]

    def _owed(self, active: Sequence[BatchRecord]) -> list[BatchRecord]:
        """Those that have ended, and whose own URLs have yet to hear of it: whenever that was, also before anybody looked at all."""
        ids = {*texts(self._connection.smembers(WITH_URLS))} - {record.id for record in active}
        return [record for record in self._load(sorted(ids)) if record.status.is_final]

    def _ended(self, now: float) -> list[BatchRecord]:
        """Those that have ended since somebody looked last."""
        since = float(self._connection.get(_CURSOR) or 0.0)
        if now - since > _OLD_SECONDS:
            self._connection.set(_BEGUN, now, ex=_REMEMBERED)
            return []
        begun = float(self._connection.get(_BEGUN) or 0.0)
        first = max(begun, since - _OVERLAP_SECONDS) + KEEP_SECONDS
        return self._load(texts(self._connection.zrangebyscore(BATCH_RETENTION, first, "+inf")))

    def _wait(self, record: BatchRecord) -> Wait | None:
        """Why it does not go on; None: it does, or it waits as it was told to."""
        if (why := leadership.stalled(self._connection, record)) is not None:
            return Wait(why.code)
        if record.status is not BatchStatus.IN_PROGRESS:
            return None
        if record.held:
            return Wait(record.held)
        closed = waiting.held_by(self._connection, self._settings, record)
        parts = parts_of(self._connection.hgetall(parts_key(record.id)))  # type: ignore[arg-type]
        if parts.by_id and not parts.unsent and parts.lines >= record.total - record.ended:
            return None  # all that is left was sent
        if closed is not None:
            return Wait(str(closed.cause), closed.until if closed.until < 1e12 else None)
        if not window.is_open(record.window or self._settings.batch_window, clock.now()):
            return None
        if record.way == Way.BATCHES or parts.by_id:
            return None if leadership.has_lane(self._connection, record.place) else Wait(Hold.NO_LANE)
        return None if capacity.living(self._connection, self._settings) else Wait(Hold.NO_WORKERS)

    def _say(self, record: BatchRecord, wait: Wait | None, now: float) -> None:
        share = self._settings.notify_failed_share
        key = _SAID + record.id

        def change(pipe: Any) -> None:
            before = Said.from_json(pipe.get(key))
            own = [outbox.of_batch(record.id, n) for n in range(len(outbox.urls_of(pipe, record.id)))]
            after, kinds = rules.of_batch(before, record, wait, now, share)
            pipe.multi()
            if after == before:
                return
            pipe.set(key, after.to_json(), ex=_REMEMBERED)
            for kind in kinds:
                # What holds all alike is said to the operator once for all.
                is_shared = kind is Kind.HELD and wait is not None and wait.code in SHARED
                message = self._message(kind, record, wait)
                for target in [*([] if is_shared else self._targets()), *own]:
                    outbox.add(pipe, kind, message, target, [record.id])
            if after.ended and own:
                pipe.srem(WITH_URLS, record.id)
                pipe.expire(urls_key(record.id), int(outbox.GIVE_UP_SECONDS + 3600))

        transaction(self._connection, key, change)

    def _message(self, kind: Kind, record: BatchRecord, wait: Wait | None) -> Message:
        if kind is Kind.HELD and wait is not None:
            return words.held(record, wait, self._where)
        return (words.failing if kind is Kind.FAILING else words.ended)(record, self._where)

    def _targets(self) -> list[str]:
        return [outbox.of_settings(url) for url in self._settings.notify]

    def _say_shared(self, held: Sequence[BatchRecord], waits: Mapping[str, Wait], now: float) -> None:
        """Each hold that all share by itself: several may be there at once, of other models."""
        if not self._settings.notify:
            return
        for code in sorted(SHARED):
            those = [record for record in held if waits[record.id].code == code]
            self._say_hold(code, those, waits[those[0].id] if those else None, now)

    def _say_hold(self, code: str, those: Sequence[BatchRecord], wait: Wait | None, now: float) -> None:
        key = _SAID + code

        def change(pipe: Any) -> None:
            before = Said.from_json(pipe.get(key))
            after, is_news = rules.of_hold(before, wait, now)
            pipe.multi()
            if after == before:
                return
            pipe.set(key, after.to_json(), ex=_REMEMBERED)
            if is_news and wait is not None:
                message = words.all_held(those, wait, self._where)
                for target in self._targets():
                    outbox.add(pipe, Kind.HELD, message, target, [record.id for record in those])

        transaction(self._connection, key, change)

    def _say_digest(self, active: Sequence[BatchRecord], waits: Mapping[str, Wait], due: float, now: float) -> None:
        key = _SAID + _DIGEST

        def change(pipe: Any) -> None:
            before = Said.from_json(pipe.get(key))
            said = before.at.get(_DIGEST)
            pipe.multi()
            if said is not None and said >= due:
                return
            after = replace(before, at={_DIGEST: now})
            pipe.set(key, after.to_json(), ex=_REMEMBERED)
            # Whoever has just begun to look has nothing to sum up yet.
            if said is None or now - due > _LATE_SECONDS or not (records := self._of_the_day(active, due)):
                return
            message = words.digest(records, waits, self._where)
            for target in self._targets():
                outbox.add(pipe, Kind.DIGEST, message, target, [record.id for record in records])

        transaction(self._connection, key, change)

    def _of_the_day(self, active: Sequence[BatchRecord], until: float) -> list[BatchRecord]:
        """Those that run, and those that ended within the day before; the newest first."""
        first = until - _OLD_SECONDS + KEEP_SECONDS
        ended = self._load(texts(self._connection.zrangebyscore(BATCH_RETENTION, first, "+inf")))
        return sorted([*active, *ended], key=lambda record: record.created_at, reverse=True)
