"""What befalls which request: named by a test, or drawn from a seed."""

from __future__ import annotations

import random
import threading
from collections import Counter
from collections.abc import Callable  # noqa: TC003 - a NamedTuple's fields are looked up
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, NamedTuple, Protocol

if TYPE_CHECKING:
    from collections.abc import Mapping

    from chaos.lossy.resp import Request


class Kind(StrEnum):
    """What may go wrong on the way."""

    #: Redis never sees it
    LOST_REQUEST = "lost request"
    #: Redis has done it, and nobody hears of that
    LOST_REPLY = "lost reply"
    #: Redis sees it later: also when the client has given up, and has asked again
    LATE_REQUEST = "late request"
    LATE_REPLY = "late reply"


class Loss(NamedTuple):
    """One fault. `seconds`: how late; or, of what is lost, for how long the connection is silent before it is cut."""

    kind: Kind
    seconds: float = 0.0
    #: called when Redis has done what it was asked, before the client notices that its reply is lost
    meanwhile: Callable[[], object] | None = None


class Plan(Protocol):
    """What befalls each request; called from the proxy's thread."""

    def __call__(self, request: Request) -> Loss | None:
        """None: nothing."""


@dataclass
class Once:
    """One fault, for the first request that `matches`, or the one after so many of them."""

    loss: Loss
    matches: Callable[[Request], bool]
    skip: int = 0
    #: what it hit
    hit: Request | None = None

    def __call__(self, request: Request) -> Loss | None:
        """As `Plan`."""
        if self.hit is not None or request.is_set_up or not self.matches(request):
            return None
        if self.skip > 0:
            self.skip -= 1
            return None
        self.hit = request
        return self.loss


class Nth(Once):
    """One fault, for the request of that number, from 0."""

    def __init__(self, number: int, loss: Loss) -> None:
        super().__init__(loss, lambda _: True, number)


@dataclass
class AtRandom:
    """Each request has these chances; the same seed draws the same faults, for requests that come in the same order."""

    seed: int
    #: share of the requests by the kind of fault, below 1 together
    shares: Mapping[Kind, float]
    #: silence or delay: up to so long, seconds
    most_seconds: float = 0.0
    #: how often each came
    times: Counter[str] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        self._chance = random.Random(self.seed)
        self._lock = threading.Lock()

    def __call__(self, request: Request) -> Loss | None:
        """As `Plan`."""
        if request.is_set_up or request.subscribes:
            return None
        with self._lock:
            drawn = self._chance.random()
            for kind, share in self.shares.items():
                drawn -= share
                if drawn < 0:
                    self.times[kind] += 1
                    # Half of what is lost is lost with its connection, at once.
                    cut = kind in (Kind.LOST_REQUEST, Kind.LOST_REPLY) and self._chance.random() < 0.5
                    return Loss(kind, 0.0 if cut else self._chance.uniform(0.0, self.most_seconds))
        return None
