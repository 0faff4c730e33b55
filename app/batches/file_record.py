"""What is known of a stored file, as Redis has it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from app import clock, hashes
from app.ids import OWNER, new_id

if TYPE_CHECKING:
    from redis.client import Pipeline

#: sorted sets: the ids of all files by when they were made, and of those that expire by when
FILES, EXPIRY = "nightshift:files", "nightshift:files:expiry"


class Purpose(StrEnum):
    """What a file is for. Those of batches are used; all others are kept and given back, no more."""

    BATCH = "batch"
    ASSISTANTS = "assistants"
    EVALS = "evals"
    FINE_TUNE = "fine-tune"
    USER_DATA = "user_data"
    VISION = "vision"
    #: which clients can't upload
    BATCH_OUTPUT = "batch_output"


#: what clients may upload
UPLOAD_PURPOSES = tuple(purpose for purpose in Purpose if purpose is not Purpose.BATCH_OUTPUT)
#: how long uploads for batches are kept by default, as at OpenAI, seconds
UPLOAD_KEEP_SECONDS = 30 * 24 * 3600


@dataclass(frozen=True, kw_only=True)
class FileRecord:
    """What is known of a file. Times are seconds since the epoch; `expires_at` None: kept until it is deleted."""

    id: str
    filename: str
    purpose: Purpose
    bytes: int
    created_at: float
    expires_at: float | None = None
    #: the storage that it is in (`app.batches.leadership`); empty: older code made it
    place: str = ""
    #: whose it is
    owner: str = OWNER


def new_file_id() -> str:
    """An id that nothing has yet."""
    return new_id("file-")


def put(pipe: Pipeline, record: FileRecord) -> None:
    """Put the commands that make a file known on the caller's pipeline; its bytes are stored already."""
    pipe.hset(key(record.id), mapping=hashes.to_hash(record))
    pipe.zadd(FILES, {record.id: record.created_at})
    pipe.zadd(index(record.purpose), {record.id: record.created_at})
    if record.expires_at is not None:
        pipe.zadd(EXPIRY, {record.id: record.expires_at})


def key(file_id: str) -> str:
    """Of its record."""
    return f"nightshift:file:{file_id}"


def left_key(place_name: str) -> str:
    """A set: files that were deleted, whose bytes are in that storage yet."""
    return f"{FILES}:left:{place_name}"


def index(purpose: str) -> str:
    """A sorted set: the ids of one purpose, by when they were made."""
    return f"{FILES}:{purpose}"


def is_over(record: FileRecord) -> bool:
    """Whether it has expired."""
    return record.expires_at is not None and record.expires_at <= clock.now()


def from_hash(data: Any) -> FileRecord | None:
    """As Redis has it; None without any field."""
    return hashes.from_hash(FileRecord, data)
