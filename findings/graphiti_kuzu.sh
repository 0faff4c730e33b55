#!/usr/bin/env bash
# graphiti-core 0.31.2 with its own Kuzu driver (kuzu 0.11.3), Python 3.11: the two documented first steps do not work.
#
# Expected: `await graphiti.build_indices_and_constraints()` makes the graph ready, and `add_episode(..., group_id="team")`
# stores an episode under that group, as with Graphiti's other drivers. (That Kuzu is deprecated is announced; that it
# does not work is not.)
#
# Seen:
# - `build_indices_and_constraints()` returns, and the database has no index at all, although every search needs the
#   full-text indices; the first episode fails with "doesn't have an index". The driver's `graph_ops` has a method of the
#   same name that makes all four.
# - `add_episode` with a `group_id` raises AttributeError ('KuzuDriver' object has no attribute '_database') before it
#   asks any model.
# Whoever follows the quickstart with Kuzu so loses every episode. What works: call
# `driver.graph_ops.build_indices_and_constraints(driver)` and set `driver._database` to the group.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check graphiti-core==0.31.2 kuzu==0.11.3 httpx==0.28.1
cd "$work"
GRAPHITI_TELEMETRY_ENABLED=false "$work/venv/bin/python" -W ignore - <<'PYTHON'
import asyncio
from datetime import UTC, datetime

from graphiti_core import Graphiti
from graphiti_core.cross_encoder.client import CrossEncoderClient
from graphiti_core.driver.kuzu_driver import KuzuDriver
from graphiti_core.embedder.client import EmbedderClient
from graphiti_core.llm_client.client import LLMClient
from graphiti_core.llm_client.config import LLMConfig

asked = []


class Model(LLMClient):
    async def _generate_response(self, *args, **more):
        asked.append(args)
        return {}


class Vectors(EmbedderClient):
    async def create(self, input_data):
        return [1.0] * 1024


class Ranks(CrossEncoderClient):
    async def rank(self, query, passages):
        return [(passage, 1.0) for passage in passages]


async def indices(driver):
    rows, _, _ = await driver.execute_query("CALL SHOW_INDEXES() RETURN *")
    return sorted(row["index_name"] for row in rows)


async def main():
    driver = KuzuDriver()
    graph = Graphiti(graph_driver=driver, llm_client=Model(LLMConfig(api_key="x")), embedder=Vectors(), cross_encoder=Ranks())
    await graph.build_indices_and_constraints()
    found = await indices(driver)
    print("indices after graphiti.build_indices_and_constraints():", found)
    assert found == [], found
    try:
        await graph.add_episode(
            name="first",
            episode_body="Ada met Charles.",
            source_description="a letter",
            reference_time=datetime(2026, 1, 1, tzinfo=UTC),
            group_id="team",
        )
    except AttributeError as error:
        print("add_episode with a group_id:", error)
        assert "_database" in str(error) and not asked
    else:
        raise SystemExit("changed: an episode with a group_id is taken now")
    await driver.graph_ops.build_indices_and_constraints(driver)
    found = await indices(driver)
    print("indices after driver.graph_ops.build_indices_and_constraints(driver):", found)
    assert len(found) == 4, found


asyncio.run(main())
print("as described")
PYTHON
