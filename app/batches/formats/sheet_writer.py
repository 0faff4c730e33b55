"""Any table as a new workbook of XLSX with one sheet. Text is text, whatever it looks like: `=1+1` is no formula, `007` no number."""

from __future__ import annotations

import zipfile
from datetime import date, datetime, time, timedelta
from html import escape
from typing import IO, TYPE_CHECKING, Any

from app.batches.formats.cells import Number
from app.batches.formats.json_file import FormatError
from app.batches.formats.sheet_xml import MAX_ROWS, cell, decoded

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from app.batches.formats.tables import Filled

_HEAD = '<?xml version="1.0" encoding="UTF-8" standalone="yes"?>\n'
_MAIN = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"
_OFFICE = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
_PACKAGE = "http://schemas.openxmlformats.org/package/2006"
_TYPES = "application/vnd.openxmlformats-officedocument.spreadsheetml"
_PARTS = {
    "[Content_Types].xml": (
        f'<Types xmlns="{_PACKAGE}/content-types">'
        '<Default Extension="rels" ContentType="application/vnd.openxmlformats-package.relationships+xml"/>'
        f'<Override PartName="/xl/workbook.xml" ContentType="{_TYPES}.sheet.main+xml"/>'
        f'<Override PartName="/xl/worksheets/sheet1.xml" ContentType="{_TYPES}.worksheet+xml"/>'
        f'<Override PartName="/xl/styles.xml" ContentType="{_TYPES}.styles+xml"/></Types>'
    ),
    "_rels/.rels": (
        f'<Relationships xmlns="{_PACKAGE}/relationships">'
        f'<Relationship Id="rId1" Type="{_OFFICE}/officeDocument" Target="xl/workbook.xml"/></Relationships>'
    ),
    "xl/_rels/workbook.xml.rels": (
        f'<Relationships xmlns="{_PACKAGE}/relationships">'
        f'<Relationship Id="rId1" Type="{_OFFICE}/worksheet" Target="worksheets/sheet1.xml"/>'
        f'<Relationship Id="rId2" Type="{_OFFICE}/styles" Target="styles.xml"/></Relationships>'
    ),
}
#: of values that have no number format of their own
_FORMATS = {
    datetime: "yyyy-mm-dd hh:mm:ss",
    date: "yyyy-mm-dd",
    time: "hh:mm:ss",
    timedelta: "[h]:mm:ss",
}
_FIRST_FORMAT = 164  # below are Excel's own


def write(target: IO[bytes], filled: Iterable[Filled], columns: Sequence[str], names: Sequence[str]) -> None:
    """Any table."""

    def rows() -> Iterator[list[Any]]:
        for row, _, values in filled:
            if row is not None:
                yield [*(row.get(name) for name in columns), *(values or [None] * len(names))]

    write_rows(target, rows(), [*columns, *names], "Sheet1")


def write_rows(target: IO[bytes], rows: Iterable[Sequence[Any]], header: Sequence[str], sheet: str) -> None:
    """Rows of values, or of openpyxl's cells. Raises `FormatError` for a text that no cell takes, and for too many rows."""
    styles: dict[str, int] = {"General": 0}
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as made:
        with made.open("xl/worksheets/sheet1.xml", "w", force_zip64=True) as file:
            file.write(f'{_HEAD}<worksheet xmlns="{_MAIN}"><sheetData>'.encode())
            file.write(_row(1, header, styles))
            for number, values in enumerate(rows, 2):
                if number > MAX_ROWS:
                    raise FormatError(
                        f"A sheet of XLSX has {MAX_ROWS:,} rows, and the table more. Write CSV instead: -o FILE.csv."
                    )
                file.write(_row(number, values, styles))
            file.write(b"</sheetData></worksheet>")
        book = (
            f'<workbook xmlns="{_MAIN}" xmlns:r="{_OFFICE}"><sheets>'
            f'<sheet name="{escape(sheet)}" sheetId="1" r:id="rId1"/></sheets></workbook>'
        )
        for name, text in {**_PARTS, "xl/workbook.xml": book, "xl/styles.xml": _styles(styles)}.items():
            made.writestr(name, _HEAD + text)


def _row(number: int, values: Iterable[Any], styles: dict[str, int]) -> bytes:
    made = "".join(_cell(value, column, number, styles) for column, value in enumerate(values, 1))
    return f'<row r="{number}">{made}</row>'.encode()


def _cell(value: Any, column: int, row: int, styles: dict[str, int]) -> str:
    shown = "General"
    if hasattr(value, "number_format"):  # a cell of openpyxl's, whose text is escaped already
        value, shown = value.value, value.number_format or shown
        if isinstance(value, str):
            value = decoded(value)
        elif type(value) is int:  # a number there, however many digits it has
            value = Number(str(value))
    elif not isinstance(value, str | int | float | None):
        shown = _FORMATS.get(type(value), shown)
    style = styles.setdefault(shown, len(styles))
    return cell(value, column, row, style=f' s="{style}"' if style else "")


def _styles(styles: dict[str, int]) -> str:
    formats = "".join(
        f'<numFmt numFmtId="{_FIRST_FORMAT + style}" formatCode="{escape(shown)}"/>'
        for shown, style in styles.items()
        if style
    )
    count = len(styles) - 1
    used = "".join(
        f'<xf numFmtId="{_FIRST_FORMAT + style if style else 0}" fontId="0" fillId="0" borderId="0" xfId="0"'
        + (' applyNumberFormat="1"/>' if style else "/>")
        for style in styles.values()
    )
    return (
        f'<styleSheet xmlns="{_MAIN}">'
        + (f'<numFmts count="{count}">{formats}</numFmts>' if count else "")
        + '<fonts count="1"><font><sz val="11"/><name val="Calibri"/></font></fonts>'
        '<fills count="2"><fill><patternFill patternType="none"/></fill><fill><patternFill patternType="gray125"/></fill>'
        '</fills><borders count="1"><border><left/><right/><top/><bottom/><diagonal/></border></borders>'
        '<cellStyleXfs count="1"><xf numFmtId="0" fontId="0" fillId="0" borderId="0"/></cellStyleXfs>'
        f'<cellXfs count="{len(styles)}">{used}</cellXfs>'
        '<cellStyles count="1"><cellStyle name="Normal" xfId="0" builtinId="0"/></cellStyles></styleSheet>'
    )
