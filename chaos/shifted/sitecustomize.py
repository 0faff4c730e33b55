"""A machine's wrong clock, for the Python processes that have this directory on PYTHONPATH.

`SHIFTED_CLOCK` names a file with the seconds by which their wall clock is ahead, read at each look: it can be made to jump.
Steady clocks are left as they are, as the kernel leaves them when somebody sets the time.
"""

from __future__ import annotations

import datetime as dt
import os
import time
from pathlib import Path
from typing import Any

_file = Path(os.environ.get("SHIFTED_CLOCK", os.devnull))
_time, _time_ns, _datetime = time.time, time.time_ns, dt.datetime


def _ahead() -> float:
    try:
        return float(_file.read_text() or 0)
    except (OSError, ValueError):
        return 0.0


class _Kind(type):
    """What was made before, or by C code, is a datetime, too."""

    def __instancecheck__(cls, instance: object) -> bool:
        return isinstance(instance, _datetime)

    def __subclasscheck__(cls, subclass: type) -> bool:
        return issubclass(subclass, _datetime)


class _Shifted(dt.datetime, metaclass=_Kind):
    @classmethod
    def now(cls, tz: dt.tzinfo | None = None) -> Any:
        """The time of this machine."""
        return _datetime.now(tz) + dt.timedelta(seconds=_ahead())

    @classmethod
    def utcnow(cls) -> Any:
        """The same, without a zone."""
        return _datetime.utcnow() + dt.timedelta(seconds=_ahead())


if "SHIFTED_CLOCK" in os.environ:
    time.time = lambda: _time() + _ahead()
    time.time_ns = lambda: _time_ns() + int(_ahead() * 1e9)
    dt.datetime = _Shifted  # type: ignore[misc]
