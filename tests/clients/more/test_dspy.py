"""DSPy: its language model by chat and by responses, and its two adapters."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from tests.acceptance.stack import Stack

dspy: Any = pytest.importorskip("dspy")


def lm(stack: Stack, kind: str = "chat") -> Any:
    """Its model of ours."""
    return dspy.LM(
        "openai/sonnet", api_base=f"{stack.url}/v1", api_key="unused", cache=False, num_retries=0, model_type=kind
    )


@pytest.mark.parametrize("kind", ["chat", "responses"])
def test_a_prompt_is_answered(stack: Stack, kind: str) -> None:
    """Plain text by either endpoint."""
    (found,) = lm(stack, kind)("hello")
    assert (found["text"] if isinstance(found, dict) else found) == "Simulated answer to: hello"


@pytest.mark.parametrize("adapter", ["JSONAdapter", "ChatAdapter"])
def test_a_signature_is_filled(stack: Stack, adapter: str) -> None:
    """The model answers in the adapter's own form, which is only text to us."""
    text = {
        "JSONAdapter": '{"answer": "Rome", "score": 0.5}',
        "ChatAdapter": "[[ ## answer ## ]]\nRome\n\n[[ ## score ## ]]\n0.5\n\n[[ ## completed ## ]]",
    }[adapter]
    stack.simulator.add_rule({"text": text})
    with dspy.context(lm=lm(stack), adapter=getattr(dspy, adapter)()):
        found = dspy.Predict("question -> answer: str, score: float")(question="The largest city of Italy?")
    assert (found.answer, found.score) == ("Rome", 0.5)
