"""Tables in batches: those that have batches already keep their types, and any other becomes text. Raises `FormatError`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import IO, TYPE_CHECKING, Any

from app.batches.formats.cells import as_text

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from app.batches.formats.tables import Filled

_ROWS = 4096


@dataclass(frozen=True, eq=False)
class Kept:
    """The batch that a row is in, and the schema of all of them."""

    batch: Any
    schema: Any


def write(target: IO[bytes], filled: Iterable[Filled], columns: Sequence[str], names: Sequence[str], kind: str) -> None:
    """Any table."""
    from app.batches.formats.columnar import library  # noqa: PLC0415 - which imports this

    pa = library(f"results as {kind}")
    rows = iter(filled)
    first = next(rows, None)

    def all_rows() -> Iterator[Filled]:
        if first is not None:
            yield first
        yield from rows

    schema = first[1][0].schema if first is not None and _is_kept(first[1]) else None
    write_batches(pa, target, all_rows(), columns, names, kind, schema, "SNAPPY" if kind == "parquet" else "plain")


def _is_kept(kept: Any) -> bool:
    return isinstance(kept, tuple) and isinstance(kept[0], Kept)


def write_batches(  # noqa: PLR0917
    pa: Any,
    target: IO[bytes],
    filled: Iterable[Filled],
    columns: Sequence[str],
    names: Sequence[str],
    kind: str,
    schema: Any,
    compression: str,
) -> None:
    """`schema`: of the batches that the rows are in; None: they are in none. `compression`: of Parquet; of Arrow `file`, `stream`, or `plain`, a file without dictionaries."""
    kinds = {str: pa.string(), int: pa.int64(), float: pa.float64(), bool: pa.bool_()}
    further = [pa.field(str(name), kinds[getattr(name, "kind", str)]) for name in names]
    if schema is None:
        made = pa.schema([pa.field(name, pa.string()) for name in columns] + further)
        batches = _of_text(pa, filled, columns, made)
    else:
        own = [_plain(pa, schema.field(name), compression) for name in columns]
        made = pa.schema(own + further, metadata=schema.metadata)
        batches = _of_batches(pa, filled, columns, made)
    with _writer(pa, target, made, kind, compression) as writer:
        for batch in batches:
            writer.write_batch(batch)


def _plain(pa: Any, field: Any, compression: str) -> Any:
    """A file of Arrow has one dictionary for all batches, and a table of Parquet one for each: its values are written then."""
    is_other = compression == "plain" and pa.types.is_dictionary(field.type)
    return field.with_type(field.type.value_type) if is_other else field


def _writer(pa: Any, target: IO[bytes], schema: Any, kind: str, compression: str) -> Any:
    if kind == "parquet":
        return pa.parquet.ParquetWriter(target, schema, compression=compression)
    return pa.ipc.new_stream(target, schema) if compression == "stream" else pa.ipc.new_file(target, schema)


def _of_text(pa: Any, filled: Iterable[Filled], columns: Sequence[str], schema: Any) -> Iterator[Any]:
    rows: list[list[Any]] = []
    for row, _, values in filled:
        if row is None:
            continue
        own = [None if row.get(name) is None else as_text(row[name]) for name in columns]
        rows.append([*own, *(values or [None] * (len(schema) - len(own)))])
        if len(rows) >= _ROWS:
            yield _batch(pa, rows, schema)
            rows = []
    if rows:
        yield _batch(pa, rows, schema)


def _batch(pa: Any, rows: list[list[Any]], schema: Any) -> Any:
    columns = [
        _array(pa, list(column), field.type) for column, field in zip(zip(*rows, strict=True), schema, strict=True)
    ]
    return pa.record_batch(columns, schema=schema)


def _of_batches(pa: Any, filled: Iterable[Filled], columns: Sequence[str], schema: Any) -> Iterator[Any]:
    """The batches that the rows are in, without the rows that are left out."""
    current: Kept | None = None
    indices: list[int] = []
    cells: list[Sequence[Any] | None] = []
    for _, (kept, index), values in filled:
        if kept is not current:
            if current is not None:
                yield _completed(pa, current.batch, indices, cells, columns, schema)
            current, indices, cells = kept, [], []
        indices.append(index)
        cells.append(values)
    if current is not None:
        yield _completed(pa, current.batch, indices, cells, columns, schema)


def _completed(  # noqa: PLR0917
    pa: Any,
    batch: Any,
    indices: list[int],
    cells: list[Sequence[Any] | None],
    columns: Sequence[str],
    schema: Any,
) -> Any:
    if len(indices) < batch.num_rows:
        batch = batch.take(pa.array(indices, pa.int64()))
    own = [_as(batch.column(name), field.type) for name, field in zip(columns, schema, strict=False)]
    places = range(len(schema) - len(own))
    further = [
        _array(pa, [None if row is None else row[place] for row in cells], schema.field(len(own) + place).type)
        for place in places
    ]
    return pa.record_batch([*own, *further], schema=schema)


def _as(column: Any, kind: Any) -> Any:
    return column if column.type == kind else column.cast(kind)


def _array(pa: Any, values: list[Any], kind: Any) -> Any:
    if kind == pa.string():
        values = [None if value is None or value == "" else as_text(value) for value in values]
    return pa.array(values, kind)
