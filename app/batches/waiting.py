"""What keeps a batch from going on that is no hold of its own."""

from __future__ import annotations

from typing import TYPE_CHECKING

from app.gate import read_closings
from app.openai import model_names
from app.scopes import family_of
from app.ways import Way

if TYPE_CHECKING:
    from redis import Redis

    from app.batches.record import BatchRecord
    from app.gate import Closed
    from app.settings import Settings


def held_by(connection: Redis, settings: Settings, record: BatchRecord) -> Closed | None:
    """What keeps all of its lines from going: those of its model, where they have one."""
    ways = [Way(record.way)] if record.way else [step.way for step in settings.ways]
    model = model_names.resolved_or_itself(record.model, settings)
    return read_closings(connection).holding_all(ways, family_of(model))
