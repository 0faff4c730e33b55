"""`Nightshift`: tables of questions and their answers, in a script or a notebook."""

from __future__ import annotations

import time
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


class Nightshift:
    """A Nightshift server. Use it with `with`, or `close()` it.

    Without `base_url` and `api_key` the variables `NIGHTSHIFT_URL` and `NIGHTSHIFT_API_KEY` say them, as for the command; the default
    is this machine. A batch may be given as what `submit` has returned, or by its id. All methods raise `NightshiftError`.
    """

    def __init__(self, base_url: str | None = None, api_key: str | None = None) -> None:
        self._server = Server.of(base_url, api_key)
        self._http = httpx.Client(**options(self._server))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Let go of its connections."""
        self._http.close()

    @property
    def url(self) -> str:
        """The server's address; its page is there."""
        return self._server.url

    def submit(
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
        """Ask about each row of a table overnight; the batch, once its requests were looked at.

        `table`: a list of dicts, a DataFrame of pandas or polars, an Arrow table, or the path of a CSV or JSON file. `template`: the
        prompt, with the names of columns in braces, such as `"Is this kind? {text}"`. `schema`: a JSON schema, or a model class of
        pydantic, that each answer satisfies. `id_column`: the column that names a row. `body`: further fields of each request, such as
        `{"max_tokens": 100}`. Other options: see `BatchOptions`. Raises `TableError`, `BatchFailed`.
        """
        recipe = Recipe(template, model, system, schema, id_column, body)
        return self._run(flows.submit(table, recipe, options))

    def ask_each(
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
        """`submit`, `watch` and `results` in one: the table with the columns `answer` and `error`, of its own kind or `as_` that.

        It is a batch: when this process ends meanwhile, the same call finds it again. Raises `BatchHeld` besides.
        """
        recipe = Recipe(template, model, system, schema, id_column, body)
        return self._run(flows.ask_each(table, recipe, options, as_, is_shown=progress))

    def status(self, batch: Batch | str) -> Batch:
        """How it is now."""
        return self._run(flows.status(_id(batch)))

    def watch(self, batch: Batch | str, *, progress: bool = True) -> Batch:
        """The batch, once it has ended or waits for your word (`is_held`). Ctrl-C leaves it running."""
        return self._run(flows.watch(_id(batch), is_shown=progress))

    def results(
        self,
        batch: Batch | str,
        table: Any = None,
        *,
        as_: Kind | None = None,
        partial: bool = False,
        parse: bool | None = None,
        id_column: str | None = None,
    ) -> Any:
        """The table with the columns `answer` and `error`, in its own order.

        `table`: the one that was submitted, to have its own types and kind back; else the server's copy, as dicts. `as_`: `"dicts"`,
        `"pandas"` or `"polars"`. `partial`: also before the end. `parse`: answers as values of JSON; by default if there was a schema.
        `id_column`: the column of `table` that has each request's `custom_id`, for batches that something else has submitted.
        Raises `BatchNotEnded`, `BatchFailed`, `TableError`.
        """
        return self._run(flows.read(_id(batch), table, as_, is_partial=partial, as_json=parse, id_column=id_column))

    def forecast(self, batch: Batch | str) -> dict[str, Any] | None:
        """What the rest of a batch that was tried (`try_first`) will come to: cost by way, time, tokens, each with its range."""
        return self._run(flows.forecast(_id(batch)))

    def continue_(
        self,
        batch: Batch | str,
        *,
        way: str | None = None,
        max_cost: float | None = None,
        max_tokens: int | None = None,
        max_share: str | None = None,
    ) -> Batch:
        """Let a batch go on that waits for your word, with other budgets or by another way if you like."""
        wanted = {"way": way, "max_cost": max_cost, "max_tokens": max_tokens, "max_share": max_share}
        return self._run(flows.change(_id(batch), "continue", wanted))

    def cancel(self, batch: Batch | str) -> Batch:
        """Stop what runs; what is done is kept."""
        return self._run(flows.change(_id(batch), "cancel"))

    def retry(self, batch: Batch | str) -> Batch:
        """A new batch of the requests that failed or were not run."""
        return self._run(flows.change(_id(batch), "retry_failed"))

    def batches(self, limit: int = 20) -> list[Batch]:
        """The newest ones."""
        return self._run(flows.newest(limit))

    def _run(self, flow: Flow[T]) -> T:
        try:
            effect = next(flow)
            while True:
                try:
                    answer = self._do(effect)
                except BaseException as error:  # noqa: BLE001 - the flow says what follows, of Ctrl-C, too
                    effect = flow.throw(error)
                else:
                    effect = flow.send(answer)
        except StopIteration as end:
            found: T = end.value
            return found

    def _do(self, effect: Call | Wait) -> Any:
        if isinstance(effect, Wait):
            time.sleep(effect.seconds)
            return None
        try:
            return read(effect, self._http.request(**request(effect)))
        except httpx.HTTPError as error:
            raise connection_error(self.url, error) from error


def _id(batch: Batch | str) -> str:
    return batch if isinstance(batch, str) else batch.id
