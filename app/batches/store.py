"""The door to the batches for the API: create, look, list, cancel. The work is the feeder's."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any

from app import clock, errors, hashes, notify_settings, redis_index, window
from app.batches import lifecycle, metadata, since, steps
from app.batches.change import Found
from app.batches.file_record import Purpose, new_file_id
from app.batches.files import FileStore
from app.batches.leadership import storage_of
from app.batches.parts.record import parts_key
from app.batches.record import (
    ACTIVE,
    BATCH_RETENTION,
    BATCHES,
    KEEP_SECONDS,
    WITH_URLS,
    BatchRecord,
    BatchStatus,
    again_key,
    batch_key,
    lines_key,
    runs_key,
    urls_key,
)
from app.batches.storage import names, open_storage
from app.connection import texts, transaction
from app.durability import confirm
from app.error_codes import ErrorCode
from app.idempotency import made_by
from app.ids import new_id

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from redis import Redis

    from app.batches.change import Change
    from app.idempotency import Fence
    from app.settings import Settings

#: how long a client's own retry finds the batch that its earlier try made, seconds
_TRIES_SECONDS = 3600
_ID = re.compile(r"batch_[0-9a-f]{32}")


@dataclass(frozen=True, kw_only=True)
class NewBatch:
    """What a batch is made of."""

    input_file_id: str
    endpoint: str
    completion_window: str = "24h"
    metadata: Mapping[str, str] = field(default_factory=dict)
    #: where its maker wants messages: URLs with tokens in them
    notify: tuple[str, ...] = field(default=(), repr=False)
    output_keep_seconds: int | None = None
    #: whose file it must be; None: anybody's
    owner: str | None = None


class Batches:
    """All that the API does with batches. Raises `ErrorReply`, and redis-py's errors when Redis is away."""

    def __init__(self, connection: Redis, settings: Settings) -> None:
        self._connection = connection
        self._settings = settings
        self.storage = open_storage(settings)
        self.files = FileStore(connection, settings, self.storage)

    def stored(self, record: BatchRecord, what: str) -> tuple[str, int]:
        """The name in the storage of a batch's `input`, `output` or `errors`, and how many bytes of it count."""
        if what == "input":
            name = names.batch_input(record.id)
            return name, self.storage.size(name) or 0
        file_id, size = record.files[what == "errors"]
        return names.stored_file(file_id), size

    def made_by(self, fence: Fence | None) -> BatchRecord | None:
        """The batch that an earlier try of the request made. Raises `ErrorReply` (409) for a key of another request."""
        made = None if fence is None else fence.earlier(self._connection)
        return None if made is None else self.get(made)

    def create(self, new: NewBatch, *, fence: Fence | None = None) -> BatchRecord:
        """A batch that waits for its validation, or the one that an earlier try of the request made.

        400 for a file that is none or has another purpose, and for bad metadata; 409 for a key of another request; 503 for a
        file whose bytes are elsewhere, 404 where they are gone. The metadata may name an earlier batch (`app.batches.since`).
        """
        if (earlier := self.made_by(fence)) is not None:
            return earlier
        seconds = window.completion_seconds(new.completion_window)
        callback_url = metadata.check(new.metadata, self._settings)
        notify_settings.check_clients(new.notify, self._settings.notify_from_clients)
        source = self.files.get(new.input_file_id)
        if source is None or new.owner not in (None, source.owner):
            raise errors.invalid_request(
                f"There is no file '{new.input_file_id[:100]}'.", param="input_file_id", code=ErrorCode.FILE_NOT_FOUND
            )
        if source.purpose is not Purpose.BATCH:
            raise errors.invalid_request(
                f"The file's purpose is '{source.purpose}'; a batch needs one of purpose '{Purpose.BATCH}'.",
                param="input_file_id",
                code=ErrorCode.INVALID_FILE_PURPOSE,
            )
        self.files.check_bytes(source)
        earlier = self._earlier(new, source.owner)
        now = clock.now()
        record = BatchRecord(
            id=new_id("batch_"),
            endpoint=new.endpoint,
            input_file_id=source.id,
            input_name=source.filename,
            input_bytes=source.bytes,
            completion_window=new.completion_window,
            status=BatchStatus.VALIDATING,
            created_at=now,
            expires_at=now + seconds,
            output_file=new_file_id(),
            error_file=new_file_id(),
            output_keep_seconds=new.output_keep_seconds,
            callback_url=callback_url,
            window=new.metadata.get(metadata.WINDOW, ""),
            way=new.metadata.get(metadata.WAY, ""),
            tried=int(metadata.number(new.metadata, metadata.TRY, metadata.MOST_TRIED, is_whole=True)),
            max_cost_usd=metadata.number(new.metadata, metadata.MAX_COST, metadata.LARGEST),
            max_tokens=int(metadata.number(new.metadata, metadata.MAX_TOKENS, metadata.LARGEST, is_whole=True)),
            max_share=new.metadata.get(metadata.MAX_SHARE, ""),
            since="" if earlier is None else earlier.id,
            since_bytes=0 if earlier is None else earlier.output_bytes,
            metadata=new.metadata,
            place=self.files.place(),
            owner=source.owner,
        )
        # The batch's own: they stay while it needs them, though the file be deleted.
        self.storage.link(names.stored_file(source.id), names.batch_input(record.id))
        if earlier is not None:
            since.link(self.storage, earlier, record.id)
        made = self._make(record, fence, new.notify)
        if made.id != record.id:
            self.storage.remove_folder(record.id)
        confirm(self._connection, batch_key(made.id), self._settings.wait_replicas)
        return made

    def _earlier(self, new: NewBatch, owner: str) -> BatchRecord | None:
        """The batch from which answers are copied, if one is named."""
        name = new.metadata.get(since.SINCE)
        if name is None:
            return None
        offline = self._settings.offline
        return since.check(self.files, self.get(name), name, endpoint=new.endpoint, owner=owner, offline=offline)

    def _make(self, record: BatchRecord, fence: Fence | None, notify: tuple[str, ...] = ()) -> BatchRecord:
        """Put it into Redis, unless another try of its request was quicker. The batch of both."""

        def change(pipe: Any) -> BatchRecord:
            def read(batch_id: str) -> BatchRecord | None:
                return BatchRecord.from_hash(pipe.hgetall(batch_key(batch_id)))

            # The reply to this step may be lost: when it is decided again, the batch may be there, and further on.
            earlier = made_by(fence, pipe, read) or read(record.id)
            pipe.multi()
            if earlier is not None:
                return earlier
            pipe.hset(batch_key(record.id), mapping=record.to_hash())
            pipe.zadd(BATCHES, {record.id: record.created_at})
            pipe.zadd(ACTIVE, {record.id: record.created_at})
            if notify:
                pipe.set(urls_key(record.id), json.dumps(notify), exat=int(record.expires_at + KEEP_SECONDS))
                pipe.sadd(WITH_URLS, record.id)
            if fence is not None:
                known_until = record.expires_at + self._settings.result_ttl_seconds
                fence.note(pipe, record.id, known_until - clock.now() if fence.has_key else _TRIES_SECONDS)
            return record

        return transaction(self._connection, batch_key(record.id), change)

    def get(self, batch_id: str) -> BatchRecord | None:
        """The batch's state, None when there is none (any more)."""
        if not _ID.fullmatch(batch_id):
            return None
        return BatchRecord.from_hash(self._connection.hgetall(batch_key(batch_id)))

    def require(self, batch_id: str, owner: str | None = None) -> BatchRecord:
        """The batch of that owner, or of anybody; or a 404."""
        record = self.get(batch_id)
        if record is None or owner not in (None, record.owner):
            raise errors.not_found(
                f"No batch found with id '{batch_id[:100]}'.", code=ErrorCode.BATCH_NOT_FOUND, param="batch_id"
            )
        return record

    def active(self) -> list[BatchRecord]:
        """Those that are not final, oldest first."""
        return self._load(texts(self._connection.zrange(ACTIVE, 0, -1)))

    def newest(self, *, limit: int, after: str | None, owner: str | None = None) -> list[BatchRecord]:
        """Those of one owner or of all, newest first, from the one that follows `after`. 400 for an unknown `after`."""

        def load(ids: list[str]) -> list[BatchRecord]:
            return [record for record in self._load(ids) if owner in (None, record.owner)]

        return redis_index.page(
            self._connection, BATCHES, after, load, limit=limit, what="batch", records=batch_key(""), owner=owner
        )

    def cancel(self, batch_id: str, owner: str | None = None) -> BatchRecord:
        """No further line is started, those that run are interrupted; 409 for a batch that has ended otherwise. 404 as `require`."""
        return self._step(batch_id, owner, lifecycle.cancel)

    def go_on(
        self,
        batch_id: str,
        owner: str | None = None,
        *,
        way: str | None = None,
        max_cost_usd: float | None = None,
        max_tokens: int | None = None,
        max_share: str | None = None,
    ) -> BatchRecord:
        """A batch that is held goes on, by another way or with another budget if one is given. Raises as `lifecycle.go_on`; 404 as `require`."""
        if way is not None:
            metadata.check_way(self._settings, way, metadata.WAY)
        if max_share is not None:
            metadata.check_share(self._settings, max_share, way, metadata.MAX_SHARE)
        wanted = partial(
            lifecycle.go_on, way=way, max_cost_usd=max_cost_usd, max_tokens=max_tokens, max_share=max_share
        )
        return self._step(batch_id, owner, wanted)

    def _step(self, batch_id: str, owner: str | None, decide: Callable[[Found], Change]) -> BatchRecord:
        """What a client may do to a batch by itself, whoever does the batches' work. The batch afterwards; 404 as `require`."""
        self.require(batch_id, owner)

        def change(pipe: Any) -> BatchRecord:
            record = BatchRecord.from_hash(pipe.hgetall(batch_key(batch_id)))
            if record is None:
                pipe.multi()
                return self.require(batch_id)
            return steps.write(self._connection, pipe, decide(Found(record, clock.now())))

        return transaction(self._connection, batch_key(batch_id), change)

    def remove_old(self, now: float) -> None:
        """Forget the batches that ended long ago, then remove the folders here of those, and of the ones forgotten elsewhere."""
        for batch_id in texts(self._connection.zrangebyscore(BATCH_RETENTION, 0, now, start=0, num=100)):
            record = self.get(batch_id)
            where = storage_of(self._connection, record.place if record else "") or self.files.place()
            pipe = self._connection.pipeline()
            pipe.sadd(_left_key(where), batch_id)
            pipe.expire(_left_key(where), KEEP_SECONDS)
            keys = (batch_key, lines_key, again_key, runs_key, parts_key, urls_key)
            pipe.delete(*(key(batch_id) for key in keys))
            pipe.srem(WITH_URLS, batch_id)
            for key in (BATCHES, ACTIVE, BATCH_RETENTION):
                pipe.zrem(key, batch_id)
            pipe.execute()
        left = _left_key(self.files.place())
        for batch_id in texts(self._connection.srandmember(left, 100)):
            self.storage.remove_folder(batch_id)
            self._connection.srem(left, batch_id)

    def _load(self, ids: list[str]) -> list[BatchRecord]:
        found = hashes.read_all(self._connection, BatchRecord, map(batch_key, ids))
        return [record for record in found if record is not None]


def _left_key(place_name: str) -> str:
    """A set: batches that are forgotten, whose folders are there yet."""
    return f"{BATCHES}:left:{place_name}"
