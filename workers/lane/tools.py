"""What every step of the lane needs, and what several of them do."""

from __future__ import annotations

import logging
import math
import tempfile
from contextlib import contextmanager, suppress
from typing import IO, TYPE_CHECKING

from app import clock
from app.batches.change import NO_RUNS
from app.batches.collector import runs_of
from app.batches.lines import LineReader
from app.batches.parts import entries, lifecycle
from app.batches.parts.entries import Entry
from app.batches.storage import names
from app.batches.store import Batches
from app.gate import Cause, Gate
from app.messages.failure import FailureKind
from app.outcome import Outcome
from app.private_files import private
from app.scopes import Scope
from app.ways import Way
from workers.asking import Unsupported
from workers.lane.composing import Composer
from workers.lane.results import Results
from workers.lane.settling import EndedPart, Settler
from workers.lane.timetable import Timetable
from workers.models import aliases_of
from workers.usage_windows import UNKNOWN_LIMIT_SECONDS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from redis import Redis

    from app.batches.parts.record import Part
    from app.batches.parts.steps import PartSteps
    from app.batches.record import BatchRecord
    from app.messages.failure import TurnFailed
    from app.settings import Settings
    from workers.lane.api import BatchesApi

log = logging.getLogger(__name__)


class Tools:
    """For one thread."""

    def __init__(self, connection: Redis, settings: Settings, api: BatchesApi, steps: PartSteps) -> None:
        self.connection = connection
        self.settings = settings
        self.api = api
        self.steps = steps
        self.batches = Batches(connection, settings)
        self.storage = self.batches.storage
        steps.leadership.guard(self.storage)
        self.gate = Gate(connection, Scope(Way.BATCHES))
        self.times = Timetable()
        unsupported = Unsupported()
        self.composer = Composer(settings, aliases_of(settings.claude_environment), unsupported)
        self._settler = Settler(settings, self.composer, unsupported)

    @contextmanager
    def drafts(self, *names: str) -> Iterator[tuple[IO[bytes], ...]]:
        """Drafts of these names; those that are not kept are gone afterwards."""
        made = tuple(map(self.storage.draft, names))
        try:
            yield made
        finally:
            for draft in made:
                self.storage.discard(draft)

    def scratch(self) -> IO[bytes]:
        """A file to write to and to read again, gone once it is closed."""
        return tempfile.TemporaryFile(dir=private(self.settings.data_dir))

    def answer(self, record: BatchRecord, part: Part, found: Results | Outcome | None) -> None:
        """What became of each line into the storage. `found`: what the API has; or the outcome of the one line; None: nothing."""
        numbers = list(part.line_numbers)
        runs = runs_of(self.connection, record.id, numbers)
        refused = {entry.number: entry for entry in self._refused_entries(record, part)}
        name = names.part_answers(record.id, part.id)
        with self.drafts(name) as (file,):
            size = 0
            for number, raw in LineReader(self.storage, record.id).read(numbers):
                entry = refused.get(number)
                if entry is None:
                    ended = EndedPart(record, part, found if isinstance(found, Results) else None)
                    entry = self._settler.settle(ended, number, raw, runs.get(number, NO_RUNS))
                    if isinstance(found, Outcome):
                        entry = Entry(number, entry.custom_id, found, entry.runs)
                size += file.write(entries.encode(entry))
            self.storage.keep(file, name)
        if self.steps.do(record.id, part.id, lifecycle.answer, size, clock.now()) is None:
            self.forget_files(record, part)
        self.storage.remove(names.part_body(record.id, part.id))
        self.times.done((record.id, part.id))

    def forget_files(self, record: BatchRecord, part: Part) -> None:
        """Of a part that was withdrawn meanwhile."""
        for name in names.OF_A_PART:
            self.storage.remove(name(record.id, part.id))

    def _refused_entries(self, record: BatchRecord, part: Part) -> Iterator[Entry]:
        with suppress(FileNotFoundError), self.storage.open(names.part_refused(record.id, part.id)) as file:
            yield from entries.read(file)

    def close_way(self, failure: TurnFailed) -> None:
        """No part can be sent, for the login's sake."""
        now = clock.now()
        if failure.kind is FailureKind.USAGE_LIMIT:
            until = failure.resets_at or now + UNKNOWN_LIMIT_SECONDS
            probe_at = min(until, now + self.settings.limit_probe_seconds)
            self.gate.close(Cause.USAGE_LIMIT, until, failure.message, failure.limit_type or "", probe_at=probe_at)
        else:
            probe_at = now + self.settings.login_probe_seconds
            self.gate.close(Cause.LOGIN, math.inf, failure.message, probe_at=probe_at)
        log.warning("[LIMIT] way=%s: no part is sent: %s", Way.BATCHES, failure.message)
