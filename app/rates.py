"""How many requests and tokens a key may have a minute: two buckets that fill evenly, as OpenAI's limits do.

A request takes one from the first bucket when it is accepted. Tokens are taken when an answer is there, as many as it really had: the
second bucket may fall below zero then, and the next request is accepted when it has filled again. Nothing is estimated.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from app import clock
from app.ids import OWNER

if TYPE_CHECKING:
    from redis import Redis
    from redis.client import Pipeline

    from app.api_keys import ApiKey
    from app.usage import Used

_MINUTE = 60.0
#: a bucket that nobody has looked at for so long is full again, seconds
_KEEP_SECONDS = 24 * 3600

#: KEYS bucket; ARGV now, requests a minute, tokens a minute (0: no limit), seconds to keep. Takes one request if both buckets have some.
#: Returns {1 or 0, requests left, tokens left}, the numbers as text.
_TAKE = """
local had = redis.call('HMGET', KEYS[1], 'at', 'requests', 'tokens')
local now, most = tonumber(ARGV[1]), {tonumber(ARGV[2]), tonumber(ARGV[3])}
local passed = math.max(0, now - (tonumber(had[1]) or now))
local left = {}
for i = 1, 2 do
  left[i] = math.min(most[i], (tonumber(had[i + 1]) or most[i]) + passed * most[i] / 60)
end
local allowed = (most[1] == 0 or left[1] >= 1) and (most[2] == 0 or left[2] > 0)
if allowed then left[1] = left[1] - 1 end
redis.call('HSET', KEYS[1], 'at', now, 'requests', left[1], 'tokens', left[2])
redis.call('EXPIRE', KEYS[1], ARGV[4])
return {allowed and 1 or 0, tostring(left[1]), tostring(left[2])}
"""
#: KEYS bucket; ARGV tokens. Only a key that has a limit has a bucket.
_SPEND = "if redis.call('EXISTS', KEYS[1]) == 1 then redis.call('HINCRBYFLOAT', KEYS[1], 'tokens', -ARGV[1]) end"


@dataclass(frozen=True)
class Bucket:
    """One limit as it is now."""

    #: a minute
    limit: int
    left: float

    @property
    def remaining(self) -> int:
        """Whole ones, never below zero."""
        return max(0, math.floor(self.left))

    @property
    def reset_seconds(self) -> float:
        """Until it is full."""
        return max(0.0, (self.limit - self.left) * _MINUTE / self.limit)

    def seconds_until(self, level: float) -> float:
        """Until it has so many."""
        return max(0.0, (level - self.left) * _MINUTE / self.limit)


@dataclass(frozen=True)
class Rates:
    """What a key's limits said to a request; None: it has no such limit."""

    is_allowed: bool
    requests: Bucket | None
    tokens: Bucket | None

    @property
    def retry_after(self) -> int:
        """When a request would be accepted, whole seconds."""
        waits = [self.requests.seconds_until(1.0)] if self.requests else []
        waits += [self.tokens.seconds_until(0.0)] if self.tokens else []
        return max(1, math.ceil(max(waits, default=0.0)))


def take(connection: Redis, key: ApiKey) -> Rates | None:
    """Take a request from the key's bucket, if there is room; None for a key without limits."""
    most = (key.requests_per_minute, key.tokens_per_minute)
    if not any(most):
        return None
    args: list[Any] = [clock.now(), *most, _KEEP_SECONDS]
    reply: Any = connection.eval(_TAKE, 1, _bucket(key.name), *args)
    found = [Bucket(limit, float(left)) if limit else None for limit, left in zip(most, reply[1:], strict=True)]
    return Rates(bool(reply[0]), *found)


def spend(pipe: Pipeline, owner: str, used: Used) -> None:
    """Put the command that takes an answer's tokens on the pipeline of the step that publishes it. Not of batch lines."""
    if used.tokens and owner != OWNER:
        pipe.eval(_SPEND, 1, _bucket(owner), used.tokens)


def fill(pipe: Pipeline, name: str) -> None:
    """Put the command that fills both buckets on the pipeline of the step that gives the key other limits."""
    pipe.delete(_bucket(name))


def _bucket(name: str) -> str:
    return f"nightshift:rates:{name}"
