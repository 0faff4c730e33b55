"""Waiting for conditions instead of for time."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable


def wait_until(condition: Callable[[], bool], what: str = "the condition", timeout: float = 10.0) -> None:
    """Return as soon as it holds. Raises `AssertionError` when it does not in time (seconds)."""
    deadline = time.monotonic() + timeout
    while not condition():
        if time.monotonic() >= deadline:
            raise AssertionError(f"{what} did not come about within {timeout} s")
        time.sleep(0.01)
