"""Graphiti builds a knowledge graph in an embedded database, by both of its clients for OpenAI's protocol."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tests.acceptance.stack import Stack

graphiti: Any = pytest.importorskip("graphiti_core")
pytest.importorskip("kuzu")


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize(
    "client", [("openai_generic_client", "OpenAIGenericClient"), ("openai_client", "OpenAIClient")], ids=lambda c: c[1]
)
def test_episodes_become_a_graph(stack: Stack, client: tuple[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Two episodes: entities and an edge are extracted by JSON schemas, the second one meets the first one's."""
    monkeypatch.setenv("GRAPHITI_TELEMETRY_ENABLED", "false")
    found = asyncio.run(_two_episodes(stack, client))
    assert all(one.nodes and one.edges for one in found)
    # For some of it OpenAIClient asks a small model of OpenAI's, which nobody has named here.
    assert len({body["model"] for body in stack.asked()}) == (2 if client[1] == "OpenAIClient" else 1)


async def _two_episodes(stack: Stack, client: tuple[str, str]) -> list[Any]:
    import importlib

    from graphiti_core.driver.kuzu_driver import KuzuDriver
    from graphiti_core.llm_client.config import LLMConfig

    kind = getattr(importlib.import_module(f"graphiti_core.llm_client.{client[0]}"), client[1])
    driver: Any = KuzuDriver()
    # Of version 0.31.2 neither is done by the driver itself (findings/graphiti_kuzu.sh).
    driver._database = "night"
    await driver.graph_ops.build_indices_and_constraints(driver)
    llm = kind(LLMConfig(api_key="unused", base_url=f"{stack.url}/v1", model="sonnet"))
    graph = graphiti.Graphiti(graph_driver=driver, llm_client=llm, embedder=_embedder(), cross_encoder=_ranker())
    try:
        return [
            await graph.add_episode(
                name=f"episode {number}",
                episode_body="Ada Lovelace met Charles Babbage in London.",
                source_description="a letter",
                reference_time=datetime(1833, 6, 5, tzinfo=UTC),
                group_id="night",
            )
            for number in range(2)
        ]
    finally:
        await graph.close()


def _embedder() -> Any:
    """Vectors made of the text's letters: embeddings are none of ours."""
    from graphiti_core.embedder.client import EmbedderClient

    class Letters(EmbedderClient):  # type: ignore[misc, unused-ignore]
        async def create(self, input_data: Any) -> list[float]:
            text = input_data if isinstance(input_data, str) else "".join(map(str, input_data))
            return [1.0 + text.count(chr(97 + i % 26)) + i / 1024 for i in range(1024)]

        async def create_batch(self, input_data_list: Iterable[Any]) -> list[list[float]]:
            return [await self.create(one) for one in input_data_list]

    return Letters()


def _ranker() -> Any:
    """Graphiti's own ranker wants logprobs, which Claude does not have."""
    from graphiti_core.cross_encoder.client import CrossEncoderClient

    class AsTheyCome(CrossEncoderClient):  # type: ignore[misc, unused-ignore]
        async def rank(self, query: str, passages: list[str]) -> list[tuple[str, float]]:
            assert query
            return [(passage, 1.0) for passage in passages]

    return AsTheyCome()
