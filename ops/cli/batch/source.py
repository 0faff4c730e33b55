"""The file that a user names, as the input file of a batch: as it is, with another model, or made from a table."""

from __future__ import annotations

import contextlib
import hashlib
import json
import re
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from app import json_lines
from app.batches.formats import json_file, line, tables, template
from app.batches.formats.json_file import FormatError
from app.settings import Settings
from ops.cli import options
from ops.cli.batch.server import say

if TYPE_CHECKING:
    import argparse
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


def arguments(parser: argparse.ArgumentParser) -> None:
    """The file, and how it becomes requests."""
    parser.add_argument(
        "file", type=Path, metavar="FILE", help="OpenAI's JSONL; or CSV, TSV, JSONL or text with --template"
    )
    parser.add_argument("--template", metavar="TEXT", help="the prompt of each row, e.g. 'Summarise: {text}'")
    parser.add_argument("--system", metavar="TEXT", help="the system prompt of each row")
    parser.add_argument("--schema", type=Path, metavar="FILE", help="a JSON schema that the answers satisfy")
    parser.add_argument("--id-column", metavar="NAME", help="the column that names a row (default: its number)")
    parser.add_argument("--format", choices=tables.FORMATS, help="of FILE (default: by its ending)")
    parser.add_argument("--model", help="the model to ask (default for tables: sonnet)")
    parser.add_argument(
        "--strict", action="store_true", help="one request that is refused fails the file (default: the rest runs)"
    )


@contextlib.contextmanager
def opened(args: argparse.Namespace) -> Iterator[Source]:
    """The requests. Raises `SettingsError` for options that do not fit, `FormatError` for a table that does not."""
    path: Path = args.file
    if not path.is_file():
        options.fail(f"{path} is no file.")
    if args.template is None and (args.system or args.schema or args.id_column):
        options.fail("--system, --schema and --id-column belong to --template.")
    if args.template is not None:
        kind = args.format or tables.format_of(path)
        with _made(_from_table(path, kind, _recipe(args))) as made:
            yield Source(made, kind, "row")
        return
    found = _requests(path)
    if found.instead is not None:
        say(f"nightshift: {path} is {found.instead}, not JSONL: each of its objects is taken as a request.")
        with _made(_from_json(found, args.model)) as made:
            yield Source(made, unit="request")
    elif args.model is not None:
        with _made(_with_model(path, args.model)) as made:
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


def _recipe(args: argparse.Namespace) -> template.Recipe:
    schema = None
    if args.schema is not None:
        try:
            found = json.loads(args.schema.read_text(encoding="utf-8"))
        except (OSError, ValueError, RecursionError) as error:
            options.fail(f"--schema {args.schema}: {error}")
        schema = (re.sub(r"[^a-zA-Z0-9_-]", "_", args.schema.stem)[:64], found)
    return template.Recipe(args.template, args.model or "sonnet", args.system, schema, args.id_column)


def _from_table(path: Path, kind: str, recipe: template.Recipe) -> Iterator[bytes]:
    limit = Settings.from_environment().max_body_bytes
    rows = tables.Rows(path, kind)
    blank = 0
    for number, row in enumerate(rows, 1):
        if number == 1:
            template.check(recipe.template, row)
        if tables.is_blank(row):
            # A blank line is no request, and keeps the numbers of those that follow.
            blank += 1
            yield b"\n"
            continue
        made = json_lines.line(template.request(row, number, recipe))
        if len(made) > limit:
            raise FormatError(_too_large(path, number, row, limit))
        yield made
    if blank := blank + rows.blank:
        say(f"nightshift: {path}: {blank:,} blank row{'s are' if blank > 1 else ' is'} skipped.")


def _too_large(path: Path, number: int, row: dict[str, Any], limit: int) -> str:
    sizes = {name: len(value if isinstance(value, str) else json.dumps(value)) for name, value in row.items()}
    largest = max(sizes, key=lambda name: sizes[name])
    return (
        f"{path}: row {number}: its request would be larger than {limit:,} bytes (NIGHTSHIFT_MAX_BODY_BYTES): column"
        f" '{largest}' has {sizes[largest]:,} characters. Shorten it, or is a quote left open there?"
    )


def _from_json(found: JsonFile, model: str | None) -> Iterator[bytes]:
    for _, value in found.values():
        yield json_lines.line(value if model is None else line.with_model(value, model))


def _with_model(path: Path, model: str) -> Iterator[bytes]:
    with path.open("rb") as file:
        for raw in file:
            try:
                found = json.loads(raw)
            except (ValueError, RecursionError):
                yield raw  # the validation names what is wrong with it
            else:
                yield json_lines.line(line.with_model(found, model))
