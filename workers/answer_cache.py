"""Answers that are kept for a while, so that the same request of the same key is not paid for again. Off by default.

A worker looks here before it asks Claude, and keeps what is a whole answer: it ended by itself, is no refusal, and fits its schema. Errors,
cut answers and those to a request for several are not kept.

An entry is found by its owner and the fingerprint of the whole request, and has both again, with another digest of the request: one
that is not exactly its own is none. Answers of `--offline` are kept apart.

All entries are in one hash, which ends with the youngest of them. Beyond NIGHTSHIFT_ANSWER_CACHE_BYTES the oldest go.
"""

from __future__ import annotations

import hashlib
import json
import logging
from typing import TYPE_CHECKING, Any

from app import clock
from app.connection import AWAY, repeated
from app.jobs.record import CacheUse
from app.openai.payload import canonical
from app.outcome import CACHE_HEADER, CACHE_HIT, COST_HEADER, IGNORED, Outcome

if TYPE_CHECKING:
    from redis import Redis

    from app.jobs.record import JobRecord
    from app.settings import Settings

log = logging.getLogger(__name__)

#: entries as JSON by name, their names by the second at which they were kept, and how many bytes all are
ENTRIES, ORDER, BYTES = "nightshift:answers", "nightshift:answers:order", "nightshift:answers:bytes"
#: ends of an answer that is whole
_WHOLE = ("stop", "tool_calls")
#: an entry that would push out more than this share of the others is not kept
_LARGEST_SHARE = 0.25

#: KEYS entries, order, bytes; ARGV name, entry, now, the oldest second that is kept, bytes at most, seconds to keep.
#: Doing it twice is the same as once
_KEEP = """
local function drop(name)
  local size = redis.call('HSTRLEN', KEYS[1], name)
  if redis.call('HDEL', KEYS[1], name) == 1 then redis.call('DECRBY', KEYS[3], size + #name) end
  redis.call('ZREM', KEYS[2], name)
end
drop(ARGV[1])
redis.call('HSET', KEYS[1], ARGV[1], ARGV[2])
redis.call('ZADD', KEYS[2], ARGV[3], ARGV[1])
redis.call('INCRBY', KEYS[3], #ARGV[2] + #ARGV[1])
for _, name in ipairs(redis.call('ZRANGEBYSCORE', KEYS[2], '-inf', ARGV[4], 'LIMIT', 0, 100)) do drop(name) end
while tonumber(redis.call('GET', KEYS[3])) > tonumber(ARGV[5]) do
  local oldest = redis.call('ZRANGE', KEYS[2], 0, 0)
  if not oldest[1] then break end
  drop(oldest[1])
end
for _, key in ipairs(KEYS) do redis.call('EXPIRE', key, ARGV[6]) end
"""


class CachedAnswer:
    """The place of the answer to one request for one chat completion. With Redis away nothing is found, and nothing kept."""

    def __init__(self, connection: Redis, settings: Settings, record: JobRecord, chat: dict[str, Any]) -> None:
        request = canonical(chat)
        self._connection = connection
        self._settings = settings
        self._record = record
        self._digest = hashlib.sha256(request).hexdigest()
        kind = "simulated" if settings.offline else "real"
        self._name = f"{kind}:{record.owner}:{hashlib.blake2b(request, digest_size=32).hexdigest()}"

    def find(self) -> Outcome | None:
        """The answer as this request's own, at no cost."""
        if self._record.cache:
            return None
        try:
            text: Any = self._connection.hget(ENTRIES, self._name)
        except AWAY:
            return None
        entry = None if text is None else json.loads(text)
        if entry is None or not self._is_its_own(entry):
            return None
        record = self._record
        body: dict[str, Any] = {
            "id": record.id,
            "object": "chat.completion",
            "created": int(record.created_at),
            "model": entry["model"],
            "choices": entry["choices"],
            "usage": _nothing_of(entry["usage"]),
        }
        if record.service_tier:
            body["service_tier"] = "flex" if record.yields else "default"
        headers = {"x-nightshift-attempts": str(record.attempts), CACHE_HEADER: CACHE_HIT, COST_HEADER: f"{0:.6f}"}
        if entry["ignored"]:
            headers[IGNORED] = entry["ignored"]
        log.info("[CACHE] job=%s: answered before", record.id)
        return Outcome(body=body, headers=headers)

    def keep(self, outcome: Outcome) -> None:
        """Keep a whole answer for later requests."""
        if self._record.cache == CacheUse.OFF or outcome.body is None or not _is_whole(outcome.body["choices"][0]):
            return
        now, seconds, most = int(clock.now()), self._settings.answer_cache, self._settings.answer_cache_bytes
        entry = json.dumps(
            {
                "owner": self._record.owner,
                "digest": self._digest,
                "kept_at": now,
                **{name: outcome.body[name] for name in ("model", "choices", "usage")},
                "ignored": outcome.headers.get(IGNORED, ""),
            },
            separators=(",", ":"),
        )
        if len(entry) > most * _LARGEST_SHARE:
            return
        given: Any = (self._name, entry, now, now - seconds, most, max(1, int(seconds)))
        try:
            repeated(lambda: self._connection.eval(_KEEP, 3, ENTRIES, ORDER, BYTES, *given))
        except AWAY as error:
            log.info("[CACHE] job=%s: not kept (%s)", self._record.id, type(error).__name__)

    def _is_its_own(self, entry: dict[str, Any]) -> bool:
        is_same = (entry["owner"], entry["digest"]) == (self._record.owner, self._digest)
        return is_same and clock.now() < entry["kept_at"] + self._settings.answer_cache


def _is_whole(choice: dict[str, Any]) -> bool:
    return choice["finish_reason"] in _WHOLE and not choice["message"].get("refusal")


def _nothing_of(usage: Any) -> Any:
    """The same usage with zeros: what was used for this answer."""
    if isinstance(usage, dict):
        return {name: _nothing_of(value) for name, value in usage.items()}
    return 0 if isinstance(usage, int) else usage
