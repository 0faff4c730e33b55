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
from app.batches.formats import json_file, line, tables, template
from app.batches.formats.from_table import Lines
from app.batches.formats.json_file import FormatError
from app.batches.formats.selection import ALL, Selection
from app.settings import Settings
from ops.cli import options
from ops.cli.batch.server import say

if TYPE_CHECKING:
    from collections.abc import Iterator

    from app.batches.formats.json_file import JsonFile


@dataclass(frozen=True)
class Source:
    """`file` holds OpenAI's lines."""

    file: IO[bytes]
    #: the format of the table they were made from; None when they were given as requests
    table: str | None = None
    #: what a line of them is in the user's file: a `line`, a `row` or a `request`
    unit: str = "line"

    def digest(self) -> str:
        """Of the requests: the same for a file that is submitted again in the same way."""
        found = hashlib.file_digest(self.file, "sha256").hexdigest()[:32]  # type: ignore[arg-type]
        self.file.seek(0)
        return found


FilePath = Annotated[Path, Parameter(name="FILE", help="OpenAI's JSONL; or CSV, TSV, JSONL or text with --template")]


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
    system: Annotated[str | None, Parameter(allow_leading_hyphen=True, help="the system prompt of each row")] = None
    schema: Annotated[Path | None, Parameter(help="a file with a JSON schema that the answers satisfy")] = None
    id_column: Annotated[str | None, Parameter(help="the column that names a row (default: its number)")] = None
    format: Annotated[str | None, Parameter(choices=tuple(tables.FORMATS), help="of FILE (default: by its ending)")] = (
        None
    )
    columns: Annotated[
        tuple[str, ...],
        Parameter(converter=_names, help="the only columns to read and to give back, with commas between them"),
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
    def selection(self) -> Selection:
        """The part of a table that is meant."""
        return Selection(self.columns or None, self.where, self.limit)


DEFAULT = How()


@contextlib.contextmanager
def opened(path: Path, how: How) -> Iterator[Source]:
    """The requests. Raises `SettingsError` for options that do not fit, `FormatError` for a table that does not."""
    if not path.is_file():
        options.fail(f"{path} is no file.")
    if how.template is None and (how.system or how.schema or how.id_column or how.selection != ALL):
        options.fail("--system, --schema, --id-column, --columns, --where and --limit belong to --template.")
    if how.template is not None:
        kind = how.format or tables.format_of(path)
        with _made(_from_table(tables.Rows(path, kind, how.selection), _recipe(how))) as made:
            yield Source(made, kind, "row")
        return
    found = _requests(path)
    if found.instead is not None:
        say(f"nightshift: {path} is {found.instead}, not JSONL: each of its objects is taken as a request.")
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


def _requests(path: Path) -> JsonFile:
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
            f"{path} is not OpenAI's JSONL (lines with custom_id and body). For a table or lines of text say what to ask"
            " of each row: --template 'Summarise: {text}', with the names of columns in braces ('text' for text lines)."
        )
    return found


def _recipe(how: How) -> template.Recipe:
    schema = None
    if how.schema is not None:
        try:
            found = json.loads(how.schema.read_text(encoding="utf-8"))
        except (OSError, ValueError, RecursionError) as error:
            options.fail(f"--schema {how.schema}: {error}")
        schema = (re.sub(r"[^a-zA-Z0-9_-]", "_", how.schema.stem)[:64], found)
    return template.Recipe(how.template or "", how.model or "sonnet", how.system, schema, how.id_column)


def _from_table(rows: tables.Rows, recipe: template.Recipe) -> Iterator[bytes]:
    lines = Lines(rows, recipe, Settings.from_environment().max_body_bytes)
    yield from lines
    if blank := lines.blank:
        say(f"nightshift: {rows.path}: {blank:,} blank row{'s are' if blank > 1 else ' is'} skipped.")


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
