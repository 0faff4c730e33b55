"""Stored files: their bytes in the storage, what is known of them in Redis. A file is never changed once it has a record."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import IO, TYPE_CHECKING, Any

from app import clock, errors, hashes, redis_index
from app.batches import file_record
from app.batches.file_record import EXPIRY, FILES, UPLOAD_KEEP_SECONDS, FileRecord, Purpose, new_file_id
from app.batches.leadership import is_at, whereabouts
from app.batches.storage import names
from app.connection import MAYBE_DONE, REFUSING, RedisError, texts, transaction
from app.durability import confirm
from app.error_codes import ErrorCode
from app.errors import ErrorReply
from app.idempotency import made_by
from app.ids import OWNER

if TYPE_CHECKING:
    from redis import Redis

    from app.batches.storage import Storage
    from app.idempotency import Fence
    from app.settings import Settings


#: how long a repeated upload finds the file of its first try, seconds
_TRIES_SECONDS = 24 * 3600

_ID = re.compile(r"file-[0-9a-f]{32}")
#: Redis went away while a file was being recorded: after this long its bytes are removed unless it has the record, seconds
DOUBT_SECONDS = 600.0


class FileDraft:
    """A file whose bytes come: whoever has it keeps it or discards it."""

    def __init__(self, storage: Storage) -> None:
        #: what it will be known by
        self.id = new_file_id()
        self.file = storage.draft(names.stored_file(self.id))

    def write(self, data: bytes) -> int:
        """More of it; how many bytes. Raises `OSError`."""
        return self.file.write(data)


class FileStore:
    """All that is done with stored files. Safe to share between threads."""

    def __init__(self, connection: Redis, settings: Settings, storage: Storage) -> None:
        self._connection = connection
        self.storage = storage
        self._replicas = settings.wait_replicas

    def place(self) -> str:
        """The storage that new files are put in."""
        return self.storage.identity()

    def is_here(self, place_name: str) -> bool:
        """Whether what has that place is in this process's storage."""
        return is_at(self._connection, place_name, self.place())

    def open(self, record: FileRecord) -> IO[bytes]:
        """Its bytes. Raises `ErrorReply`: 503 when another storage has them, 404 when they are gone."""
        try:
            return self.storage.open(names.stored_file(record.id))
        except FileNotFoundError:
            self.check_bytes(record)
            raise

    def check_bytes(self, record: FileRecord) -> None:
        """Whether they can be read. Raises `ErrorReply` as `open` does."""
        if self.storage.size(names.stored_file(record.id)) is not None:
            return
        if not self.is_here(record.place):
            raise errors.files_elsewhere(record.id, whereabouts(self._connection, record.place))
        raise errors.files_gone(record.id, self.storage.where)

    def draft(self) -> FileDraft:
        """A file to be."""
        return FileDraft(self.storage)

    def discard(self, draft: FileDraft) -> None:
        """Nobody wants it. Nothing happens to one that was kept."""
        self.storage.discard(draft.file)

    def keep(
        self,
        draft: FileDraft,
        *,
        filename: str,
        purpose: Purpose,
        expires_after_seconds: int | None = UPLOAD_KEEP_SECONDS,
        owner: str = OWNER,
        fence: Fence | None = None,
    ) -> FileRecord:
        """A draft becomes a file: stored first, then known. Or the file that an earlier try of the request made.

        Raises `ErrorReply` (409) for a key that was used for another file.
        """
        now = clock.now()
        file_id = draft.id
        name = names.stored_file(file_id)
        size = self.storage.keep(draft.file, name)
        record = FileRecord(
            id=file_id,
            filename=filename,
            purpose=purpose,
            bytes=size,
            created_at=now,
            expires_at=None if expires_after_seconds is None else now + expires_after_seconds,
            place=self.place(),
            owner=owner,
        )
        try:
            made = self._make(record, fence)
        except MAYBE_DONE:
            # It may be known, or come to be: its bytes stay until that is sure.
            self.storage.put(names.DOUBT + file_id, b"")
            raise
        except (RedisError, ErrorReply):
            self.storage.remove(name)
            raise
        if made.id != file_id:
            self.storage.remove(name)
        confirm(self._connection, file_record.key(made.id), self._replicas)
        return made

    def _make(self, record: FileRecord, fence: Fence | None) -> FileRecord:
        """Make it known, unless another try of its upload was quicker. The file of both."""

        def change(pipe: Any) -> FileRecord:
            earlier = made_by(fence, pipe, lambda made: file_record.from_hash(pipe.hgetall(file_record.key(made))))
            pipe.multi()
            if earlier is not None and not file_record.is_over(earlier):
                return earlier
            file_record.put(pipe, record)
            if fence is not None:
                fence.note(pipe, record.id, _TRIES_SECONDS)
            return record

        return transaction(self._connection, file_record.key(record.id), change)

    def get(self, file_id: str) -> FileRecord | None:
        """The file, None when there is none or it has expired."""
        if not _ID.fullmatch(file_id):
            return None
        record = file_record.from_hash(self._connection.hgetall(file_record.key(file_id)))
        return None if record is None or file_record.is_over(record) else record

    def require(self, file_id: str, owner: str | None = None) -> FileRecord:
        """The file of that owner, or of anybody; or OpenAI's 404."""
        record = self.get(file_id)
        if record is None or owner not in (None, record.owner):
            raise errors.not_found(f"No such File object: {file_id[:100]}", code=ErrorCode.FILE_NOT_FOUND, param="id")
        return record

    def keep_until(self, file_id: str, expires_at: float) -> bool:
        """It is kept until then at least, seconds since the epoch. Whether it is there (still)."""

        def change(pipe: Any) -> bool:
            record = file_record.from_hash(pipe.hgetall(file_record.key(file_id)))
            pipe.multi()
            if record is None or file_record.is_over(record):
                return False
            if record.expires_at is not None and record.expires_at < expires_at:
                file_record.put(pipe, replace(record, expires_at=expires_at))
            return True

        return transaction(self._connection, file_record.key(file_id), change)

    def page(
        self,
        *,
        purpose: str | None,
        limit: int,
        after: str | None,
        newest_first: bool = True,
        owner: str | None = None,
    ) -> list[FileRecord]:
        """Up to `limit` files, of one owner or of all, from the one that follows `after`. Raises `ErrorReply` (400) for an unknown `after`."""
        index = FILES if purpose is None else file_record.index(purpose)

        def load(ids: list[str]) -> list[FileRecord]:
            records = hashes.read_all(self._connection, FileRecord, map(file_record.key, ids))
            known = (record for record in records if record is not None and not file_record.is_over(record))
            return [record for record in known if owner in (None, record.owner)]

        return redis_index.page(
            self._connection,
            index,
            after,
            load,
            limit=limit,
            what="file",
            newest_first=newest_first,
            records=file_record.key(""),
            owner=owner,
        )

    def delete(self, file_id: str) -> bool:
        """Forget it, then remove its bytes. Whether there was one. A batch goes on with its own link to them."""
        record = self.get(file_id)
        if record is None:
            return False
        self._remove(file_id, record.place)
        return True

    def remove_old(self, now: float) -> None:
        """Remove what has expired, and uploads that a crash or a lost request broke off. Nothing else: Redis may have lost what it knew.

        For the process that does the batches' work in this storage: only it knows that what others left is to go, too.
        """
        for file_id in texts(self._connection.zrangebyscore(EXPIRY, 0, now, start=0, num=500)):
            record = file_record.from_hash(self._connection.hgetall(file_record.key(file_id)))
            self._remove(file_id, record.place if record else "")
        left = file_record.left_key(self.place())
        for file_id in texts(self._connection.srandmember(left, 500)):
            self.storage.remove(names.stored_file(file_id))
            self._connection.srem(left, file_id)
        self.storage.sweep()
        for name, age in self.storage.find(names.DOUBT):
            if age > DOUBT_SECONDS:
                file_id = name.removeprefix(names.DOUBT)
                if not self._connection.exists(file_record.key(file_id)):
                    self.storage.remove(names.stored_file(file_id))
                self.storage.remove(name)

    def _remove(self, file_id: str, place_name: str) -> None:
        here = self.place()
        is_here = self.is_here(place_name)
        left = file_record.left_key(here if is_here else place_name)
        try:
            # Whoever works there removes the bytes; here, too, should this be broken off.
            self._forget(file_id, left)
        except REFUSING:
            if not is_here:
                raise
            # A full Redis takes no note, but lets go.
            self._forget(file_id)
        self.storage.remove(names.stored_file(file_id))
        if is_here:
            self._connection.srem(left, file_id)

    def _forget(self, file_id: str, left: str = "") -> None:
        pipe = self._connection.pipeline()
        if left:
            pipe.sadd(left, file_id)
            pipe.expire(left, UPLOAD_KEEP_SECONDS)
        pipe.delete(file_record.key(file_id))
        for index in (FILES, EXPIRY, *map(file_record.index, Purpose)):
            pipe.zrem(index, file_id)
        pipe.execute()
