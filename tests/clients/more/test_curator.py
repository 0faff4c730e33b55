"""Bespoke Curator: prompts at once, a response format, and a batch."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.clients.models import Person

if TYPE_CHECKING:
    from tests.acceptance.stack import Stack

pytest.importorskip("bespokelabs.curator")


@pytest.fixture
def make(stack: Stack, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Makes one of its models, with everything it keeps in a directory of the test's."""
    import litellm
    from bespokelabs import curator

    monkeypatch.setenv("CURATOR_CACHE_DIR", str(tmp_path))
    monkeypatch.setenv("TELEMETRY_ENABLED", "0")
    monkeypatch.setenv("OPENAI_API_KEY", "unused")
    monkeypatch.setenv("OPENAI_BASE_URL", f"{stack.url}/v1")
    # It counts tokens with a table that is downloaded; litellm brings that table along.
    tables = Path(litellm.__file__).parent / "litellm_core_utils" / "tokenizers"
    monkeypatch.setenv("TIKTOKEN_CACHE_DIR", str(tables))

    def made(kind: Any = curator.LLM, **more: Any) -> Any:
        given = {"base_url": f"{stack.url}/v1", **more.pop("backend_params", {})}
        return kind(model_name="haiku", backend="openai", backend_params=given, **more)

    return made


def test_prompts_are_answered_in_order(make: Any) -> None:
    """It reads the rate limits off a first, wrong request, and asks on."""
    found = make()(["hello", "there"]).dataset.to_list()
    assert [row["response"] for row in found] == ["Simulated answer to: hello", "Simulated answer to: there"]


def test_a_response_format_is_met(make: Any) -> None:
    """A pydantic model for each row."""
    from bespokelabs import curator

    class Who(curator.LLM):  # type: ignore[misc, unused-ignore]
        response_format = Person

        def prompt(self, row: dict[str, str]) -> str:
            return f"Who? {row['q']}"

        def parse(self, row: dict[str, str], person: Person) -> dict[str, str]:
            return {"q": row["q"], "name": person.name}

    found = make(Who)([{"q": "a"}, {"q": "b"}]).dataset.to_list()
    assert [row["q"] for row in found] == ["a", "b"]
    assert all(row["name"] for row in found)


def test_a_batch_is_answered(make: Any) -> None:
    """The same by files and batches."""
    found = make(batch=True, backend_params={"batch_check_interval": 1})(["hello", "there"]).dataset.to_list()
    assert [row["response"] for row in found] == ["Simulated answer to: hello", "Simulated answer to: there"]
