"""What the lane does to parts, each a step in Redis: a function of `lifecycle`, fenced by the lane's lease."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Concatenate, ParamSpec, cast

from app.batches.leadership import NotLeader
from app.batches.parts import lifecycle
from app.batches.parts.record import Part, Parts, fields_of, parts_key, parts_of
from app.batches.record import ACTIVE
from app.connection import texts, transaction

if TYPE_CHECKING:
    from collections.abc import Callable

    from redis import Redis

    from app.batches.leadership import Leadership

_P = ParamSpec("_P")


def totals(connection: Redis) -> dict[str, int]:
    """Lines of all batches that parts have, by where they are: `unsent`, `sent` or `ended`; and how many parts there are."""
    pipe = connection.pipeline(transaction=False)
    for batch_id in texts(connection.zrange(ACTIVE, 0, -1)):
        pipe.hgetall(parts_key(batch_id))
    found = [parts_of(data).to_dict() or {} for data in pipe.execute()]
    return {name: sum(one.get(name, 0) for one in found) for name in ("parts", "unsent", "sent", "ended")}


class PartSteps:
    """For the lane. `NotLeader` when another process is the lane by now."""

    def __init__(self, connection: Redis, leadership: Leadership) -> None:
        self._connection = connection
        self.leadership = leadership

    def read(self, batch_id: str) -> Parts:
        """A batch's parts."""
        return parts_of(cast("dict[bytes, bytes]", self._connection.hgetall(parts_key(batch_id))))

    def do(
        self,
        batch_id: str,
        part_id: str,
        decide: Callable[Concatenate[Part, _P], Part],
        *given: _P.args,
        **named: _P.kwargs,
    ) -> Part | None:
        """What a function of `lifecycle` decides. The part afterwards; None: it is gone, its lines were withdrawn."""

        def change(part: Part, _: Parts) -> list[Part]:
            after = decide(part, *given, **named)
            return [after] if after != part else []

        return self._step(batch_id, part_id, change)

    def divide(self, batch_id: str, part_id: str, count: int, now: float) -> Part | None:
        """Only its first `count` lines fit: the others become a part of their own. As `do`."""

        def change(part: Part, parts: Parts) -> list[Part]:
            first, rest = lifecycle.divide(part, count, str(parts.made), now)
            return [] if rest is None else [first, rest]

        return self._step(batch_id, part_id, change)

    def _step(self, batch_id: str, part_id: str, change: Callable[[Part, Parts], list[Part]]) -> Part | None:
        def step(pipe: Any) -> Part | None:
            if not self.leadership.watch(pipe, self.leadership.place):
                raise NotLeader(f"{batch_id}: another process sends its parts now")
            parts = parts_of(pipe.hgetall(parts_key(batch_id)))
            part = parts.by_id.get(part_id)
            changed = [] if part is None else change(part, parts)
            pipe.multi()
            if changed:
                made = max(parts.made, *(int(one.id) + 1 for one in changed))
                pipe.hset(parts_key(batch_id), mapping=fields_of(changed, made))
            return next((one for one in changed if one.id == part_id), part)

        return transaction(self._connection, parts_key(batch_id), step)
