"""How far a request walks."""

from __future__ import annotations

from tests.walk import walk

#: modules of the project of which a function runs for one chat request, API and worker together
MAX_MODULES = 36


def test_a_chat_request_walks_through_few_modules(redis_url: str) -> None:
    """Whoever follows a chat request from its door to its answer reads few modules, and comes back to no folder that it has left."""
    asked, worked = walk(redis_url)
    modules = {*asked.modules, *worked.modules}
    assert len(modules) <= MAX_MODULES, sorted(modules)
    assert asked.returns() == []
    assert worked.returns() == []
