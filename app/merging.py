"""Many small commands of one MULTI as few: what is added to the same key, or taken from it, goes in one command.

A batch's feeder moves hundreds of jobs in one step. Each of them puts its commands on a pipeline; for Redis and for the client a command costs
more than one more member of one.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from redis.client import Pipeline

#: members or keys of one command
_AT_ONCE = 1000


@contextmanager
def merged(pipe: Pipeline) -> Iterator[Any]:
    """A pipeline whose ZADD, ZREM, SADD, SREM, RPUSH and DEL are put on `pipe` at the end, one for each key; all else at once.

    So its user adds to a key or takes from it, not both, deletes none that it writes, and has no script that reads what it adds.
    """
    found = _Merged(pipe)
    yield found
    found.put()


class _Merged:
    def __init__(self, pipe: Pipeline) -> None:
        self._pipe = pipe
        self._scores: dict[str, dict[Any, float]] = {}
        self._members: dict[tuple[str, str], list[Any]] = {}
        self._deleted: list[str] = []

    def zadd(self, name: str, mapping: Mapping[Any, float]) -> None:
        self._scores.setdefault(name, {}).update(mapping)

    def zrem(self, name: str, *values: Any) -> None:
        self._members.setdefault(("ZREM", name), []).extend(values)

    def sadd(self, name: str, *values: Any) -> None:
        self._members.setdefault(("SADD", name), []).extend(values)

    def srem(self, name: str, *values: Any) -> None:
        self._members.setdefault(("SREM", name), []).extend(values)

    def rpush(self, name: str, *values: Any) -> None:
        self._members.setdefault(("RPUSH", name), []).extend(values)

    def delete(self, *names: str) -> None:
        self._deleted.extend(names)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._pipe, name)

    def put(self) -> None:
        for key, scores in self._scores.items():
            self._pipe.zadd(key, scores)
        for (command, key), members in self._members.items():
            # The same member may be named by each.
            kept = members if command == "RPUSH" else [*dict.fromkeys(members)]
            for start in range(0, len(kept), _AT_ONCE):
                self._pipe.execute_command(command, key, *kept[start : start + _AT_ONCE])  # type: ignore[no-untyped-call]
        for start in range(0, len(self._deleted), _AT_ONCE):
            self._pipe.delete(*self._deleted[start : start + _AT_ONCE])
