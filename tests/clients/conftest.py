"""One stack for all clients. They may live in an environment of their own; `NIGHTSHIFT_TEST_PYTHON` runs the stack then."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.acceptance.stack import Stack, running

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(scope="session")
def _stack() -> Iterator[Stack]:
    yield from running(Stack())


@pytest.fixture
def stack(_stack: Stack) -> Stack:
    """A stack whose simulator has no rules and no memories."""
    _stack.simulator.clear()
    return _stack
