"""The loop that does the batches' work: validates, feeds the queue, collects, ends.

Called again and again by each supervisor; one of them works, see `leadership`. All it knows is in Redis and on the disk,
so that any other can go on.
"""

from __future__ import annotations

import logging
import time
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING

from app import clock, logs
from app.batches import lifecycle
from app.batches.accounts import Accounts, settle
from app.batches.capacity import Capacities
from app.batches.collector import Collector, Look
from app.batches.elsewhere import Elsewhere
from app.batches.first_alone import FirstAlone
from app.batches.leadership import Leadership, NotLeader, is_at
from app.batches.pace import Pace
from app.batches.parts.feeding import PartFeeding
from app.batches.progress import Progress
from app.batches.queueing import Queueing
from app.batches.record import BatchRecord, BatchStatus, Hold
from app.batches.report import conditions
from app.batches.shares import Shares, affordable
from app.batches.steps import Steps
from app.batches.storage import FilesLost, names
from app.batches.store import Batches
from app.batches.validations import Validations
from app.connection import AWAY
from app.jobs.store import Jobs

if TYPE_CHECKING:
    from redis import Redis

    from app.batches.accounts import Ledger
    from app.settings import Settings

log = logging.getLogger(__name__)

#: how long one call works while there is something to do, and how often it looks, seconds
BUSY_SECONDS = 2.0
LOOK_SECONDS = 0.05
#: how often the lease is renewed within a round; each step looks whether it is there, seconds
HOLD_SECONDS = 0.5
#: how often what is old is removed, seconds
TIDY_SECONDS = 60.0


class Feeder:
    """One per supervisor. `run_once` never raises for Redis being away."""

    def __init__(self, connection: Redis, settings: Settings) -> None:
        self._connection = connection
        self._settings = settings
        self._batches = Batches(connection, settings)
        self._storage = self._batches.storage
        self._leadership = Leadership(connection, self._storage)
        self._steps = Steps(connection, self._leadership)
        jobs = Jobs(connection, settings)
        self._collector = Collector(connection, self._steps, self._storage, jobs, offline=settings.offline)
        self._queueing = Queueing(self._steps, self._collector, settings)
        self._pace = Pace(connection, settings)
        self._first = FirstAlone(settings)
        self._parts = PartFeeding(connection, self._steps, self._collector, self._queueing, settings)
        self._elsewhere = Elsewhere(connection, self._leadership, self._steps, jobs)
        self._validations = Validations(connection, settings, self._storage, self._steps)
        self._capacities = Capacities(connection, settings)
        self._shares = Shares(connection)
        self._accounts = Accounts(connection, settings)
        self._progress = Progress()
        self._next_tidy = 0.0
        #: why the storage can't be used, as it was logged
        self._homeless = ""

    def run_once(self) -> None:
        """Do what there is to do."""
        until = time.monotonic() + BUSY_SECONDS
        try:
            with self._leadership.kept():
                while self._leadership.hold() and self._round() and time.monotonic() < until:
                    time.sleep(LOOK_SECONDS)
        except AWAY as error:
            log.warning("[BATCH] waits for Redis (%s: %s)", type(error).__name__, error)
        except NotLeader as error:
            log.warning("[BATCH] %s", error)
            self._validations.close()
        except OSError as error:
            # No storage, or none that can be written to: others do the work, and the batches say if nobody does.
            if str(error) != self._homeless:
                log.error("[BATCH] no batch's work can be done here: %s", error)  # noqa: TRY400 - the disk's reason is all
            self._homeless = str(error)
        else:
            self._homeless = ""

    def close(self) -> None:
        """Let another one go on at once."""
        self._validations.close()
        self._leadership.close()

    def _round(self) -> bool:
        """One look at each batch. Whether to look again soon."""
        held_at = time.monotonic()
        active, others = self._active()
        self._tidy(others)
        moved = False
        looks: dict[str, Look] = {}
        self._elsewhere.end_lost(others)
        is_validating = False
        for record in active:
            if record.status is BatchStatus.VALIDATING and is_validating:
                continue
            try:
                with logs.about(batch_id=record.id):
                    found = self._advance(record)
                if record.stuck and not found.record.status.is_final:
                    self._steps.do(record.id, lifecycle.note_stuck, "")
            except OSError as error:
                self._complain(record, error)
            else:
                self._progress.note(found.record)
                is_validating = is_validating or record.status is BatchStatus.VALIDATING
                looks[record.id] = found
                moved = moved or found.moved
            # A slice of validation and the writing of a long chunk take their time; most looks take none.
            if time.monotonic() >= held_at + HOLD_SECONDS:
                if not self._leadership.hold():
                    raise NotLeader("the lease was lost in the middle of a round")
                held_at = time.monotonic()
        self._elsewhere.publish({batch_id: look for batch_id, look in looks.items() if look.is_in_queue})
        moved = self._feed(looks, others) or moved
        # With a reserve no line waits ahead: a worker whose line has ended is idle until the next one is there.
        return moved or (self._settings.reserve > 0 and any(look.near for look in looks.values()))

    def _feed(self, looks: dict[str, Look], others: list[BatchRecord]) -> bool:
        """Lines into parts and the queue, as many as there is room for. Whether there are any."""
        ledger = self._accounts.look([*(look.record for look in looks.values()), *others])
        moved = settle(looks, ledger, self._steps)
        moved = self._allot(looks, ledger) or moved
        all_looks = {**looks, **self._elsewhere.looks(others)}
        here, capacity = looks.keys(), self._capacities.look()
        may_start, rooms = self._first.among(looks, lambda record: self._is_due(record, ledger))
        given = self._shares.of(all_looks, here, capacity, may_start, self._leadership.place)
        for batch_id, number in given.items():
            if batch_id not in here:
                continue
            record, fed = looks[batch_id].record, 0
            look = replace(looks[batch_id], room=ledger.affordable(record))
            try:
                with logs.about(batch_id=batch_id):
                    if look.room >= 1:
                        fed = self._queueing.feed(look, int(min(number, look.room, rooms[batch_id])))
            except OSError as error:
                self._complain(record, error)
            ledger.note(record, fed)
            moved = moved or fed > 0
            if not fed:
                self._shares.not_taken(batch_id)
        return moved

    def _allot(self, looks: dict[str, Look], ledger: Ledger) -> bool:
        """Lines into new parts. Whether there are any."""
        moved = False
        for batch_id, look in looks.items():
            try:
                with logs.about(batch_id=batch_id):
                    number = self._parts.allot(replace(look, room=ledger.affordable(look.record)))
            except OSError as error:
                self._complain(look.record, error)
            else:
                ledger.note(look.record, number)
                looks[batch_id] = replace(look, in_parts=look.in_parts + number)
                moved = moved or number > 0
        return moved

    def _is_due(self, record: BatchRecord, ledger: Ledger) -> bool:
        return self._queueing.may_start(record) and ledger.affordable(record) >= 1 and not self._pace.is_ahead(record)

    def _active(self) -> tuple[list[BatchRecord], list[BatchRecord]]:
        """The batches that have not ended: those whose files are here, and the others. The oldest first."""
        here: list[BatchRecord] = []
        others: list[BatchRecord] = []
        for record in self._batches.active():
            is_here = is_at(self._connection, record.place, self._leadership.place)
            (here if is_here else others).append(record)
        return here, others

    def _advance(self, record: BatchRecord) -> Look:
        if record.status is BatchStatus.VALIDATING:
            return self._validations.advance(record)
        if record.status is BatchStatus.CANCELLING and not record.in_progress_at and not record.total:
            # Its lines are to be named, too: they have to be found first.
            return self._validations.advance(record)
        if record.status is BatchStatus.FINALIZING:
            self._cut(record)
            return Look(self._steps.do(record.id, lifecycle.end, BatchStatus.COMPLETED), moved=True)
        look = self._parts.advance(self._collector.collect(record))
        record = look.record
        if record.status is BatchStatus.CANCELLING or clock.now() >= record.expires_at:
            return self._wind_up(look)
        if look.record.ended >= look.record.total:
            return Look(self._steps.do(record.id, lifecycle.finalize), moved=True)
        if (why := _holds(look)) is not None:
            return replace(look, record=self._steps.do(record.id, lifecycle.hold, why), moved=True)
        if look.waiting and not self._queueing.may_start(record):
            # What runs finishes; what waits goes back to its file.
            return replace(look, record=self._steps.withdraw(record.id, look.waiting), moved=True)
        return look

    def _wind_up(self, look: Look) -> Look:
        """Cancelled or expired: end what goes on, name what never ran, then end."""
        record = look.record
        if look.in_queue:
            self._collector.end_jobs(record, look)
            return replace(look, near=(), delayed=(), parked=(), moved=True)
        if self._parts.wind_up(record):
            return look
        if record.ended < record.total:
            return Look(self._collector.name_unrun(record), moved=True)
        self._cut(record)
        is_cancelled = record.status is BatchStatus.CANCELLING
        return Look(
            self._steps.do(record.id, lifecycle.end, BatchStatus.CANCELLED if is_cancelled else BatchStatus.EXPIRED),
            moved=True,
        )

    def _cut(self, record: BatchRecord) -> None:
        for file_id, size in record.files:
            self._storage.cut(names.stored_file(file_id), size)
        # What is known of each line is for the report alone.
        with suppress(FilesLost):
            self._storage.cut(names.line_stats(record.id), record.facts_bytes)
        self._keep_conditions(record)

    def _keep_conditions(self, record: BatchRecord) -> None:
        """Write them down before the history forgets them. A batch ends whatever becomes of this."""
        try:
            hours, ways = self._settings.batch_window, conditions.ways_of(record, self._settings)
            found = conditions.gather(self._connection, record, hours, ways, clock.now())
            self._storage.put(names.conditions(record.id), conditions.encode(found))
        except AWAY:
            raise
        except Exception:
            log.exception(
                "[BATCH] batch=%s its report will lack waits and workers once history has forgotten them", record.id
            )

    def _tidy(self, others: list[BatchRecord]) -> None:
        if time.monotonic() < self._next_tidy:
            return
        self._next_tidy = time.monotonic() + TIDY_SECONDS
        self._elsewhere.forget_places(others)
        self._batches.files.remove_old(clock.now())
        self._batches.remove_old(clock.now())

    def _complain(self, record: BatchRecord, error: OSError) -> None:
        if self._has_lost(record, error):
            # As it is now: a part of its lines may have been counted before the error.
            record = self._batches.get(record.id) or record
            self._elsewhere.lose(record, [file_id for file_id, size in record.files if self._is_whole(file_id, size)])
            return
        reason = f"Its files can't be used: {error.strerror or error}."
        if record.stuck != reason:
            log.error(
                "[BATCH] batch=%s waits: its files can't be used: %s", record.id, error, extra={"batch_id": record.id}
            )
            self._steps.do(record.id, lifecycle.note_stuck, reason)

    def _is_whole(self, file_id: str, size: int) -> bool:
        try:
            self._storage.cut(names.stored_file(file_id), size)
        except OSError:
            return False
        return True

    def _has_lost(self, record: BatchRecord, error: OSError) -> bool:
        """Whether somebody has removed what the batch needs. A storage that has another name by now is not looked into."""
        if not isinstance(error, FileNotFoundError | FilesLost):
            return False
        self._validations.drop(record.id)
        return self._storage.identity() == self._leadership.place


def _holds(look: Look) -> Hold | None:
    """Why no further line of a batch may start before somebody says so; None: they may, or some that were started have not ended."""
    record = look.record
    if record.held or look.in_queue or look.in_parts:
        return None
    if record.ended >= record.limit:
        return Hold.TRIED
    return Hold.BUDGET if affordable(look) < 1 else None
