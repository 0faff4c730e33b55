"""autobatcher makes batches of single requests, without their noticing."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from tests.acceptance.stack import Stack

autobatcher: Any = pytest.importorskip("autobatcher")


@pytest.mark.parametrize("window", ["24h", None], ids=["batch", "flex"])
def test_seven_requests_get_their_own_answers(stack: Stack, window: str | None) -> None:
    """By two batches, or by background responses that it polls."""

    async def run() -> list[str]:
        client = autobatcher.BatchOpenAI(
            base_url=f"{stack.url}/v1",
            api_key="unused",
            batch_size=5,
            batch_window_seconds=0.5,
            poll_interval_seconds=0.3,
            completion_window=window,
        )

        async def ask(number: int) -> str:
            message: Any = {"role": "user", "content": f"hello {number}"}
            answer = await client.chat.completions.create(model="sonnet", messages=[message])
            return str(answer.choices[0].message.content)

        try:
            return await asyncio.gather(*(ask(number) for number in range(7)))
        finally:
            await client.close()

    before = len(stack.client().batches.list().data)
    found = asyncio.run(asyncio.wait_for(run(), 90))
    assert found == [f"Simulated answer to: hello {number}" for number in range(7)]
    assert len(stack.client().batches.list().data) - before == (2 if window else 0)
