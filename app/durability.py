"""On how many replicas something is, before anybody is told that it is done."""

from __future__ import annotations

from typing import TYPE_CHECKING

from app.connection import TooFewReplicasError

if TYPE_CHECKING:
    from redis import Redis

#: for the replicas to say that they have it, seconds
WAIT_SECONDS = 2.0
_MARK = "nightshift:replicated"


class NotReplicatedError(TooFewReplicasError):
    """What was written is not on as many replicas as it should be, and a failover may lose it. It is there until then."""


def confirm(connection: Redis, key: str, replicas: int) -> None:
    """Wait until what was written to `key`, which must exist, is on that many replicas. Raises `NotReplicatedError`."""
    if replicas == 0:
        return
    # On one connection: the key is on the server that is asked, also when that is another one since a failover; and
    # what WAIT waits for is that connection's own last write, which comes after the key's.
    pipe = connection.pipeline(transaction=False)
    pipe.exists(key)
    pipe.set(_MARK, 1, ex=60)
    pipe.execute_command("WAIT", replicas, int(WAIT_SECONDS * 1000))  # type: ignore[no-untyped-call]
    is_there, _, reached = pipe.execute()
    if not is_there:
        raise NotReplicatedError("it is not on this server")
    if int(reached) < replicas:
        raise NotReplicatedError(f"it is on {reached} replicas of {replicas}")
