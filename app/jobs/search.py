"""Finds jobs by what is in their records: scans the indexes in Redis, a slice at a time, up to a bound.

There is no index of metadata: it would cost 120 bytes a pair and job, and all of 10,000 jobs are looked at in 0.1 s.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, cast

from app import hashes, redis_index
from app.connection import texts
from app.jobs.record import JobRecord, record_key

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from redis import Redis

#: jobs that one search looks at, from `after` on
MAX_SCANNED = 50_000
#: scanned at once; Redis does nothing else meanwhile, for about 5 ms
_SLICE = 1000

#: KEYS index; ARGV first, last, ZRANGE's order ("REV" or ""), prefix of the records, number of fields, name, value, ...,
#: then texts that the metadata's JSON contains. Returns how many it looked at, and the ids of those that fit.
_SCAN = """
local ids
if ARGV[3] == 'REV' then
  ids = redis.call('ZREVRANGE', KEYS[1], ARGV[1], ARGV[2])
else
  ids = redis.call('ZRANGE', KEYS[1], ARGV[1], ARGV[2])
end
local names, values, needles = {'metadata'}, {}, {}
local past = 5 + 2 * tonumber(ARGV[5])
for i = 6, past, 2 do
  names[#names + 1], values[#values + 1] = ARGV[i], ARGV[i + 1]
end
for i = past + 1, #ARGV do needles[#needles + 1] = ARGV[i] end
local found = {#ids}
for _, id in ipairs(ids) do
  local has = redis.call('HMGET', ARGV[4] .. id, unpack(names))
  local fits = true
  for i, value in ipairs(values) do fits = fits and has[i + 1] == value end
  for _, needle in ipairs(needles) do
    fits = fits and has[1] and string.find(has[1], needle, 1, true)
  end
  if fits then found[#found + 1] = id end
end
return found
"""


def records(
    connection: Redis,
    index: str,
    *,
    limit: int,
    after: str | None = None,
    newest_first: bool = True,
    metadata: Mapping[str, str] | None = None,
    fields: Mapping[str, str] | None = None,
) -> Iterator[JobRecord]:
    """Up to `limit` records of an index with these fields and all these pairs of metadata. `fields`: as the hash has them.

    They begin with the one that follows `after`. Raises `ErrorReply` (400) for an unknown one.
    """
    start = redis_index.start_after(
        connection,
        index,
        after,
        what="job",
        newest_first=newest_first,
        records=record_key(""),
        owner=(fields or {}).get("owner"),
    )
    if not metadata and not fields:
        yield from _load(connection, texts(connection.zrange(index, start, start + limit - 1, desc=newest_first)))
        return
    wanted = metadata or {}
    pairs = [part for pair in (fields or {}).items() for part in pair]
    # As `to_hash` writes it. A hit may still be a coincidence of quotes: the record itself is asked below.
    needles = [f"{json.dumps(name)}: {json.dumps(value)}" for name, value in wanted.items()]
    scan = connection.register_script(_SCAN)
    seen: set[str] = set()
    for first in range(start, start + MAX_SCANNED, _SLICE):
        args: list[Any] = [first, first + _SLICE - 1, "REV" if newest_first else "", record_key("")]
        looked_at, *ids = cast("list[Any]", scan(keys=[index], args=[*args, len(pairs) // 2, *pairs, *needles]))
        # Jobs made meanwhile shift the index: some are seen again.
        new = [job_id for job_id in texts(ids) if job_id not in seen]
        seen.update(new)
        while new and limit > 0:
            some, new = new[:limit], new[limit:]
            for record in _load(connection, some):
                if wanted.items() <= record.metadata.items():
                    limit -= 1
                    yield record
        if limit <= 0 or looked_at < _SLICE:
            return


def _load(connection: Redis, ids: Iterable[str]) -> list[JobRecord]:
    found = hashes.read_all(connection, JobRecord, map(record_key, ids))
    return [record for record in found if record is not None]
