"""Numbers, times and codes as people read them."""

from __future__ import annotations

from datetime import UTC, datetime, tzinfo
from types import MappingProxyType

from app.error_codes import ErrorCode, ErrorType
from app.money import money  # noqa: F401 - for the templates

#: times within this many seconds are shown with seconds
_EXACT_SECONDS = 1800
#: between a number and its unit, so that no line ends there
_FIRM = "\N{NO-BREAK SPACE}"
_UNITS = ((86400, "d"), (3600, "h"), (60, "min"), (1, "s"))


def number(value: float) -> str:
    """`12,345`."""
    return f"{value:,.0f}"


def compact(value: float) -> str:
    """Three digits: `843`, `12.3 K`, `4.56 M`."""
    for size, unit in ((1e9, "G"), (1e6, "M"), (1e3, "K")):
        if value >= size * 0.9995:
            return f"{value / size:.3g} {unit}"
    return f"{value:.0f}"


def size(length: float) -> str:
    """Of bytes: `150 B`, `35.7 KB`."""
    text = compact(length)
    return f"{text}B" if text[-1].isalpha() else f"{text} B"


def share(part: float, whole: float) -> str:
    """Per cent; what is not all never reads as all, nor what is something as nothing."""
    if not whole or part in (0, whole):
        return "100%" if part and part == whole else "0%"
    found = f"{100 * part / whole:.1f}"
    return {"0.0": "<0.1%", "100.0": ">99.9%"}.get(found, f"{found}%")


def duration(seconds: float | None) -> str:
    """The two largest units: `6 h 40 min`, `2.5 s`, `80 ms`."""
    if seconds is None:
        return "-"
    if seconds < 1:
        return f"{seconds * 1000:.0f}{_FIRM}ms"
    if seconds < 10:
        return f"{seconds:.1f}".removesuffix(".0") + f"{_FIRM}s"
    left = round(seconds)
    parts: list[str] = []
    for size, unit in _UNITS:
        if left >= size or parts:
            parts.append(f"{left // size}{_FIRM}{unit}" if left // size else "")
            left %= size
        if len(parts) == 2:
            break
    return " ".join(part for part in parts if part)


class Clock:
    """Wall-clock times of one place, as exact as the time between `since` and `until` asks for."""

    def __init__(self, zone: tzinfo | None, since: float, until: float) -> None:
        self._zone = zone
        is_one_day = self._at(since).date() == self._at(until).date()
        self._form = "%a %H:%M" if not is_one_day else "%H:%M:%S" if until - since < _EXACT_SECONDS else "%H:%M"
        self.zone = getattr(zone, "key", None) or self._at(until).strftime("%Z")

    def time(self, at: float) -> str:
        """`22:05`; `Sat 22:05` where there are several days, `22:05:09` where minutes would say little."""
        return self._at(at).strftime(self._form)

    def hour(self, at: float) -> str:
        """`22:05`."""
        return self._at(at).strftime("%H:%M")

    def second(self, at: float) -> str:
        """`22:05:09`."""
        return self._at(at).strftime("%H:%M:%S")

    def weekday(self, at: float) -> str:
        """`Sat`."""
        return self._at(at).strftime("%a")

    def day(self, at: float) -> str:
        """`Saturday, 21 November 2026, 22:05`."""
        found = self._at(at)
        return f"{found:%A}, {found.day} {found:%B %Y, %H:%M}"

    def iso(self, at: float) -> str:
        """For programs."""
        return self._at(at).isoformat(timespec="seconds")

    def midnight_offset(self, at: float) -> float:
        """Seconds since the place's midnight, so that marks can be put at full hours there."""
        found = self._at(at)
        return found.hour * 3600 + found.minute * 60 + found.second + found.microsecond / 1e6

    def _at(self, at: float) -> datetime:
        """Without a zone: as the machine's clock shows it."""
        return datetime.fromtimestamp(at, UTC).astimezone(self._zone)


#: the failures' meanings, beside their codes
FAILURES = MappingProxyType(
    {str(code): code.meaning for code in ErrorCode} | {str(ErrorType.INVALID_REQUEST): "Claude refused the request"}
)
