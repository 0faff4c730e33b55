"""All that a Redis holds, without what differs from one run to the next: times, and ids that are made up."""

from __future__ import annotations

import json
import re
import zlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from redis import Redis

_MADE_UP = re.compile(r"[0-9a-f]{16,}|whsec_[\w+/=]+|nsk_[\w-]+")
#: how many bytes, and milliseconds: they hang on the times
_SIZE = re.compile(r'("\w+_bytes": ")[1-9]\d*"')
_BUCKET = re.compile(r"((queue|run|first_token)\|.*)\|(\d+\.\d+|\+Inf)")
_TIME = re.compile(r"\d{10,13}(\.\d+)?(-\d+)?|\d{4}-\d\d-\d\dT[\d:.]+(Z|\+00:00)?")
#: what is written at each look, whoever looks, and ends by itself
_ALWAYS = (
    b"nightshift:writable",
    b"nightshift:replicated",
    b"nightshift:batches:in_queue:",
    b"nightshift:batches:shares:",
    # A note that comes late is of bytes that are gone; the next look tidies it.
    b"nightshift:files:left:",
)


def of(redis: Redis) -> dict[str, Any]:
    """By key: the value, and whether it has an end."""
    found: dict[str, list[Any]] = {}
    for key in sorted(key for key in redis.scan_iter(count=1000) if not key.startswith(_ALWAYS)):
        found.setdefault(plain(key), []).append([plain(_value(redis, key)), redis.ttl(key) >= 0])
    return {key: sorted(values, key=str) for key, values in found.items()}


def plain(value: Any) -> str:
    """A value's text, the same in each run."""
    return _TIME.sub("T", _MADE_UP.sub("H", value.decode(errors="replace") if isinstance(value, bytes) else str(value)))


def _hash(found: dict[bytes, bytes]) -> dict[str, str]:
    """With RQ's compressed field as it is, and each histogram as the number of its values."""
    fields: dict[str, str] = {}
    for key, value in found.items():
        name = plain(key)
        if bucket := _BUCKET.fullmatch(name):
            name = bucket[1]
            fields[name] = str(int(fields.get(name, "0")) + int(value))
        elif name in ("failure_ttl", "result_ttl"):
            # Of a batch's line they are what is left of the batch's time, in whole seconds.
            fields[name] = "N"
        elif name == "data":
            fields[name] = plain(zlib.decompress(value))
        elif not name.endswith("|sum") and name != "run_seconds":
            fields[name] = plain(value)
    return fields


def _value(redis: Redis, key: bytes) -> Any:
    read: Any = redis
    match redis.type(key):
        case b"string":
            return read.get(key)
        case b"hash":
            return _SIZE.sub(r"\1N", json.dumps(_hash(read.hgetall(key)), sort_keys=True))
        case b"list":
            return read.lrange(key, 0, -1)
        case b"set":
            return sorted(map(plain, read.smembers(key)))
        case b"zset":
            return sorted(plain(member) for member in read.zrange(key, 0, -1))
        case b"stream":
            return [{plain(k): plain(v) for k, v in entry.items()} for _, entry in read.xrange(key)]
    raise AssertionError(f"{key!r} is of an unknown type")
