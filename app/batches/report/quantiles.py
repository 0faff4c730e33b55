"""Quantiles of any number of durations, in bounded memory and within a hundredth."""

from __future__ import annotations

import math
from collections import Counter

#: neighbouring classes differ by this factor, so that the middle of one is within 1 % of all in it
_STEP = math.log(1.02)
#: what is shorter counts as nothing, seconds
_LEAST = 0.001


class Quantiles:
    """Counts values by their order of magnitude."""

    def __init__(self) -> None:
        self._classes: Counter[int | None] = Counter()
        self.count = 0
        self.highest = 0.0

    def add(self, seconds: float) -> None:
        """One more."""
        self._classes[None if seconds < _LEAST else round(math.log(seconds) / _STEP)] += 1
        self.count += 1
        self.highest = max(self.highest, seconds)

    def at(self, share: float) -> float:
        """The value that this share (0 to 1) of them does not exceed; 0 when there is none."""
        left = math.ceil(share * self.count)
        for one in sorted(self._classes, key=lambda found: -math.inf if found is None else found):
            left -= self._classes[one]
            if left <= 0:
                return 0.0 if one is None else min(self.highest, math.exp(one * _STEP))
        return self.highest
