"""One stack for the tests that leave it as they found it; those that break things start their own."""

from __future__ import annotations

import pytest

from tests.acceptance.stack import Stack, stack_fixture

#: a module that gives this name to a stack of its own has that as `stack`
shared_stack = stack_fixture(
    "module",
    settings={
        "NIGHTSHIFT_CALLBACK_ALLOWED_HOSTS": "127.0.0.1",
        "NIGHTSHIFT_ABANDON_GRACE_SECONDS": "1",
        "NIGHTSHIFT_LOGIN_PROBE_SECONDS": "1",
    },
)


@pytest.fixture
def stack(shared_stack: Stack) -> Stack:
    """The shared stack, its simulator without rules and memories."""
    shared_stack.simulator.clear()
    return shared_stack
