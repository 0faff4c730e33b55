"""How far a request walks."""

from __future__ import annotations

from tests.walk import walk

#: modules of the project of which a function runs for one chat request, API and worker together
MAX_MODULES = 36
#: where a worker comes back to: it counts what it publishes
WORKED = ["app/jobs/counting"]


def test_a_chat_request_walks_through_few_modules(redis_url: str) -> None:
    """Whoever follows a chat request from its door to its answer reads a number of modules that does not grow."""
    asked, worked = walk(redis_url)
    modules = {*asked.modules, *worked.modules}
    assert len(modules) <= MAX_MODULES, sorted(modules)
    assert asked.returns() == []
    assert worked.returns() == WORKED
