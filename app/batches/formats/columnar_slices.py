"""Batches of a bounded size once each cell has a text of its own: a dictionary has a text once, whatever number of cells it is in."""

from __future__ import annotations

from bisect import bisect_right
from typing import TYPE_CHECKING, Any

from app.batches.formats import packed
from app.batches.formats.json_file import FormatError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path


#: rows of a batch if Arrow cannot read one of its columns of text as a dictionary
FEW_ROWS = 64


def parquet_batches(pa: Any, path: Path, file: Any, rows: int, most_bytes: int) -> Iterator[Any]:
    """The batches of an open file of Parquet, with its texts as dictionaries: `sliced` gives their types back.

    A batch has at most `rows`, and about `most_bytes` of numbers and of texts of a fixed length.
    """
    data, schema = file.metadata, file.schema_arrow
    leaves = [file.schema.column(place) for place in range(data.num_columns)]
    texts = [leaf.path for leaf in leaves if leaf.physical_type == "BYTE_ARRAY"]
    size = sum(_count(data, place) * max(leaf.length or 0, 8) for place, leaf in enumerate(leaves))
    with _dictionaries(pa, path, data, texts) as other:
        pairs = zip(other.schema_arrow, schema, strict=True)
        whole = {field.name for read, field in pairs if not _is_readable(pa, read.type, field.type)}
    texts = [one for one in texts if not any(one == name or one.startswith(f"{name}.") for name in whole)]
    rows = min(rows, FEW_ROWS if whole else rows, max(1, most_bytes * data.num_rows // max(size, 1)))
    with _dictionaries(pa, path, data, texts) as other:
        # Arrow cannot join the dictionaries of two row groups in a nested column
        is_nested = any(pa.types.is_nested(field.type) for field in schema)
        groups = [[one] for one in range(data.num_row_groups)] if is_nested else [None]
        for group in groups:
            yield from other.iter_batches(rows, row_groups=group, use_threads=False)


def _count(data: Any, place: int) -> int:
    """The values of a column, which are more than the rows where it has lists."""
    if not data.schema.column(place).max_repetition_level:
        return int(data.num_rows)
    return sum(data.row_group(group).column(place).num_values for group in range(data.num_row_groups))


def _dictionaries(pa: Any, path: Path, data: Any, texts: list[str]) -> Any:
    return pa.parquet.ParquetFile(path, metadata=data, read_dictionary=texts, memory_map=True, pre_buffer=False)


def _is_readable(pa: Any, read: Any, kind: Any) -> bool:
    """Whether all text of a column is in dictionaries, and can become what it was."""
    if not _is_all_shared(pa, read):
        return False
    try:
        restored(pa, pa.nulls(0, read), kind)
    except pa.ArrowException:
        return False
    return True


def _is_all_shared(pa: Any, kind: Any) -> bool:
    if isinstance(kind, pa.BaseExtensionType):
        return _is_all_shared(pa, kind.storage_type)
    if _is_text(pa, kind) or _is_view(pa, kind):
        return False
    return all(_is_all_shared(pa, kind.field(place).type) for place in range(kind.num_fields))


def sliced(pa: Any, batches: Iterable[Any], schema: Any, most_bytes: int, path: Path) -> Iterator[Any]:
    """Slices of the batches, whose cells have at most `most_bytes` of shared text, or one row; with the types of `schema`.

    Raises `FormatError` if one row has more than the whole file may hold.
    """
    row_bytes = packed.bound(path.stat().st_size)
    for batch in batches:
        ends = _ends(pa, batch)
        if ends is None or not ends or ends[-1] <= most_bytes:
            yield _as(pa, batch, schema)
            continue
        start = 0
        while start < len(ends):
            before = ends[start - 1] if start else 0
            if ends[start] - before > row_bytes:
                raise FormatError(
                    f"{path}: it has a row of {ends[start] - before:,} bytes. {row_bytes:,} may be in one."
                )
            stop = max(start + 1, bisect_right(ends, before + most_bytes))
            yield _as(pa, batch.take(pa.array(range(start, stop), pa.int64())), schema)
            start = stop


def restored(pa: Any, array: Any, kind: Any) -> Any:
    """With the type that the file has. Raises `ArrowNotImplementedError`."""
    if array.type == kind:
        return array
    if isinstance(kind, pa.BaseExtensionType):
        return pa.ExtensionArray.from_storage(kind, restored(pa, array, kind.storage_type))
    if pa.types.is_dictionary(array.type) and not pa.types.is_dictionary(kind):
        array = array.dictionary_decode()
        if array.type == kind:
            return array
    return array.cast(kind)


def _as(pa: Any, batch: Any, schema: Any) -> Any:
    if batch.schema.equals(schema, check_metadata=True):
        return batch
    columns = [restored(pa, column, field.type) for column, field in zip(batch.columns, schema, strict=True)]
    return pa.record_batch(columns, schema=schema)


def _ends(pa: Any, batch: Any) -> list[int] | None:
    """The bytes of text until the end of each row, in all columns that share texts; None: no column does."""
    import pyarrow.compute as pc  # noqa: PLC0415 - an extra

    shared = [_lengths(pa, pc, column) for column in batch.columns if _shares(pa, column.type)]
    if not shared:
        return None
    total = shared[0]
    for one in shared[1:]:
        total = pc.add(total, one)
    found: list[int] = pc.cumulative_sum(total).to_pylist()
    return found


def _shares(pa: Any, kind: Any) -> bool:
    """Whether many of its cells can be one text in memory."""
    if isinstance(kind, pa.BaseExtensionType):
        return _shares(pa, kind.storage_type)
    if pa.types.is_dictionary(kind) or _is_view(pa, kind):
        return True
    return any(_shares(pa, kind.field(place).type) for place in range(kind.num_fields))


def _lengths(pa: Any, pc: Any, array: Any) -> Any:
    """The bytes of text in each cell, int64 without nulls."""
    kind = array.type
    if isinstance(kind, pa.BaseExtensionType):
        return _lengths(pa, pc, array.storage)
    if pa.types.is_dictionary(kind):
        return pc.fill_null(_lengths(pa, pc, array.dictionary).take(array.indices), 0)
    if _is_view(pa, kind):
        return pa.array([0 if one is None else len(one.as_buffer()) for one in array], pa.int64())
    if _is_text(pa, kind):
        return pc.fill_null(pc.binary_length(array).cast(pa.int64()), 0)
    if pa.types.is_struct(kind):
        total = _none(pa, array)
        for place in range(kind.num_fields):
            total = pc.add(total, _lengths(pa, pc, array.field(place)))
        return total
    if pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_map(kind):
        ends = pc.cumulative_sum(_lengths(pa, pc, array.values))
        ends = pa.concat_arrays([pa.array([0], pa.int64()), ends]).take(array.offsets)
        return pc.subtract(ends[1:], ends[:-1])
    return _none(pa, array)


def _is_text(pa: Any, kind: Any) -> bool:
    return kind in {pa.string(), pa.binary(), pa.large_string(), pa.large_binary()}


def _is_view(pa: Any, kind: Any) -> bool:
    return bool(pa.types.is_string_view(kind) or pa.types.is_binary_view(kind))


def _none(pa: Any, array: Any) -> Any:
    return pa.repeat(pa.scalar(0, pa.int64()), len(array))
