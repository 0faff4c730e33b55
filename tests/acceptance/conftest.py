"""One stack for all modules whose tests leave it as they found it; those that break things, or count them, start their own."""

from __future__ import annotations

import pytest

from tests.acceptance.stack import SHARED_SETTINGS, Stack, stack_fixture

#: a module that gives this name to a stack of its own has that as `stack`
shared_stack = stack_fixture("session", settings=SHARED_SETTINGS)


@pytest.fixture
def stack(shared_stack: Stack) -> Stack:
    """The shared stack, its simulator without rules and memories."""
    shared_stack.simulator.clear()
    return shared_stack
