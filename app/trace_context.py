"""W3C trace context: which trace of the client's a request belongs to. Carried with the job, whether we add spans or not."""

from __future__ import annotations

import re
from dataclasses import dataclass

#: version, trace, parent, flags. Later versions may add parts; version ff there is none
_TRACEPARENT = re.compile(
    r"(?!ff)([0-9a-f]{2})-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}(-.*)?", re.ASCII
)
#: members `key=value`, separated by commas: any characters that a header may have
_TRACESTATE = re.compile(r"[\x20-\x7e]{1,512}")
_MAX_TRACEPARENT = 128


@dataclass(frozen=True)
class TraceContext:
    """Both headers; an empty `parent` is no trace."""

    parent: str = ""
    state: str = ""

    def headers(self) -> dict[str, str]:
        """For who is called next."""
        found = {"traceparent": self.parent, "tracestate": self.state}
        return {name: value for name, value in found.items() if value}


NONE = TraceContext()


def parse(parent: str, state: str) -> TraceContext:
    """What a client sent in `traceparent` and `tracestate`; `NONE` when that is nothing, or not as W3C writes it."""
    found = _TRACEPARENT.fullmatch(parent) if len(parent) <= _MAX_TRACEPARENT else None
    if found is None or (found[1] == "00" and found[2]) or not parent.isprintable():
        return NONE
    return TraceContext(parent, state if _TRACESTATE.fullmatch(state) else "")
