"""Whose batch line is next: what workers read and write is shared by owner, then by batch, in tokens.

Start-time fair queueing, on two levels. Each owner has a virtual time: the tokens of its lines that have ended, by its weight. The next line is
that of the owner who has the smallest, once the lines that it has near are added, as large as they are expected to be; of its batches the
one with the smallest by the same rule. So ten batches of one owner are one share, and a line that comes out larger than expected is made up for.

Who has nothing to send leaves its share to the others. When it has something again it begins at the virtual time of those who have had: it has
neither saved anything up nor to make up for what it had alone.

Pure: no Redis, no clock.
"""

from __future__ import annotations

import json
from collections import defaultdict
from dataclasses import dataclass, field
from heapq import heapify, heappop, heapreplace
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

#: how long a batch whose files are elsewhere may take none of what it is given before others get that, seconds
PATIENCE_SECONDS = 2.0
#: and for how long they do
REST_SECONDS = 5.0


class Claim(NamedTuple):
    """What one batch has had, has and wants."""

    batch_id: str
    owner: str
    #: tokens of its lines that workers have ended
    served: int
    #: its lines that wait for a worker or run
    near: int
    #: tokens that one of its lines is expected to come to, above 0
    line_tokens: float
    #: how many further lines it could start now; 0: it leaves its share to the others
    wanted: float
    #: whether another process starts them
    is_elsewhere: bool = False


@dataclass
class _Clock:
    """The virtual times of those who share something."""

    #: where those begin who had nothing to send
    now: float = 0.0
    times: dict[str, float] = field(default_factory=dict)
    _wanting: frozenset[str] = frozenset()

    def serve(self, name: str, tokens: float) -> None:
        """This one has had so many, by its weight."""
        self.times[name] = self.times.get(name, self.now) + tokens

    def enter(self, wanting: frozenset[str]) -> None:
        """These want something now."""
        for name in wanting - self._wanting:
            self.times[name] = max(self.times.get(name, self.now), self.now)
        self._wanting = wanting
        if wanting:
            self.now = max(self.now, min(self.times[name] for name in wanting))

    def pass_all(self) -> None:
        """Nobody wants anything, or has: whoever comes next is equal."""
        self.now = max(self.now, *self.times.values(), 0.0)

    def forget_all_but(self, known: set[str]) -> None:
        """The others are not there any more."""
        self.times = {name: time for name, time in self.times.items() if name in known}

    def ahead(self) -> set[str]:
        """Those who have had more than the others by now."""
        return {name for name, time in self.times.items() if time > self.now}


class Fairness:
    """The virtual times of all owners and of their batches. Used by one thread."""

    def __init__(self) -> None:
        self._owners = _Clock()
        self._batches: defaultdict[str, _Clock] = defaultdict(_Clock)
        #: by batch, what was counted of `served`
        self._counted: dict[str, int] = {}
        #: batches elsewhere that have taken nothing: since when, and what they had been served
        self._offered: dict[str, tuple[float, int]] = {}
        self._rests_until: dict[str, float] = {}

    def share(
        self, claims: Sequence[Claim], room: int, weights: Mapping[str, float], at: float = 0.0
    ) -> dict[str, int]:
        """How many lines each batch may start. `claims`: of all batches that have not ended, the oldest first. `room`: for lines, over all.

        `weights`: by owner; who is not there has 1. `at`: seconds, of any clock that runs evenly.
        """
        self._count(claims, weights)
        wanting = [claim for claim in claims if claim.wanted >= 1]
        wanting = [claim for claim in wanting if self._rests_until.get(claim.batch_id, at) <= at] or wanting
        self._enter(claims, wanting)
        given = self._give(claims, wanting, room, weights) if room > 0 else {}
        self._watch(claims, given, at)
        return given

    def rest(self, batch_id: str, at: float) -> None:
        """A batch could not take what it was given: for a while others get it, if there are any."""
        self._rests_until[batch_id] = at + REST_SECONDS

    def to_json(self) -> str:
        """For another process that goes on from here."""
        batches = {owner: [clock.now, clock.times] for owner, clock in self._batches.items()}
        return json.dumps(
            {"owners": [self._owners.now, self._owners.times], "batches": batches, "counted": self._counted}
        )

    @classmethod
    def from_json(cls, text: bytes | str) -> Fairness:
        """The inverse of `to_json`. What those have had meanwhile whom it knows is counted at the next `share`."""
        data = json.loads(text)
        made = cls()
        made._owners = _Clock(*data["owners"])
        made._batches.update({owner: _Clock(*clock) for owner, clock in data["batches"].items()})
        made._counted = data["counted"]
        return made

    def _count(self, claims: Sequence[Claim], weights: Mapping[str, float]) -> None:
        for claim in claims:
            # What a batch had had before anybody looked is over.
            tokens = claim.served - self._counted.get(claim.batch_id, claim.served)
            if tokens > 0:
                self._owners.serve(claim.owner, tokens / weights.get(claim.owner, 1))
                self._batches[claim.owner].serve(claim.batch_id, tokens)
        self._counted = {claim.batch_id: claim.served for claim in claims}

    def _enter(self, claims: Sequence[Claim], wanting: Sequence[Claim]) -> None:
        self._owners.enter(frozenset(claim.owner for claim in wanting))
        # An owner with one small batch after the other pays for each.
        self._owners.forget_all_but({claim.owner for claim in claims} | self._owners.ahead())
        if not any(claim.wanted >= 1 or claim.near for claim in claims):
            self._owners.pass_all()
        there: defaultdict[str, set[str]] = defaultdict(set)
        want: defaultdict[str, set[str]] = defaultdict(set)
        for claim in claims:
            there[claim.owner].add(claim.batch_id)
        for claim in wanting:
            want[claim.owner].add(claim.batch_id)
        for owner in self._batches.keys() - there.keys():
            del self._batches[owner]
        for owner, batches in there.items():
            self._batches[owner].enter(frozenset(want[owner]))
            self._batches[owner].forget_all_but(batches)

    def _give(
        self, claims: Sequence[Claim], wanting: Sequence[Claim], room: int, weights: Mapping[str, float]
    ) -> dict[str, int]:
        """One line after the other, each by two heaps: O((batches + room) log batches)."""
        near: defaultdict[str, float] = defaultdict(float)
        for claim in claims:
            near[claim.owner] += claim.near * claim.line_tokens
        # Of each owner: (virtual time, place), where the place is that of the batch among `wanting`, the oldest first.
        batches: defaultdict[str, list[tuple[float, int]]] = defaultdict(list)
        for place, claim in enumerate(wanting):
            time = self._batches[claim.owner].times[claim.batch_id] + claim.near * claim.line_tokens
            batches[claim.owner].append((time, place))
        owners: list[tuple[float, int, str]] = []
        for owner, heap in batches.items():
            time = self._owners.times[owner] + near[owner] / weights.get(owner, 1)
            owners.append((time, heap[0][1], owner))
            heapify(heap)
        heapify(owners)
        given: defaultdict[str, int] = defaultdict(int)
        while room > 0 and owners:
            owners_time, oldest, owner = owners[0]
            heap = batches[owner]
            time, place = heap[0]
            claim = wanting[place]
            given[claim.batch_id] += 1
            room -= 1
            if claim.wanted - given[claim.batch_id] >= 1:
                heapreplace(heap, (time + claim.line_tokens, place))
            else:
                heappop(heap)
            if heap:
                heapreplace(owners, (owners_time + claim.line_tokens / weights.get(owner, 1), oldest, owner))
            else:
                heappop(owners)
        return dict(given)

    def _watch(self, claims: Sequence[Claim], given: Mapping[str, int], at: float) -> None:
        """Those elsewhere that are given lines and take none."""
        offered: dict[str, tuple[float, int]] = {}
        for claim in claims:
            if not claim.is_elsewhere or claim.near or claim.batch_id not in given:
                continue
            since, served = self._offered.get(claim.batch_id, (at, claim.served))
            if served != claim.served:
                since = at
            offered[claim.batch_id] = since, claim.served
            if at - since > PATIENCE_SECONDS:
                self.rest(claim.batch_id, at)
                del offered[claim.batch_id]
        self._offered = offered
        self._rests_until = {batch_id: until for batch_id, until in self._rests_until.items() if until > at}
