"""Waiting for conditions instead of for time."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

#: For what comes about in moments, on a machine that is slow and busy. It costs nothing where it does come about.
PATIENCE_SECONDS = 120.0

_T = TypeVar("_T")


def wait_until(
    condition: Callable[[], _T | None], what: str = "the condition", timeout: float = PATIENCE_SECONDS
) -> _T:
    """Return what it gives as soon as that is true. Raises `AssertionError` when it is not in time (seconds)."""
    deadline = time.monotonic() + timeout
    while not (found := condition()):
        if time.monotonic() >= deadline:
            raise AssertionError(f"{what} did not come about within {timeout} s")
        time.sleep(0.01)
    return found
