"""XLSX. A sheet comes back in its own workbook, in which nothing else has changed: styles, formulas, other sheets, charts.

Read with openpyxl, a row at a time. A formula counts as the value that it last had.
"""

from __future__ import annotations

import re
import shutil
import warnings
import zipfile
from contextlib import contextmanager
from functools import cached_property
from typing import IO, TYPE_CHECKING, Any
from xml.parsers.expat import ExpatError

from app.batches.formats import sheet_writer, workbook
from app.batches.formats.cells import Number, is_empty
from app.batches.formats.columns import unique
from app.batches.formats.json_file import FormatError
from app.batches.formats.sheet_xml import MAX_ROWS, Editor, decoded, letters
from app.extras import how_to_install

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Sequence
    from pathlib import Path

    from app.batches.formats.selection import Selection
    from app.batches.formats.tables import Filled, Record

#: what shows a number with leading zeros
_ZEROS = re.compile(r"0{2,}")
#: of a double that Excel shows
_DIGITS = 15


class SheetTable:
    """A sheet whose first row that is not empty is its header. `sheet`: its name; None: the first that is not hidden."""

    def __init__(self, path: Path, sheet: str | None = None) -> None:
        self.path = path
        self._wanted = sheet

    @cached_property
    def sheet(self) -> workbook.Sheet:
        """The one that is read. Raises `FormatError`."""
        return workbook.chosen(self.path, self._wanted)

    def passed_over(self) -> list[str]:
        """Other sheets that a reader sees, where nobody named one. Raises `FormatError`."""
        if self._wanted is not None:
            return []
        return [one.name for one in workbook.sheets(self.path) if not one.is_hidden and one != self.sheet]

    @cached_property
    def _header(self) -> tuple[int, list[str]]:
        """Its row, and the names of the columns, in which some may be empty. Raises `FormatError`."""
        with self._rows() as rows:
            for number, cells in enumerate(rows, 1):
                names = [as_shown(one) for one in cells]
                while names and is_empty(names[-1]):
                    names.pop()
                if names:
                    texts = ["" if is_empty(name) else str(name) for name in names]
                    unique(self.path, [name for name in texts if name])
                    return number, texts
        return 0, []

    @property
    def columns(self) -> Sequence[str]:
        """Those that have a name. Raises `FormatError`."""
        return [name for name in self._header[1] if name]

    def records(self, wanted: Collection[str] | None = None) -> Iterator[Record]:
        """Each row, with its number in the sheet and its cells. Raises `FormatError`."""
        header, names = self._header
        self._check_formulas(wanted)
        with self._rows() as rows:
            for number, cells in enumerate(rows, 1):
                if number <= header:
                    continue
                row: dict[str, Any] = dict.fromkeys((name for name in names if name), None)
                is_row = False
                for place, one in enumerate(cells):
                    if one.value is None:
                        continue
                    name = names[place] if place < len(names) else ""
                    if not name:
                        raise FormatError(
                            f"{self.path}: cell {letters(place + 1)}{number} is in a column without a name in the header (row"
                            f" {header}). Give it one, or empty the column."
                        )
                    row[name] = as_shown(one)
                    is_row = True
                yield row if is_row else None, (number, cells)

    def can_write_back(self, selection: Selection) -> bool:
        """All of it: a workbook in which rows are left out would be another one."""
        return selection.is_whole

    def write_back(self, target: IO[bytes], filled: Iterable[Filled], names: Sequence[str]) -> None:
        """The workbook as it was, with further cells in this sheet."""
        header, columns = self._header
        rows = iter(filled)
        ahead: list[Filled] = []

        def cells_of(number: int) -> Sequence[Any] | None:
            if number == header:
                return names
            while not ahead or ahead[0][1][0] < number:
                ahead[:] = [next(rows, (None, (2**31, ()), None))]
            return ahead[0][2] if ahead[0][1][0] == number else None

        with zipfile.ZipFile(self.path) as package, zipfile.ZipFile(target, "w") as made:
            for part in package.infolist():
                entry = zipfile.ZipInfo(part.filename, part.date_time)
                entry.compress_type, entry.external_attr = zipfile.ZIP_DEFLATED, part.external_attr
                with package.open(part) as source, made.open(entry, "w", force_zip64=part.file_size > 2**30) as into:
                    if part.filename == self.sheet.part:
                        Editor(into, cells_of, len(columns) + 1, header).run(source)
                    else:
                        shutil.copyfileobj(source, into)
        for _ in rows:  # whoever counts them wants all
            pass

    def write(self, target: IO[bytes], filled: Iterable[Filled], columns: Sequence[str], names: Sequence[str]) -> None:
        """A new workbook with some columns of this sheet: their values, types and number formats."""
        places = {name: place for place, name in enumerate(self._header[1])}

        def cells() -> Iterator[list[Any]]:
            for row, (_, own), values in filled:
                if row is not None:
                    kept = [own[places[name]] if places[name] < len(own) else None for name in columns]
                    yield [*kept, *(values or [None] * len(names))]

        sheet_writer.write_rows(target, cells(), [*columns, *names], self.sheet.name)

    @contextmanager
    def _rows(self) -> Iterator[Iterator[Sequence[Any]]]:
        try:
            import openpyxl  # noqa: PLC0415 - an extra
        except ImportError as error:
            raise FormatError(f"{self.path}: XLSX needs another package: {how_to_install('excel')}") from error
        name = self.sheet.name
        try:
            # By its name openpyxl would refuse a copy without an ending.
            with self.path.open("rb") as file, warnings.catch_warnings():
                warnings.simplefilter("ignore")  # about styles and parts that are not read
                book = openpyxl.load_workbook(file, read_only=True, data_only=True)
                try:
                    sheet = book[name]
                    sheet.reset_dimensions()  # some programs write wrong ones
                    yield self._bounded(sheet.iter_rows())
                finally:
                    book.close()
        except (*workbook.BROKEN, ValueError, TypeError, SyntaxError) as error:
            # What openpyxl raises about a workbook that is none.
            raise FormatError(f"{self.path}: the workbook is broken: {error}") from error

    def _bounded(self, rows: Iterable[Sequence[Any]]) -> Iterator[Sequence[Any]]:
        """A row may say any number of itself, and openpyxl gives all empty ones before it."""
        for number, cells in enumerate(rows, 1):
            if number > MAX_ROWS:
                raise FormatError(
                    f"{self.path}: a row is below row {MAX_ROWS:,}, the last one that a sheet of XLSX has."
                )
            yield cells

    def _check_formulas(self, wanted: Collection[str] | None) -> None:
        """Raises `FormatError` for a formula without a value: read as it is, it would be an empty cell."""
        from app.batches.formats.formulas import without_value  # noqa: PLC0415 - few sheets have any

        names = self._header[1]
        columns = {place for place, name in enumerate(names, 1) if wanted is None or name in wanted}
        try:
            # A cell beyond the table would make room for answers.
            found = without_value(self.path, self.sheet.part, columns, len(names))
        except (*workbook.BROKEN, ExpatError, ValueError) as error:
            raise FormatError(f"{self.path}: the workbook is broken: {error}") from error
        if found:
            raise FormatError(
                f"{self.path}: the formula in cell {found} has no value. Open the workbook in a spreadsheet program, and save"
                " it."
            )


def as_shown(cell: Any) -> Any:
    """A cell's value with the digits that a spreadsheet shows of it."""
    value = cell.value
    if isinstance(value, str):
        return decoded(value)
    if isinstance(value, bool) or value is None:
        return value
    if isinstance(value, int):
        shown = cell.number_format or ""
        return str(value).zfill(len(shown)) if _ZEROS.fullmatch(shown) and value >= 0 else value
    if isinstance(value, float):
        return Number(f"{value:.{_DIGITS}g}")
    return value
