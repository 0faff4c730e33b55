"""LightRAG reads a text, extracts its entities, and answers a question."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from pathlib import Path

    from tests.acceptance.stack import Stack

lightrag: Any = pytest.importorskip("lightrag")


class Letters:
    """A tokenizer that needs no download."""

    def encode(self, content: str) -> list[int]:
        """A number a letter."""
        return [ord(letter) for letter in content]

    def decode(self, tokens: list[int]) -> str:
        """The letters again."""
        return "".join(map(chr, tokens))


def test_a_text_is_read_and_asked_about(stack: Stack, tmp_path: Path) -> None:
    """Its own function for OpenAI's protocol extracts an entity in the form that it asks for, and answers."""
    marks = "entity<|#|>Ada Lovelace<|#|>person<|#|>A mathematician.\n<|COMPLETE|>"
    stack.simulator.add_rule({"text": marks}, match={"system_contains": "Knowledge Graph Specialist"})
    answer, entities = asyncio.run(_read_and_ask(stack, tmp_path))
    assert answer.startswith("Simulated answer to:")
    assert "Ada Lovelace" in entities


async def _read_and_ask(stack: Stack, directory: Path) -> tuple[str, list[str]]:
    import numpy as np
    from lightrag.llm.openai import openai_complete_if_cache
    from lightrag.utils import EmbeddingFunc, Tokenizer

    async def ask(prompt: str, system_prompt: str | None = None, **more: Any) -> Any:
        return await openai_complete_if_cache(
            "sonnet", prompt, system_prompt=system_prompt, api_key="unused", base_url=f"{stack.url}/v1", **more
        )

    async def embed(texts: list[str]) -> Any:
        return np.array([[1.0 + text.count(chr(97 + i % 26)) for i in range(64)] for text in texts])

    rag = lightrag.LightRAG(
        working_dir=str(directory),
        llm_model_func=ask,
        embedding_func=EmbeddingFunc(embedding_dim=64, func=embed),
        tokenizer=Tokenizer("letters", Letters()),
    )
    await rag.initialize_storages()
    try:
        await rag.ainsert("Ada Lovelace met Charles Babbage in London in 1833.")
        answer = await rag.aquery("Who met whom?", param=lightrag.QueryParam(mode="naive"))
        return answer, await rag.get_graph_labels()
    finally:
        await rag.finalize_storages()
