"""What the client does, written once for both clients: each flow yields the requests and the waits that it needs, and knows no I/O."""

from __future__ import annotations

import hashlib
import json
import time
import warnings
from typing import TYPE_CHECKING, Any, TypedDict

from nightshift_client import results, table
from nightshift_client.batch import Batch
from nightshift_client.calls import Call, Flow, Wait, ask
from nightshift_client.errors import APIConnectionError, BatchFailed, BatchHeld, BatchNotEnded, InternalServerError
from nightshift_client.lines import ENDPOINT, Recipe, json_line
from nightshift_client.progress import Progress

if TYPE_CHECKING:
    from collections.abc import Mapping

    from nightshift_client.table import Kind, Table

#: in the metadata of a batch, as the command has them: the table's file, its format, the column that names its rows, and
#: which requests were submitted, and which part of the table was meant; the last one is ours: the answers are values of JSON
TABLE_FILE, TABLE_FORMAT, TABLE_ID, DIGEST = (
    "nightshift_table",
    "nightshift_format",
    "nightshift_id_column",
    "nightshift_digest",
)
TABLE_SELECTION = "nightshift_selection"
ANSWERS = "nightshift_answers"
#: the server's own: the batch whose failed requests this one runs again
RETRY_OF = "retry_of"
#: the same requests within this time are the same batch, seconds
SAME_SECONDS = 24 * 3600
#: what a batch that is submitted again can't be
_ENDED_EARLY = ("failed", "expired", "cancelling", "cancelled")
#: how often a batch is looked at: at first, and when it takes long, seconds
_FIRST_LOOK, _LAST_LOOK, _SLOWER = 0.2, 2.0, 1.3
#: a batch that is not validated and waits for something is handed out after this time, seconds
_VALIDATION_SECONDS = 5.0


class BatchOptions(TypedDict, total=False):
    """How a batch is run; each is the option of `nightshift batch submit` of that name.

    `max_cost` (US dollars), `max_tokens` and `max_share` (`"30%five_hour"`) are budgets of the whole batch, at which it waits for
    `continue_()`. `try_first` runs so many requests first, and waits. `since` is an earlier batch, whose answers to the same
    requests are copied. `way` is the way to Claude, `window` when it may run (`"22:00-07:00 Europe/Berlin"`). With `strict` one
    request that is refused fails the batch. `again` makes another batch though the same requests were submitted within a day.
    """

    max_cost: float
    max_tokens: int
    max_share: str
    try_first: int
    since: str
    way: str
    window: str
    callback_url: str
    completion_window: str
    strict: bool
    again: bool
    metadata: dict[str, str]


_NAMES = {
    "max_cost": "max_cost",
    "max_tokens": "max_tokens",
    "max_share": "max_share",
    "try_first": "try",
    "since": "since",
    "way": "way",
    "window": "batch_window",
    "callback_url": "callback_url",
}


def submit(source: Any, recipe: Recipe, options: BatchOptions) -> Flow[Batch]:
    """The batch, once its file was looked at. Raises `TableError`, `BatchFailed`."""
    found = table.of(source)
    lines = recipe.lines(found)
    metadata = _metadata(recipe, options, lines)
    yield from ask(Call("GET", f"/v1/models/{recipe.model}"))
    if not options.get("again") and "since" not in options:
        earlier = yield from _same(metadata)
        if earlier is not None:
            warnings.warn(
                f"The same was submitted within a day, as {earlier.id}: this is that batch. again=True makes another one.",
                stacklevel=4,
            )
            return earlier
    file_id = yield from _upload("requests.jsonl", lines)
    rows = b"".join(map(json_line, found.rows))
    metadata |= {TABLE_FILE: (yield from _upload(f"{found.name}.jsonl", rows)), TABLE_FORMAT: "jsonl"}
    body = {
        "input_file_id": file_id,
        "endpoint": ENDPOINT,
        "completion_window": options.get("completion_window", "24h"),
        "metadata": metadata,
    }
    batch = Batch.of((yield from ask(Call("POST", "/v1/batches", json=body))))
    return (yield from _validated(batch))


def status(batch_id: str) -> Flow[Batch]:
    """How it is now."""
    return Batch.of((yield from ask(Call("GET", f"/v1/batches/{batch_id}"))))


def watch(batch_id: str, *, is_shown: bool) -> Flow[Batch]:
    """The batch, once it has ended or waits for somebody's word. A server that is away is waited for."""
    seconds = _FIRST_LOOK
    with Progress(is_shown=is_shown) as progress:
        while True:
            try:
                batch = Batch.of((yield Call("GET", f"/v1/batches/{batch_id}")))
            except (APIConnectionError, InternalServerError):
                progress.note("no answer from the server; trying again")
                yield Wait(_LAST_LOOK)
                continue
            progress.show(batch)
            if batch.has_ended or batch.is_held:
                return batch
            yield Wait(seconds)
            seconds = min(seconds * _SLOWER, _LAST_LOOK)


def read(
    batch_id: str,
    source: Any,
    kind: Kind | None,
    *,
    is_partial: bool,
    as_json: bool | None,
    id_column: str | None = None,
) -> Flow[Any]:
    """The table with its answers. Raises `BatchNotEnded`, `BatchFailed`, `TableError`."""
    batch = yield from status(batch_id)
    if batch.status == "failed":
        raise BatchFailed(batch)
    if not batch.has_ended and not is_partial:
        raise BatchNotEnded(batch)
    if source is None and _is_of_the_command(batch):
        return results.framed((yield from _rows_of_the_server(batch)), kind or "dicts")
    found = table.of(source) if source is not None else (yield from _table_of(batch))
    has_table = TABLE_FILE in batch.metadata or source is not None
    is_json = batch.metadata.get(ANSWERS) == "json" if as_json is None else as_json
    answers = yield from _outcomes(batch, as_json=is_json, with_earlier=has_table)
    if id_column is None:
        id_column = batch.metadata.get(TABLE_ID) if has_table else "custom_id"
    return results.joined(found, answers, id_column, kind, is_whole=batch.has_ended)


def ask_each(source: Any, recipe: Recipe, options: BatchOptions, kind: Kind | None, *, is_shown: bool) -> Flow[Any]:
    """Submit, watch and read. Raises `BatchHeld` besides."""
    found = table.of(source)
    batch = yield from submit(found, recipe, options)
    batch = yield from watch(batch.id, is_shown=is_shown)
    if batch.is_held:
        raise BatchHeld(batch)
    return (yield from read(batch.id, found, kind, is_partial=False, as_json=recipe.schema is not None))


def forecast(batch_id: str) -> Flow[dict[str, Any] | None]:
    """What the rest will come to, of a batch whose first requests were tried."""
    report = yield from ask(Call("GET", f"/v1/batches/{batch_id}/report"))
    found: dict[str, Any] | None = report["forecast"]
    return found


def change(batch_id: str, how: str, wanted: Mapping[str, Any] | None = None) -> Flow[Batch]:
    """The batch after `cancel` or `continue`; of `retry_failed` the new one."""
    body = None if wanted is None else {name: value for name, value in wanted.items() if value is not None}
    return Batch.of((yield from ask(Call("POST", f"/v1/batches/{batch_id}/{how}", json=body))))


def newest(limit: int) -> Flow[list[Batch]]:
    """The newest batches."""
    found = yield from ask(Call("GET", f"/v1/batches?limit={limit}"))
    return [Batch.of(one) for one in found["data"]]


def _metadata(recipe: Recipe, options: BatchOptions, lines: bytes) -> dict[str, str]:
    found = dict(options.get("metadata") or {})
    found |= {theirs: str(options[ours]) for ours, theirs in _NAMES.items() if options.get(ours) is not None}  # type: ignore[literal-required]
    if options.get("strict"):
        found["on_bad_line"] = "fail"
    if recipe.schema is not None:
        found[ANSWERS] = "json"
    if recipe.id_column is not None:
        found[TABLE_ID] = recipe.id_column
    return found | {DIGEST: hashlib.sha256(lines).hexdigest()[:32]}


def _same(metadata: dict[str, str]) -> Flow[Batch | None]:
    """A batch of the last day with the same requests and options that has them answered, or will."""
    after, since = "", time.time() - SAME_SECONDS  # noqa: TID251 - within a day, by any clock
    while True:
        found = yield from ask(Call("GET", f"/v1/batches?limit=100{after}"))
        for batch in map(Batch.of, found["data"]):
            if batch.raw["created_at"] < since:
                return None
            theirs = {name: value for name, value in batch.metadata.items() if name not in (TABLE_FILE, TABLE_FORMAT)}
            if theirs == metadata and batch.status not in _ENDED_EARLY:
                return batch
        if not found["has_more"]:
            return None
        after = f"&after={found['last_id']}"


def _upload(name: str, content: bytes) -> Flow[str]:
    found = yield from ask(Call("POST", "/v1/files", upload=(name, content)))
    return str(found["id"])


def _validated(batch: Batch) -> Flow[Batch]:
    """The batch, once its file was looked at; still `validating` when nobody does so. Says what of it is refused."""
    waited = 0.0
    while batch.status == "validating" and not (waited > _VALIDATION_SECONDS and batch.waiting_for):
        yield Wait(_FIRST_LOOK)
        waited += _FIRST_LOOK
        batch = yield from status(batch.id)
    if batch.status == "failed":
        raise BatchFailed(batch)
    if refused := batch.raw["nightshift"].get("refused"):
        warnings.warn(
            f"{refused:,} of {batch.total:,} requests of {batch.id} are refused, and have errors in the results; the others run.",
            stacklevel=5,
        )
    return batch


def _is_of_the_command(batch: Batch) -> bool:
    """Whether its table may have any format that the server knows, or be a part of one: what reads it is there."""
    ours = batch.metadata.get(TABLE_FORMAT) == "jsonl" and TABLE_SELECTION not in batch.metadata
    return TABLE_FILE in batch.metadata and not ours


def _rows_of_the_server(batch: Batch) -> Flow[list[table.Row]]:
    """The table with its answers, as JSON; those of the batch that this one is a retry of, too."""
    rows = table.stored((yield from ask(Call("GET", f"/batches/{batch.id}/table?format=jsonl", is_raw=True))))
    if RETRY_OF not in batch.metadata:
        return rows
    earlier = yield from status(batch.metadata[RETRY_OF])
    before = yield from _rows_of_the_server(earlier)
    return [new if results.has_outcome(new) else old for new, old in zip(rows, before, strict=True)]


def _outcomes(batch: Batch, *, as_json: bool, with_earlier: bool) -> Flow[dict[str, results.Outcome]]:
    """What became of the requests; `with_earlier`: also of those of the batch that this one is a retry of."""
    output = yield from ask(Call("GET", f"/v1/batches/{batch.id}/output", is_raw=True))
    errors = yield from ask(Call("GET", f"/v1/batches/{batch.id}/output?errors=true", is_raw=True))
    found = results.outcomes(output, errors, as_json=as_json)
    if not with_earlier or RETRY_OF not in batch.metadata:
        return found
    earlier = yield from status(batch.metadata[RETRY_OF])
    return (yield from _outcomes(earlier, as_json=as_json, with_earlier=True)) | found


def _table_of(batch: Batch) -> Flow[Table]:
    """What it was made of: the table that is kept beside it, or only the ids of its requests."""
    if TABLE_FILE in batch.metadata:
        content = yield from ask(Call("GET", f"/v1/files/{batch.metadata[TABLE_FILE]}/content", is_raw=True))
        return table.of(table.stored(content))
    content = yield from ask(Call("GET", f"/v1/files/{batch.raw['input_file_id']}/content", is_raw=True))
    return table.of([{"custom_id": json.loads(line)["custom_id"]} for line in content.split(b"\n") if line.strip()])
