"""The file that a user names, as the input file of a batch: as it is, with another model, or made from a table."""

from __future__ import annotations

import contextlib
import csv
import hashlib
import json
import re
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, Annotated

from cyclopts import Parameter, Token

from app import json_text
from app.batches.formats import jinja, json_file, line, packed, tables, template
from app.batches.formats.attachments import Attachments
from app.batches.formats.from_table import Lines
from app.batches.formats.json_file import FormatError
from app.batches.formats.selection import ALL, Selection
from app.batches.formats.sheet import SheetTable
from app.batches.formats.tables import TEXT
from app.settings import Settings
from ops.cli import options
from ops.cli.batch.server import say
from ops.cli.batch.table_file import PIPE, Place, Taken, Url, fetched, shown, taken

if TYPE_CHECKING:
    from collections.abc import Iterator

    from app.batches.formats.json_file import JsonFile


@dataclass(frozen=True)
class Source:
    """`file` holds OpenAI's lines."""

    file: IO[bytes]
    #: the table they were made from, and its format; None when they were given as requests
    table: Taken | None = None
    kind: str = ""
    #: what a line of them is in the user's file: a `line`, a `row` or a `request`
    unit: str = "line"
    #: the name of the workbook's sheet that is read, where there are several and nobody named one
    sheet: str = ""

    def digest(self) -> str:
        """Of the requests: the same for a file that is submitted again in the same way."""
        found = hashlib.file_digest(self.file, "sha256").hexdigest()[:32]  # type: ignore[arg-type]
        self.file.seek(0)
        return found


def _names(_: type, tokens: Sequence[Token]) -> tuple[str, ...]:
    """As CSV has them: a name with a comma in it has quotes."""
    found = next(csv.reader([",".join(token.value for token in tokens)]), [])
    return tuple(found)


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class How:
    """How a file becomes requests."""

    template: Annotated[
        str | None, Parameter(allow_leading_hyphen=True, help="the prompt of each row, e.g. 'Summarise: {text}'")
    ] = None
    template_file: Annotated[
        Path | None, Parameter(help="a file with the template; one that ends in .j2 is in Jinja's language")
    ] = None
    system: Annotated[str | None, Parameter(allow_leading_hyphen=True, help="the system prompt of each row")] = None
    schema: Annotated[Path | None, Parameter(help="a file with a JSON schema that the answers satisfy")] = None
    attach: Annotated[
        tuple[str, ...],
        Parameter(help="a column of paths or https:// addresses of images, PDFs and texts, which the prompt is about"),
    ] = ()
    attach_from: Annotated[
        tuple[Path, ...], Parameter(help="a directory whose files may be attached, too (default: only the table's)")
    ] = ()
    id_column: Annotated[str | None, Parameter(help="the column that names a row (default: its number)")] = None
    format: Annotated[str | None, Parameter(choices=tuple(tables.FORMATS), help="of FILE (default: by its ending)")] = (
        None
    )
    sheet: Annotated[str | None, Parameter(help="of a workbook (default: the first that is not hidden)")] = None
    columns: Annotated[
        tuple[str, ...],
        Parameter(converter=_names, help="the only columns that come back, with commas between them"),
    ] = ()
    where: Annotated[
        tuple[str, ...],
        Parameter(
            help="only rows for which it holds: COLUMN=VALUE, != (another value), ~ (has it in it), !~ (has not), <, <=, >, >="
            " (numbers); several: all hold"
        ),
    ] = ()
    limit: Annotated[
        int | None, Parameter(converter=options.whole_number(1, 10**9), help="only the first so many rows")
    ] = None
    model: Annotated[str | None, Parameter(help="the model to ask (default for tables: sonnet)")] = None
    strict: Annotated[bool, Parameter(help="one request that is refused fails the file (default: the rest runs)")] = (
        False
    )

    @property
    def is_table(self) -> bool:
        """Whether the file is a table, from which requests are made."""
        return self.template is not None or self.template_file is not None

    @property
    def selection(self) -> Selection:
        """The part of a table that is meant."""
        return Selection(self.columns or None, self.where, self.limit, self.sheet)


DEFAULT = How()


@contextlib.contextmanager
def opened(place: Place, how: How) -> Iterator[Source]:
    """The requests. Raises `SettingsError` for options that do not fit, `FormatError` for a table that does not."""
    is_path = isinstance(place, Path) and str(place) != PIPE
    if isinstance(place, Path) and is_path and not place.is_file():
        options.fail(f"{place} is no file.")
    if not how.is_table and (
        how.system or how.schema or how.id_column or how.attach or how.attach_from or how.selection != ALL
    ):
        options.fail(
            "--system, --schema, --attach, --attach-from, --id-column, --sheet, --columns, --where and --limit belong to --template."
        )
    if how.template is not None and how.template_file is not None:
        options.fail("--template and --template-file: which of the two? Leave one out.")
    if not how.is_table and isinstance(place, Path) and is_path and packed.packing(place) is None:
        with _as_requests(place, place, how) as found:
            yield found
        return
    with taken(place) as file:
        if not how.is_table:
            with _as_requests(file.path, place, how) as found:
                yield found
            return
        kind = how.format or _kind(file, place)
        rows = tables.Rows(file.path, kind, how.selection)
        sheet = _say_sheet(rows, shown(place))
        _ = rows.columns  # --columns names what is there, or nothing is made
        with _made(_from_table(rows, _recipe(how, place), shown(place))) as made:
            yield Source(made, file, kind, "row", sheet)


def _say_sheet(rows: tables.Rows, name: str) -> str:
    """Which one it is, where there are several; its name."""
    if not isinstance(rows.table, SheetTable) or not (others := rows.table.passed_over()):
        return ""
    sheet = rows.table.sheet.name
    say(f"nightshift: {name}: its sheet '{sheet}' is read. Others: --sheet {', '.join(map(repr, others))}.")
    return sheet


def _kind(file: Taken, place: Place) -> str:
    """The format of a table that nobody named."""
    ending = Path(file.name).suffix.lower()
    if other := tables.save_as(Path(file.name)):
        options.fail(f"{shown(place)}: {ending} is not read. Save it as {other}.")
    kind, found = tables.format_of(Path(file.name)), tables.format_in(file.path)
    if kind != TEXT:
        if found is not None and tables.FORMATS[found].is_binary and not tables.FORMATS[kind].is_binary:
            options.fail(f"{shown(place)}: it is {found}, and not {kind} as its name says: --format {found} reads it.")
        return kind
    if found is None and (isinstance(place, Url) or str(place) == PIPE):
        options.fail(f"{shown(place)}: what is it? Say --format {', '.join(tables.FORMATS)}.")
    return found or kind


@contextlib.contextmanager
def _as_requests(path: Path, place: Place, how: How) -> Iterator[Source]:
    """A file of OpenAI's lines."""
    found = _requests(path, place)
    if found.instead is not None:
        say(f"nightshift: {shown(place)} is {found.instead}, not JSONL: each of its objects is taken as a request.")
        with _made(_from_json(found, how.model)) as made:
            yield Source(made, unit="request")
    elif how.model is not None:
        with _made(_with_model(path, how.model)) as made:
            yield Source(made)
    else:
        with path.open("rb") as file:
            yield Source(file)


@contextlib.contextmanager
def _made(lines: Iterator[bytes]) -> Iterator[IO[bytes]]:
    with tempfile.TemporaryFile() as file:
        file.writelines(lines)
        file.seek(0)
        yield file


def _requests(path: Path, place: Place) -> JsonFile:
    """The file, whose first object is a request of OpenAI's. Raises `SettingsError` for a table without a template."""
    try:
        found = json_file.look(path)
        _, first = next(found.values(), (0, None))
        is_meant = line.is_meant(first)
    except (UnicodeDecodeError, FormatError):
        # Broken from its first line on, it may yet be meant as requests: validation names its faults.
        found = json_file.JsonFile(path)
        with path.open("rb") as file:
            is_meant = line.is_meant(file.read(64 * 1024))
    if not is_meant:
        options.fail(
            f"{shown(place)} is not OpenAI's JSONL (lines with custom_id and body). For a table or lines of text say what to ask"
            " of each row: --template 'Summarise: {text}', with the names of columns in braces ('text' for text lines)."
        )
    return found


def _recipe(how: How, place: Place) -> template.Recipe:
    schema = None
    if how.schema is not None:
        try:
            found = json.loads(how.schema.read_text(encoding="utf-8"))
        except (OSError, ValueError, RecursionError) as error:
            options.fail(f"--schema {how.schema}: {getattr(error, 'strerror', None) or error}.")
        schema = (re.sub(r"[^a-zA-Z0-9_-]", "_", how.schema.stem)[:64], found)
    text, is_jinja = how.template or "", False
    if how.template_file is not None:
        try:
            # The line feed at its end is the editor's.
            text = how.template_file.read_bytes().decode("utf-8-sig").removesuffix("\n").removesuffix("\r")
        except (OSError, ValueError) as error:
            options.fail(f"--template-file {how.template_file}: {getattr(error, 'strerror', None) or error}.")
        is_jinja = how.template_file.suffix.lower() in jinja.ENDINGS
    files = None
    if how.attach:
        folder = place.parent if isinstance(place, Path) else None
        files = Attachments(how.attach, folder, how.attach_from, fetched, Settings.from_environment().max_body_bytes)
    model = how.model or "sonnet"
    return template.Recipe(text, model, how.system, schema, how.id_column, is_jinja=is_jinja, attachments=files)


def _from_table(rows: tables.Rows, recipe: template.Recipe, name: str) -> Iterator[bytes]:
    lines = Lines(rows, recipe, Settings.from_environment().max_body_bytes)
    has_any = False
    for one in lines:
        has_any = has_any or bool(one.strip())
        yield one
    if not has_any:
        why = "--where leaves no row" if rows.selection.where else "it has no row with anything in it"
        raise FormatError(f"{name}: {why}: nothing is asked.")
    if blank := lines.blank:
        say(f"nightshift: {name}: {blank:,} blank row{'s are' if blank > 1 else ' is'} skipped.")


def _from_json(found: JsonFile, model: str | None) -> Iterator[bytes]:
    for _, value in found.values():
        yield json_text.line(value if model is None else line.with_model(value, model))


def _with_model(path: Path, model: str) -> Iterator[bytes]:
    with path.open("rb") as file:
        for raw in file:
            try:
                found = json.loads(raw)
            except (ValueError, RecursionError):
                yield raw  # the validation names what is wrong with it
            else:
                yield json_text.line(line.with_model(found, model))
