"""One stack for the tests that leave it as they found it; those that break things start their own."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.acceptance.stack import Stack, running

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(scope="module")
def shared_stack() -> Iterator[Stack]:
    settings = {
        "NIGHTSHIFT_CALLBACK_ALLOWED_HOSTS": "127.0.0.1",
        "NIGHTSHIFT_ABANDON_GRACE_SECONDS": "1",
        "NIGHTSHIFT_LOGIN_PROBE_SECONDS": "1",
    }
    yield from running(Stack(settings=settings))


@pytest.fixture
def stack(shared_stack: Stack) -> Stack:
    """The shared stack, its simulator without rules and memories."""
    shared_stack.simulator.clear()
    return shared_stack
