"""The pieces of an answer while it is written: numbered from 1, published to all API processes, and kept for readers who come late.

A delta is JSON: `{"delta": {...}}` as OpenAI's chunks have it, and in the first one also `"model"`, the one that answers.
Deltas only make an answer come sooner. The outcome is the truth: a reader who missed some of them gets the rest from it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from app import clock
from app.jobs.record import DELTAS, record_key, stream_key

if TYPE_CHECKING:
    from redis import Redis

    from app.jobs.change import Lease

#: about how many deltas of a job are kept, and how many bytes of them; those beyond are published, but not kept
MAX_KEPT = 20_000
MAX_KEPT_BYTES = 4 * 1024 * 1024

#: KEYS record, stream; ARGV execution, channel, id, number, delta, keep ('1' or '0'), how many, expires at, now (s).
#: Returns 1, or 0 when that run has no say any more. The same number twice is kept once.
_WRITE = """
local held = redis.call('HMGET', KEYS[1], 'execution', 'streamed_by')
if held[1] ~= ARGV[1] then return 0 end
if held[2] ~= ARGV[1] then redis.call('HSET', KEYS[1], 'streamed_by', ARGV[1], 'first_token_at', ARGV[9]) end
if ARGV[6] == '1' then
  redis.pcall('XADD', KEYS[2], 'MAXLEN', '~', ARGV[7], '0-' .. ARGV[4], 'delta', ARGV[5])
  redis.call('EXPIREAT', KEYS[2], ARGV[8])
end
redis.call('PUBLISH', ARGV[2], ARGV[3] .. ' ' .. ARGV[4] .. ' ' .. ARGV[5])
return 1
"""


class Delta(NamedTuple):
    """One piece."""

    number: int
    #: JSON
    data: bytes


def write(connection: Redis, lease: Lease, number: int, data: str, *, keep: bool, expires_at: float) -> bool:
    """Publish and keep a piece, fenced like every other step of a run: False when the job is no longer this run's."""
    step = connection.register_script(_WRITE)
    found: Any = step(
        keys=[record_key(lease.job_id), stream_key(lease.job_id)],
        args=[
            lease.execution_id,
            DELTAS,
            lease.job_id,
            number,
            data,
            int(keep),
            MAX_KEPT,
            int(expires_at),
            clock.now(),
        ],
    )
    return bool(found)


def heard(message: bytes) -> tuple[str, Delta]:
    """The job's id and the piece in a message on `DELTAS`."""
    job_id, number, data = message.split(b" ", 2)
    return job_id.decode(), Delta(int(number), data)


def read(connection: Redis, job_id: str, *, after: int, count: int) -> list[Delta]:
    """The kept pieces that follow a number, in order, `count` at most."""
    found: Any = connection.xrange(stream_key(job_id), min=f"(0-{after}", count=count)
    return [Delta(int(entry.partition(b"-")[2]), fields[b"delta"]) for entry, fields in found]
