"""Scopes: which requests a closing of the gate holds. Lots: where the jobs are parked that wait for it."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations

from app.ways import OF_WORKERS, Way

#: the families of Claude's models, as they are in the models' names
FAMILIES = ("opus", "sonnet", "haiku", "fable")
#: the limits of a subscription that hold one family; every other (`five_hour`, `seven_day`, `overage`) holds all of it
_FAMILY_OF_LIMIT = {"seven_day_opus": "opus", "seven_day_sonnet": "sonnet", "seven_day_overage_included": "fable"}


@dataclass(frozen=True)
class Scope:
    """The requests that go one way, of one model family or of all."""

    way: Way
    #: one of `FAMILIES`; empty: all
    family: str = ""

    def __str__(self) -> str:
        """For people and logs: `cli`, `cli:opus`."""
        return f"{self.way}:{self.family}" if self.family else str(self.way)

    @property
    def key(self) -> str:
        """The hash of what closes it. All of `cli` has the name that the gate had when it was the only one."""
        if self == WHOLE:
            return "nightshift:gate"
        return f"nightshift:gate:{self.way}:{self.family or 'all'}"

    @property
    def probe_key(self) -> str:
        """The worker that tries whether it is over."""
        return f"{self.key}:probe"

    @property
    def overloads_key(self) -> str:
        """The runs that Claude has put off (529, 429) since the last answer; an answer's publication deletes it."""
        return f"{self.key}:overloaded"


#: all requests by the way that was the only one
WHOLE = Scope(Way.CLI)
#: every scope that can be closed, of each way the widest first
SCOPES = tuple(Scope(way, family) for way in Way for family in ("", *FAMILIES))


@dataclass(frozen=True)
class Lot:
    """Where jobs are parked that wait for the same: that one of these ways is open to their family."""

    family: str
    #: in the order of `Way`
    ways: tuple[Way, ...]

    def __str__(self) -> str:
        """As in the job's record: `opus:cli`, `all:cli+api`."""
        return f"{self.family or 'all'}:{'+'.join(self.ways)}"

    @property
    def key(self) -> str:
        """The ids of its jobs, in their order."""
        return parked_key(str(self))


#: all that there may be
LOTS = tuple(
    Lot(family, ways)
    for family in ("", *FAMILIES)
    for count in range(1, len(OF_WORKERS) + 1)
    for ways in combinations(OF_WORKERS, count)
)


def parked_key(lot: str) -> str:
    """`Lot.key`, by the lot's name."""
    return f"nightshift:parked:{lot}"


def family_of(model: str) -> str:
    """The family of a Claude model by its name or alias; empty for a name that shows none, which only a whole way's closing holds."""
    return next((family for family in FAMILIES if family in model.lower()), "")


def scopes_of(way: Way, family: str) -> tuple[Scope, ...]:
    """Those that hold a request of that family which goes that way, the widest first."""
    return (Scope(way), Scope(way, family)) if family else (Scope(way),)


def scope_of_limit(way: Way, limit: str) -> Scope:
    """What a limit holds, by the name that Claude gives it."""
    return Scope(way, _FAMILY_OF_LIMIT.get(limit, ""))
