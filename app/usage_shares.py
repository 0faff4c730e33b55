"""How much of a subscription's usage windows may be used: the value of `NIGHTSHIFT_STOP_AT_UTILIZATION`."""

from __future__ import annotations

from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

#: the windows of a subscription, by the names that the API gives their limits; `app.scopes` knows what each holds
WINDOWS = ("five_hour", "seven_day", "seven_day_opus", "seven_day_sonnet", "seven_day_overage_included")
_TAKES = (
    "takes a share from 0 to 1, such as 0.8, or one for each window, such as five_hour=0.8, seven_day_opus=0.5;"
    f" windows are {', '.join(WINDOWS)}"
)


@dataclass(frozen=True)
class Shares:
    """Shares are 0 to 1; 0: all of it may be used."""

    #: of a window that has none of its own
    other: float = 0.0
    by_window: Mapping[str, float] = field(default_factory=lambda: MappingProxyType({}))

    def of(self, window: str) -> float:
        """The share of that window."""
        return self.by_window.get(window, self.other)

    def __str__(self) -> str:
        """As the setting spells it."""
        named = [f"{window}={share:g}" for window, share in self.by_window.items()]
        return ",".join([f"{self.other:g}"] * bool(self.other or not named) + named)


def read(text: str) -> Shares:
    """The inverse of `str`. Raises `ValueError`, which says what it takes."""
    other, by_window = 0.0, {}
    for part in filter(None, map(str.strip, text.split(","))):
        window, equals, share = (piece.strip() for piece in part.rpartition("="))
        if not equals:
            other = _share(share)
        elif window in WINDOWS:
            by_window[window] = _share(share)
        else:
            raise ValueError(f"{_TAKES}, and there is no {window}")
    return Shares(other, MappingProxyType(by_window))


def _share(text: str) -> float:
    try:
        share = float(text)
    except ValueError:
        raise ValueError(_TAKES) from None
    if not 0 <= share <= 1:
        raise ValueError(_TAKES)
    return share
