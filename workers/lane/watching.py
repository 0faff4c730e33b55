"""From a part that the API has to its answers: watched until it has ended, cancelled where its batch is over, and read."""

from __future__ import annotations

import logging
from collections import Counter
from typing import TYPE_CHECKING

from app import clock
from app.batches.parts import lifecycle
from app.messages.failure import FailureKind, TurnFailed
from workers.lane.results import OthersResultsError, Results, ResultsError

if TYPE_CHECKING:
    from app.batches.parts.record import Part
    from app.batches.record import BatchRecord
    from workers.lane.api import BatchAtApi
    from workers.lane.tools import Tools

log = logging.getLogger(__name__)

#: a part is looked at after a tenth of its age, within these bounds, seconds
POLL_SECONDS = (1.0, 30.0)
#: how often results are read again because some are missing or broken, before those lines are asked for again
SHORT_READS = 5
_NOT_THERE = 404


class Watcher:
    """Part of the lane. Raises `TurnFailed` where the API can't be asked."""

    def __init__(self, tools: Tools) -> None:
        self._tools = tools
        #: how often results were short, by the part's id at the API
        self._short: Counter[str] = Counter()

    def watch(self, record: BatchRecord, part: Part) -> None:
        """Whether it has ended. What was only found in the list may be another's, and is not cancelled."""
        key = record.id, part.id
        if (batch := self._described(record, part)) is None:
            return
        if part.is_over and part.cancelled_at is None and not batch.has_ended and not part.is_found:
            batch = self._tools.api.cancel(part.api_id)
            self._tools.steps.do(record.id, part.id, lifecycle.note_cancelled, clock.now())
            log.info("[PART] batch=%s part=%s cancelled", record.id, part.id)
        if batch.has_ended:
            ended_at = batch.ended_at or clock.now()
            self._tools.steps.do(record.id, part.id, lifecycle.end, min(ended_at, clock.now()))
            self._tools.times.done(key)
            return
        if part.waits:
            self._tools.steps.do(record.id, part.id, lifecycle.note_wait, "")
        age = clock.now() - (part.cancelled_at or part.sent_at or 0.0)
        self._tools.times.look_again(key, min(max(age / 10, POLL_SECONDS[0]), POLL_SECONDS[1]))

    def _described(self, record: BatchRecord, part: Part) -> BatchAtApi | None:
        """What the API says of it. None: the API has it no more, and the part is answered without it."""
        try:
            return self._tools.api.retrieve(part.api_id)
        except TurnFailed as failure:
            if failure.status != _NOT_THERE:
                raise
            log.warning("[PART] batch=%s part=%s: %s is not there any more", record.id, part.id, part.api_id)
            self._tools.answer(record, part, None)
            return None

    def read(self, record: BatchRecord, part: Part) -> None:
        """Its results, from the start."""
        if (batch := self._described(record, part)) is None:
            return
        with self._tools.scratch() as file:
            with self._tools.api.results(batch) as pieces:
                for piece in pieces:
                    file.write(piece)
            try:
                found = Results(file, record, part)
                if self._short[part.api_id] < SHORT_READS:
                    found.check_whole()
            except OthersResultsError:
                if not part.is_found:
                    raise TurnFailed(FailureKind.SERVER, "The results are those of another batch.") from None
                log.warning("[PART] batch=%s part=%s: %s is another's", record.id, part.id, part.api_id)
                self._tools.steps.do(record.id, part.id, lifecycle.disown)
                return
            except ResultsError as error:
                self._short[part.api_id] += 1
                raise TurnFailed(FailureKind.SERVER, f"The results can't be used: {error}.") from None
            self._tools.answer(record, part, found)
