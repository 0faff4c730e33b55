"""How much of a subscription's windows is used, as the CLI reports it beside an answer."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Any

from app.messages.answer import Window

if TYPE_CHECKING:
    from collections.abc import Mapping

#: what is paid for beyond the windows
_OVERAGE = "overage"


def windows_of(reported: Mapping[str, Any]) -> tuple[Window, ...]:
    """Those that the `rate_limit_info` of the CLI's event names: all in one field, one that warns in the event itself."""
    found: dict[str, Window] = {}
    for name, window in {reported.get("rateLimitType"): reported, **(reported.get("unifiedWindows") or {})}.items():
        with suppress(KeyError, TypeError, ValueError):
            found[name] = Window(str(name), float(window["utilization"]), float(window["resetsAt"]))
    return tuple(window for window in found.values() if window.name != _OVERAGE)
