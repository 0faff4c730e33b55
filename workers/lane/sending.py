"""From lines to a part that the API has: composed, sent once, and looked for where nobody knows whether it was sent."""

from __future__ import annotations

import logging
import os
from secrets import token_hex
from typing import TYPE_CHECKING

from app import clock, durability
from app.batches.collector import runs_of
from app.batches.lines import LineReader
from app.batches.parts import lifecycle
from app.batches.parts.record import parts_key
from app.batches.storage import names
from app.messages.failure import FailureKind, TurnFailed
from app.outcome import Outcome
from app.ways import Way
from workers.after_failure import callers_fault
from workers.lane.api import MaybeSentError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from app.batches.parts.record import Part
    from app.batches.record import BatchRecord
    from workers.lane.api import BatchAtApi
    from workers.lane.tools import Tools

log = logging.getLogger(__name__)

#: how long a part that may have been sent is looked for in the API's list, from when nobody waits for the answer any more, seconds
DOUBT_SECONDS = 60.0
#: how much the API's clock may differ from Redis', seconds
CLOCK_SECONDS = 60.0
#: so many parts that are refused one after the other: it is not for their lines
MAX_REFUSALS = 50
#: refusals that say of the login, not of the part, that it may not use Message Batches
_FORBIDDEN = (403, 404)


class Sender:
    """Part of the lane. Raises `TurnFailed` where the API can't be asked."""

    def __init__(self, tools: Tools, *, doubt_seconds: float = DOUBT_SECONDS) -> None:
        self._tools = tools
        self._doubt_seconds = doubt_seconds
        #: parts that the API has refused since it has taken one
        self._refusals = 0
        #: tries that were noted, or may have been, and that nothing was sent for: Redis went away
        self._unsent: set[str] = set()

    def compose(self, record: BatchRecord, part: Part) -> None:
        """Its body into the storage. Lines that do not fit are a part of their own."""
        numbers = list(part.line_numbers)
        runs = runs_of(self._tools.connection, record.id, numbers)
        lines = LineReader(self._tools.storage, record.id).read(numbers)
        refused_name, body_name = names.part_refused(record.id, part.id), names.part_body(record.id, part.id)
        with self._tools.drafts(body_name, refused_name) as (body, refused):
            made = self._tools.composer.compose(record, part, lines, runs, (body, refused))
            if made.lines < part.lines:
                self._tools.steps.divide(record.id, part.id, made.lines, clock.now())
            if made.refused:
                self._tools.storage.keep(refused, refused_name)
            else:
                # It may have been composed before, of more lines, when one of them was refused.
                self._tools.storage.remove(refused_name)
            if made.requests:
                self._tools.storage.keep(body, body_name)
        betas = ",".join(sorted(made.betas))
        after = self._tools.steps.do(record.id, part.id, lifecycle.compose, requests=made.requests, betas=betas)
        if after is None:
            self._tools.forget_files(record, part)

    def send(self, record: BatchRecord, part: Part) -> None:
        """Once. What the API has refused for certain was not sent."""
        if not part.requests:
            self._tools.answer(record, part, None)
            return
        with self._tools.storage.open(names.part_body(record.id, part.id)) as body:
            size = body.seek(0, os.SEEK_END)
            body.seek(0)
            try_id = token_hex(8)
            self._unsent.add(try_id)
            begun = self._tools.steps.do(record.id, part.id, lifecycle.begin_sending, try_id, clock.now())
            if begun is None or begun.try_id != try_id:
                return
            durability.confirm(self._tools.connection, parts_key(record.id), self._tools.settings.wait_replicas)
            self._unsent.discard(try_id)
            try:
                batch = self._tools.api.create(body, size, part.betas)
            except MaybeSentError as error:
                log.warning("[PART] batch=%s part=%s may have been sent: %s", record.id, part.id, error)
                self._tools.steps.do(record.id, part.id, lifecycle.lose_answer, clock.now())
                return
            except TurnFailed as failure:
                self._tools.steps.do(record.id, part.id, lifecycle.not_sent, try_id, failure.message)
                self._refused(record, part, failure)
                return
        self._note_sent(record, part, batch, is_found=False)

    def _note_sent(self, record: BatchRecord, part: Part, batch: BatchAtApi, *, is_found: bool) -> None:
        self._tools.steps.do(record.id, part.id, lifecycle.note_sent, batch.id, clock.now(), is_found=is_found)
        self._refusals = 0
        self._tools.storage.remove(names.part_body(record.id, part.id))
        self._tools.times.sent()
        self._tools.times.done((record.id, part.id))
        log.info(
            "[PART] batch=%s part=%s requests=%d sent as %s%s",
            *(record.id, part.id, part.requests, batch.id),
            ", as the API's list has it" if is_found else "",
        )

    def _refused(self, record: BatchRecord, part: Part, failure: TurnFailed) -> None:
        """Nothing was sent. Whose fault is it: the login's, the moment's, or that of one of the lines?"""
        is_for_login = failure.kind in (FailureKind.LOGIN, FailureKind.USAGE_LIMIT) or failure.status in _FORBIDDEN
        if is_for_login or (failure.kind is FailureKind.CALLER and self._refusals >= MAX_REFUSALS):
            self._tools.close_way(failure)
        elif failure.kind is not FailureKind.CALLER:
            seconds = self._tools.times.put_off_sending(failure.retry_after)
            log.warning("[PART] batch=%s part=%s nothing is sent for %.0f s: %s", record.id, part.id, seconds, failure)
        else:
            self._refusals += 1
            log.warning("[PART] batch=%s part=%s lines=%d refused: %s", record.id, part.id, part.lines, failure)
            if part.lines > 1:
                self._tools.steps.divide(record.id, part.id, part.lines // 2, clock.now())
            else:
                self._tools.answer(record, part, Outcome(error=callers_fault(failure)).by(Way.BATCHES))

    def look_for(self, record: BatchRecord, part: Part) -> None:
        """In the API's list. A batch there that has as many requests, and is nobody else's, is taken for it until its results are read."""
        key = record.id, part.id
        now = clock.now()
        if part.try_id in self._unsent:
            self._tools.steps.do(record.id, part.id, lifecycle.not_sent, part.try_id, "Redis went away")
            return
        doubted = self._tools.steps.do(record.id, part.id, lifecycle.lose_answer, now)
        if doubted is None or doubted.lost_at is None or doubted.sending_at is None:
            return
        known = {*part.not_ours, *self._known_ids()}
        found = [
            batch
            for batch in self._tools.api.since(doubted.sending_at - CLOCK_SECONDS)
            if batch.id not in known and batch.requests == part.requests
        ]
        if found:
            sent_at = doubted.sending_at
            nearest = min(found, key=lambda batch: abs(batch.created_at - sent_at))
            self._note_sent(record, part, nearest, is_found=True)
        elif now - doubted.lost_at >= self._doubt_seconds:
            log.warning("[PART] batch=%s part=%s was not sent: the API's list does not have it", record.id, part.id)
            self._tools.answer(record, part, None)
        else:
            self._tools.times.look_again(key, self._doubt_seconds / 10)

    def _known_ids(self) -> Iterator[str]:
        """Of all parts that there are."""
        for record in self._tools.batches.active():
            yield from (part.api_id for part in self._tools.steps.read(record.id).by_id.values() if part.api_id)
