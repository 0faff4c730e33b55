"""What the budgets of keys and of the house leave for further lines of batches.

A line is started only if each budget that it counts for is good for it: what was used, what the lines in flight may cost, and this one, each
reckoned at the dearest of its batch so far. Lines in flight are those of all batches, whoever feeds them, in the queue and in parts.
"""

from __future__ import annotations

import logging
import math
import time
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from app import budgets, clock, spending
from app.api_keys import ApiKeys
from app.batches import lifecycle
from app.batches.parts.record import parts_key, parts_of
from app.batches.record import FIRST_LINES, OF_ACCOUNTS, BatchRecord, BatchStatus, Hold, lines_key
from app.ids import OWNER
from app.scopes import family_of, scope_of_limit
from app.ways import Way

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from redis import Redis

    from app.batches.collector import Look
    from app.batches.steps import Steps
    from app.budgets import Budget, Standing
    from app.settings import Settings

log = logging.getLogger(__name__)

#: how often the keys are read, seconds
KEYS_SECONDS = 1.0


@dataclass
class Account:
    """What a key, or the house, has used, and the lines that it pays for."""

    hold: Hold
    standings: Sequence[Standing]
    #: of each of its batches, the record, and how many lines are in flight
    batches: dict[str, tuple[BatchRecord, int]] = field(default_factory=dict)

    def is_used_up(self, record: BatchRecord) -> bool:
        """Whether nothing more of that batch may start, whatever is in flight."""
        return budgets.used_up(one for one in self.standings if _counts(one, record)) is not None

    @property
    def in_flight(self) -> int:
        """Lines of all its batches."""
        return sum(lines for _, lines in self.batches.values())

    def affordable(self, record: BatchRecord) -> float:
        """How many further lines of that batch it is good for; `inf` without a budget."""
        mine = [one for one in self.standings if _counts(one, record)]
        return min((self._affordable(record, one) for one in mine), default=math.inf)

    def _affordable(self, record: BatchRecord, standing: Standing) -> float:
        if standing.is_used_up:
            return 0
        if standing.budget.window:
            # Nobody knows what one line uses of it.
            return math.inf
        is_usd = standing.budget.is_usd
        dearest = _dearest(record, is_usd=is_usd)
        if is_usd and record.unpriced and not dearest:
            # Its tokens are counted beside.
            return math.inf
        costs = [(_dearest(one, is_usd=is_usd), lines) for one, lines in self.batches.values()]
        # Nobody knows yet what a line of some batches costs: what the dearest of the others did, for now.
        guess = max((cost for cost, _ in costs), default=0.0)
        left = standing.left - sum((cost or guess) * lines for cost, lines in costs)
        if dearest:
            return max(0, math.floor(left / dearest + 1e-9))
        if left <= 0:
            return 0
        # Of such batches a few lines at a time, and one at least.
        few = max(0, FIRST_LINES - sum(lines for cost, lines in costs if not cost))
        return min(few, max(math.floor(left / guess + 1e-9), not self.in_flight)) if guess else few


@dataclass(frozen=True)
class Ledger:
    """All accounts at one moment."""

    by_owner: dict[str, Account]
    house: Account | None
    #: of the batches that have a share of a usage window, their own
    by_batch: dict[str, Account] = field(default_factory=dict)

    def affordable(self, record: BatchRecord) -> float:
        """How many further lines of that batch its key and the house are good for."""
        return min((one.affordable(record) for one in self._of(record)), default=math.inf)

    def note(self, record: BatchRecord, lines: int) -> None:
        """So many more were started."""
        for account in self._of(record):
            known, before = account.batches.get(record.id, (record, 0))
            account.batches[record.id] = known, before + lines

    def holds(self, record: BatchRecord) -> Hold | None:
        """Which budget keeps further lines of that batch from starting, with nothing in flight that could leave it room.

        One that is held stays so until a line can be started.
        """
        for account in self._of(record):
            if account.is_used_up(record) or (
                account.affordable(record) < 1 and (record.held or not account.in_flight)
            ):
                return account.hold
        return None

    def _of(self, record: BatchRecord) -> list[Account]:
        found = [self.by_batch.get(record.id), self.by_owner.get(record.owner), self.house]
        return [account for account in found if account is not None]


def settle(looks: dict[str, Look], ledger: Ledger, steps: Steps) -> bool:
    """Hold the batches that a budget is no good for, and let those go on that it is good for again. Whether any were."""
    moved = False
    for batch_id, look in looks.items():
        record = look.record
        if record.status is not BatchStatus.IN_PROGRESS or record.held not in ("", *OF_ACCOUNTS):
            continue
        why = ledger.holds(record) if record.ended < record.limit else None
        if why is not None and why != record.held:
            looks[batch_id] = replace(look, record=steps.do(batch_id, lifecycle.hold, why))
            log.warning("[BATCH] batch=%s held reason=%s", batch_id, why, extra={"batch_id": batch_id})
            moved = True
        elif why is None and record.held:
            looks[batch_id] = replace(look, record=steps.do(batch_id, lifecycle.release))
            log.info("[BATCH] batch=%s goes on", batch_id, extra={"batch_id": batch_id})
            moved = True
    return moved


class Accounts:
    """Used by the process that does the batches' work."""

    def __init__(self, connection: Redis, settings: Settings) -> None:
        self._connection = connection
        self._settings = settings
        self._house = spending.House(connection, settings.budget, settings.batch_window, notes=True)
        self._budgets: dict[str, tuple[Budget, ...]] = {}
        self._next_read = 0.0

    def look(self, records: Iterable[BatchRecord]) -> Ledger:
        """The accounts of those batches: all that have not ended, wherever their files are."""
        records = list(records)
        now = clock.now()
        of_keys = self._of_keys() if any(record.owner != OWNER for record in records) else {}
        owners = sorted({record.owner for record in records} & of_keys.keys())
        has_house = bool(self._settings.budget and records)
        by_batch = {record.id: Account(Hold.SHARE, [self._share(record)]) for record in records if record.max_share}
        paid = [record for record in records if has_house or record.owner in owners]
        if not paid:
            return Ledger({}, None, by_batch)
        # At one moment: a line that has ended counts as used or as in flight, or, until it is collected, as both.
        pipe: Any = self._connection.pipeline()
        for owner in owners:
            for command in spending.readings(owner, of_keys[owner], now):
                pipe.execute_command(*command)
        for record in paid:
            pipe.scard(lines_key(record.id))
            pipe.hgetall(parts_key(record.id))
        replies = iter(pipe.execute())
        by_owner = {
            owner: Account(
                Hold.KEY_BUDGET, spending.of_key(of_keys[owner], [next(replies) for _ in of_keys[owner]], now)
            )
            for owner in owners
        }
        # After what is in flight: what ends in between counts twice for a moment, and not never.
        house = Account(Hold.HOUSE_BUDGET, self._house.standings()) if has_house else None
        ledger = Ledger(by_owner, house, by_batch)
        for record in paid:
            ledger.note(record, next(replies) + parts_of(next(replies)).lines)
        return ledger

    def _share(self, record: BatchRecord) -> Standing:
        share = budgets.read_share(record.max_share)
        return spending.of_batch(self._connection, share, record.id, record.created_at, record.expires_at, notes=True)

    def _of_keys(self) -> dict[str, tuple[Budget, ...]]:
        """The budgets of the keys that have one, by name."""
        if time.monotonic() >= self._next_read:
            self._next_read = time.monotonic() + KEYS_SECONDS
            self._budgets = {key.name: key.budgets for key in ApiKeys(self._connection).all() if key.budget}
        return self._budgets


def _counts(standing: Standing, record: BatchRecord) -> bool:
    """Whether that batch's lines may use it: of a usage window, those that may go by the command line, of its family of models."""
    if not (name := standing.budget.window):
        return True
    family = scope_of_limit(Way.CLI, name).family
    # What a name of the user's own stands for may be any.
    return record.way in ("", Way.CLI) and (not family or family_of(record.model) in ("", family))


def _dearest(record: BatchRecord, *, is_usd: bool) -> float:
    return record.dearest_usd if is_usd else record.dearest_tokens
