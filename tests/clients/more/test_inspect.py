"""inspect-ai evaluates by chat completions and by responses, with a tool, and with a model as the judge."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from pathlib import Path

    from tests.acceptance.stack import Stack

inspect_ai: Any = pytest.importorskip("inspect_ai")


def evaluate(task: Any, model: Any, directory: Path) -> Any:
    """The log of one sample that ended well."""
    (log,) = inspect_ai.eval(task, model=model, display="none", log_dir=str(directory))
    assert log.status == "success", log.error
    return log


@pytest.mark.parametrize("responses", [False, True], ids=["chat", "responses"])
def test_a_tool_is_used(stack: Stack, tmp_path: Path, *, responses: bool) -> None:
    """The model calls it, reads its result, and is scored."""
    from inspect_ai.dataset import Sample
    from inspect_ai.model import get_model
    from inspect_ai.scorer import includes
    from inspect_ai.solver import generate, use_tools
    from inspect_ai.tool import tool

    @tool  # type: ignore[untyped-decorator, unused-ignore]
    def weather() -> Any:
        async def execute(city: str) -> str:
            """The weather in a city.

            Args:
                city: the city's name
            """
            return f"sunny in {city}"

        return execute

    model = get_model("openai/sonnet", base_url=f"{stack.url}/v1", api_key="unused", responses_api=responses)
    sample = Sample(input="[[call:weather]]", target="sunny in")
    task = inspect_ai.Task(dataset=[sample], solver=[use_tools(weather()), generate()], scorer=includes())
    log = evaluate(task, model, tmp_path)
    assert log.results.scores[0].metrics["accuracy"].value == 1.0


def test_a_model_judges(stack: Stack, tmp_path: Path) -> None:
    """Its provider for others' APIs; the judge is asked by the same."""
    from inspect_ai.dataset import Sample
    from inspect_ai.model import get_model
    from inspect_ai.scorer import model_graded_qa
    from inspect_ai.solver import generate

    stack.simulator.add_rule({"text": "It is right.\n\nGRADE: C"}, match={"contains": "GRADE"})
    model = get_model("openai-api/ours/sonnet", base_url=f"{stack.url}/v1", api_key="unused")
    task = inspect_ai.Task(dataset=[Sample(input="hello", target="hello")], solver=generate(), scorer=model_graded_qa())
    log = evaluate(task, model, tmp_path)
    assert log.results.scores[0].metrics["accuracy"].value == 1.0
