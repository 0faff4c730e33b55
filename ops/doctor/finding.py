"""What a look at one thing brought."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Level = Literal["ok", "warn", "fail"]


@dataclass(frozen=True)
class Finding:
    """One line of the diagnosis. `mend`: what to do about it; empty when all is well."""

    subject: str
    level: Level
    text: str
    mend: str = ""


def ok(subject: str, text: str) -> Finding:
    """As it should be."""
    return Finding(subject, "ok", text)


def warn(subject: str, text: str, mend: str) -> Finding:
    """It works, and may not for long."""
    return Finding(subject, "warn", text, mend)


def fail(subject: str, text: str, mend: str) -> Finding:
    """It does not work."""
    return Finding(subject, "fail", text, mend)
