"""`AsyncNightshift`: the same as `Nightshift`, to be awaited."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, TypeVar

import httpx

from nightshift_client import flows
from nightshift_client.calls import Call, Wait
from nightshift_client.http import connection_error, options, read, request
from nightshift_client.lines import Recipe
from nightshift_client.server import Server

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Self, Unpack

    from nightshift_client.batch import Batch
    from nightshift_client.calls import Flow
    from nightshift_client.flows import BatchOptions
    from nightshift_client.table import Kind

T = TypeVar("T")


class AsyncNightshift:
    """A Nightshift server, as `Nightshift` is. Use it with `async with`, or `close()` it."""

    def __init__(self, base_url: str | None = None, api_key: str | None = None) -> None:
        self._server = Server.of(base_url, api_key)
        self._http = httpx.AsyncClient(**options(self._server))

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        """Let go of its connections."""
        await self._http.aclose()

    @property
    def url(self) -> str:
        """The server's address; its page is there."""
        return self._server.url

    async def submit(
        self,
        table: Any,
        template: str,
        *,
        model: str = "sonnet",
        system: str | None = None,
        schema: Any = None,
        id_column: str | None = None,
        body: Mapping[str, Any] | None = None,
        **options: Unpack[BatchOptions],
    ) -> Batch:
        """As `Nightshift.submit`."""
        recipe = Recipe(template, model, system, schema, id_column, body)
        return await self._run(flows.submit(table, recipe, options))

    async def ask_each(
        self,
        table: Any,
        template: str,
        *,
        model: str = "sonnet",
        system: str | None = None,
        schema: Any = None,
        id_column: str | None = None,
        body: Mapping[str, Any] | None = None,
        as_: Kind | None = None,
        progress: bool = True,
        **options: Unpack[BatchOptions],
    ) -> Any:
        """As `Nightshift.ask_each`."""
        recipe = Recipe(template, model, system, schema, id_column, body)
        return await self._run(flows.ask_each(table, recipe, options, as_, is_shown=progress))

    async def status(self, batch: Batch | str) -> Batch:
        """As `Nightshift.status`."""
        return await self._run(flows.status(_id(batch)))

    async def watch(self, batch: Batch | str, *, progress: bool = True) -> Batch:
        """As `Nightshift.watch`."""
        return await self._run(flows.watch(_id(batch), is_shown=progress))

    async def results(
        self,
        batch: Batch | str,
        table: Any = None,
        *,
        as_: Kind | None = None,
        partial: bool = False,
        parse: bool | None = None,
        id_column: str | None = None,
    ) -> Any:
        """As `Nightshift.results`."""
        return await self._run(
            flows.read(_id(batch), table, as_, is_partial=partial, as_json=parse, id_column=id_column)
        )

    async def forecast(self, batch: Batch | str) -> dict[str, Any] | None:
        """As `Nightshift.forecast`."""
        return await self._run(flows.forecast(_id(batch)))

    async def continue_(
        self,
        batch: Batch | str,
        *,
        way: str | None = None,
        max_cost: float | None = None,
        max_tokens: int | None = None,
        max_share: str | None = None,
    ) -> Batch:
        """As `Nightshift.continue_`."""
        wanted = {"way": way, "max_cost": max_cost, "max_tokens": max_tokens, "max_share": max_share}
        return await self._run(flows.change(_id(batch), "continue", wanted))

    async def cancel(self, batch: Batch | str) -> Batch:
        """As `Nightshift.cancel`."""
        return await self._run(flows.change(_id(batch), "cancel"))

    async def retry(self, batch: Batch | str) -> Batch:
        """As `Nightshift.retry`."""
        return await self._run(flows.change(_id(batch), "retry_failed"))

    async def batches(self, limit: int = 20) -> list[Batch]:
        """As `Nightshift.batches`."""
        return await self._run(flows.newest(limit))

    async def _run(self, flow: Flow[T]) -> T:
        try:
            effect = next(flow)
            while True:
                try:
                    answer = await self._do(effect)
                except BaseException as error:  # noqa: BLE001 - the flow says what follows, of a cancelled task, too
                    effect = flow.throw(error)
                else:
                    effect = flow.send(answer)
        except StopIteration as end:
            found: T = end.value
            return found

    async def _do(self, effect: Call | Wait) -> Any:
        if isinstance(effect, Wait):
            await asyncio.sleep(effect.seconds)
            return None
        try:
            return read(effect, await self._http.request(**request(effect)))
        except httpx.HTTPError as error:
            raise connection_error(self.url, error) from error


def _id(batch: Batch | str) -> str:
    return batch if isinstance(batch, str) else batch.id
