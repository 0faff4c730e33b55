"""Parquet and Arrow (Feather), by pyarrow. What is not looked at is passed on batch by batch as it is: types, zones, nested columns, metadata."""

from __future__ import annotations

import re
from contextlib import contextmanager
from datetime import timedelta
from functools import cached_property, partial
from typing import IO, TYPE_CHECKING, Any

from app.batches.formats import packed
from app.batches.formats.cells import Number, Unfit
from app.batches.formats.columnar_slices import parquet_batches, sliced
from app.batches.formats.columnar_writer import Kept, write_batches
from app.batches.formats.columns import unique
from app.batches.formats.json_file import FormatError
from app.extras import how_to_install

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
    from pathlib import Path
    from types import ModuleType

    from app.batches.formats.selection import Selection
    from app.batches.formats.tables import Filled, Record

#: of a batch, at most; and how much of a file it may be, bytes
BATCH_ROWS = 16_384
BATCH_BYTES = 16 * 1024 * 1024
#: a column in which each cell is empty may have any number of rows in no space at all
MAX_ROWS = 100_000_000
_STREAM, _FILE, _FEATHER_1 = b"\xff\xff\xff\xff", b"ARROW1", b"FEA1"
#: a second's fraction, and zeros at its end
_ZEROS = re.compile(r"(\.\d*?)0+(?=$|[Z+-])")


def library(what: object) -> ModuleType:
    """Raises `FormatError` where it is not installed."""
    try:
        import pyarrow as pa  # noqa: PLC0415 - an extra
        import pyarrow.parquet  # noqa: PLC0415
    except ImportError as error:
        raise FormatError(f"{what}: Parquet and Arrow need another package: {how_to_install('parquet')}") from error
    found: ModuleType = pa
    return found


class ColumnarTable:
    """A table in batches. `kind`: `parquet` or `arrow`."""

    def __init__(self, path: Path, kind: str) -> None:
        self.path = path
        self._kind = kind

    @cached_property
    def columns(self) -> Sequence[str]:
        """Raises `FormatError`."""
        with self._opened() as (schema, _):
            return unique(self.path, list(schema.names))

    def records(self, wanted: Collection[str] | None = None) -> Iterator[Record]:
        """Each row, and the batch that it is in. A row without any cell is None. Raises `FormatError`."""
        del wanted
        names = self.columns
        with self._opened() as (schema, batches):
            for batch in batches():
                kept = Kept(batch, schema)
                cells = [_values(self.path, name, batch.column(place)) for place, name in enumerate(names)]
                for index, row in enumerate(zip(*cells, strict=True)):
                    is_row = any(value is not None for value in row)
                    yield dict(zip(names, row, strict=True)) if is_row else None, (kept, index)

    def can_write_back(self, selection: Selection) -> bool:
        """With all columns; without some of them it is written in the same way."""
        return selection.columns is None

    def write_back(self, target: IO[bytes], filled: Iterable[Filled], names: Sequence[str]) -> None:
        """The same batches with further columns."""
        self.write(target, filled, self.columns, names)

    def write(self, target: IO[bytes], filled: Iterable[Filled], columns: Sequence[str], names: Sequence[str]) -> None:
        """Some of its columns, and further ones."""
        pa = library(self.path)
        with self._opened() as (schema, _):
            compression = self._compression()
            write_batches(pa, target, filled, columns, names, self._kind, schema, compression)

    def _compression(self) -> str:
        """What its first column is packed with; of Arrow `stream`, if it is one."""
        if self._kind == "arrow":
            with self.path.open("rb") as file:
                return "stream" if file.read(4) == _STREAM else "file"
        data = library(self.path).parquet.ParquetFile(self.path).metadata
        found = data.row_group(0).column(0).compression if data.num_row_groups and data.num_columns else "SNAPPY"
        return {"UNCOMPRESSED": "NONE", "LZ4_RAW": "LZ4"}.get(found, found)

    @contextmanager
    def _opened(self) -> Iterator[tuple[Any, Callable[[], Iterator[Any]]]]:
        """Its schema, and what gives its batches."""
        pa = library(self.path)
        try:
            if self._kind == "parquet":
                with pa.parquet.ParquetFile(self.path, memory_map=True, pre_buffer=False) as file:
                    rows = self._batch_rows(file.metadata)
                    schema = file.schema_arrow
                    read = partial(parquet_batches, pa, self.path, file, rows, BATCH_BYTES)
                    yield schema, lambda: sliced(pa, read(), schema, BATCH_BYTES, self.path)
            else:
                with self.path.open("rb") as start:
                    magic = start.read(6)
                if magic.startswith(_FEATHER_1):
                    raise FormatError(f"{self.path}: Feather of version 1. Write it again as version 2, or as Parquet.")
                with pa.memory_map(str(self.path)) as mapped:
                    reader = pa.ipc.open_stream(mapped) if magic.startswith(_STREAM) else pa.ipc.open_file(mapped)
                    yield reader.schema, lambda: sliced(pa, _slices(reader), reader.schema, BATCH_BYTES, self.path)
        except (pa.ArrowException, OSError) as error:
            raise FormatError(f"{self.path}: not a file of {self._kind.title()}, or a broken one: {error}") from error

    def _batch_rows(self, data: Any) -> int:
        size = sum(data.row_group(number).total_byte_size for number in range(data.num_row_groups))
        if size > (most := packed.bound(self.path.stat().st_size)):
            raise FormatError(f"{self.path}: it holds more than {most:,} bytes, {packed.MAX_RATIO} times its size.")
        if data.num_rows > MAX_ROWS:
            raise FormatError(f"{self.path}: it has more than {MAX_ROWS:,} rows.")
        return int(max(1, min(BATCH_ROWS, BATCH_BYTES * data.num_rows // max(size, 1))))


def _slices(reader: Any) -> Iterator[Any]:
    batches = reader if hasattr(reader, "read_next_batch") else map(reader.get_batch, range(reader.num_record_batches))
    for batch in batches:
        rows = max(1, min(BATCH_ROWS, BATCH_BYTES * batch.num_rows // max(batch.nbytes, 1)))
        for start in range(0, batch.num_rows, rows):
            yield batch.slice(start, rows)


def _values(path: Path, name: str, column: Any) -> list[Any]:
    """A column's cells as Python has them, or as text where Python would know less: of floats, decimals, times."""
    pa = library(path)
    kind = column.type
    if pa.types.is_dictionary(kind):
        column = column.dictionary_decode()
        kind = column.type
    if pa.types.is_boolean(kind) or pa.types.is_integer(kind) or pa.types.is_date(kind) or pa.types.is_null(kind):
        found: list[Any] = column.to_pylist()
        return found
    try:
        if pa.types.is_duration(kind):
            micro = column.cast(pa.duration("us")).cast(pa.int64()).to_pylist()
            return [None if one is None else timedelta(microseconds=one) for one in micro]
        texts = column.cast(pa.string()).to_pylist()
    except pa.ArrowException:
        text = f"{path}: column '{name}' has cells of the type {kind}, which are no text. A prompt takes other columns, and"
        unfit = Unfit(f"{text} results as Parquet or Arrow keep it; for another format leave it out with --columns.")
        return [unfit if one else None for one in column.is_valid().to_pylist()]
    if pa.types.is_floating(kind) or pa.types.is_decimal(kind):
        return [None if one is None else Number(one) for one in texts]
    if pa.types.is_timestamp(kind) or pa.types.is_time(kind):
        is_day = pa.types.is_timestamp(kind)
        return [None if one is None else _short(one, is_day=is_day) for one in texts]
    return list(texts)


def _short(text: str, *, is_day: bool) -> str:
    """A time without the zeros at the end of its fraction, and a day without its midnight."""
    text = _ZEROS.sub(lambda found: found[1].rstrip("."), text)
    return text.removesuffix(" 00:00:00") if is_day else text
