"""instructor: its ways to structured data, pieces of it, and its batches."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from tests.clients.models import Person
from tests.redis_server import wait_until

if TYPE_CHECKING:
    from pathlib import Path

    from tests.acceptance.stack import Stack

instructor: Any = pytest.importorskip("instructor")
ADA = {"name": "Ada", "addresses": []}


@pytest.mark.parametrize("mode", ["TOOLS", "TOOLS_STRICT", "JSON", "MD_JSON", "JSON_SCHEMA", "RESPONSES_TOOLS"])
def test_a_model_comes_back(stack: Stack, mode: str) -> None:
    """Whichever way it asks: a forced function, a schema, or JSON that only the prompt describes."""
    stack.simulator.add_rule({"structured": {"value": ADA}}, match={"contains": "loose"})
    stack.simulator.add_rule({"text": f"```json\n{json.dumps(ADA)}\n```"}, match={"contains": "fenced"})
    content = {"JSON": "Who? loose", "MD_JSON": "Who? fenced"}.get(mode, "Who?")
    client = instructor.from_openai(stack.client(), mode=getattr(instructor.Mode, mode))
    found = client.chat.completions.create(
        model="sonnet", response_model=Person, messages=[{"role": "user", "content": content}], max_retries=0
    )
    assert isinstance(found, Person)


def test_pieces_of_a_model_come_as_they_are_written(stack: Stack) -> None:
    """`create_partial` reads a stream of a forced function's arguments."""
    client = instructor.from_openai(stack.client())
    pieces = list(
        client.chat.completions.create_partial(
            model="sonnet", response_model=Person, messages=[{"role": "user", "content": "Who?"}]
        )
    )
    assert pieces[-1].name


def test_a_batch_of_models(stack: Stack, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its batch processor uploads a file of its own making, waits, and parses the results."""
    from instructor.batch import BatchProcessor

    monkeypatch.setenv("OPENAI_BASE_URL", f"{stack.url}/v1")
    monkeypatch.setenv("OPENAI_API_KEY", "unused")
    monkeypatch.chdir(tmp_path)
    processor: Any = BatchProcessor("openai/gpt-4o-mini", Person)
    file = processor.create_batch_from_messages(
        [[{"role": "user", "content": f"Who is number {number}?"}] for number in range(3)], str(tmp_path / "in.jsonl")
    )
    batch = processor.submit_batch(file)
    wait_until(lambda: processor.get_batch_status(batch)["status"] == "completed", "the batch")
    found = processor.retrieve_results(batch)
    assert len(found) == 3
    assert all(isinstance(one.result, Person) for one in found)
