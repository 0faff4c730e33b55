"""One stack for all clients. They may live in an environment of their own; `NIGHTSHIFT_TEST_PYTHON` runs the stack then."""

from __future__ import annotations

import pytest

from tests.acceptance.stack import Stack, stack_fixture

_stack = stack_fixture("session")


@pytest.fixture
def stack(_stack: Stack) -> Stack:
    """A stack whose simulator has no rules and no memories."""
    _stack.simulator.clear()
    return _stack
