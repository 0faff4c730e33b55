"""The file that a user names, as the input file of a batch: as it is, with another model, or made from a table."""

from __future__ import annotations

import contextlib
import json
import re
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from app.cli import options
from app.cli.batch import tables

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator


@dataclass(frozen=True)
class Source:
    """`file` holds OpenAI's lines; `table` is the format of the table they were made from, None when they were given so."""

    file: IO[bytes]
    table: str | None


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


@contextlib.contextmanager
def opened(args: argparse.Namespace) -> Iterator[Source]:
    """The requests. Raises `SettingsError` for options that do not fit, `TableError` for a table that does not."""
    path: Path = args.file
    if not path.is_file():
        options.fail(f"{path} is no file.")
    if args.template is None and (args.system or args.schema or args.id_column):
        options.fail("--system, --schema and --id-column belong to --template.")
    if args.template is None and not tables.is_requests(path):
        options.fail(
            f"{path} is not OpenAI's JSONL (lines with custom_id and body). For a table or lines of text say what to ask"
            " of each row: --template 'Summarise: {text}', with the names of columns in braces ('text' for text lines)."
        )
    if args.template is None and args.model is None:
        with path.open("rb") as file:
            yield Source(file, None)
        return
    with tempfile.TemporaryFile() as made:
        kind = None
        if args.template is None:
            lines = _with_model(path, args.model)
        else:
            kind = args.format or tables.format_of(path)
            lines = _from_table(path, kind, _recipe(args))
        for line in lines:
            made.write(line)
        made.seek(0)
        yield Source(made, kind)


def _recipe(args: argparse.Namespace) -> tables.Recipe:
    schema = None
    if args.schema is not None:
        try:
            found = json.loads(args.schema.read_text(encoding="utf-8"))
        except (OSError, ValueError, RecursionError) as error:
            options.fail(f"--schema {args.schema}: {error}")
        schema = (re.sub(r"[^a-zA-Z0-9_-]", "_", args.schema.stem)[:64], found)
    return tables.Recipe(args.template, args.model or "sonnet", args.system, schema, args.id_column)


def _from_table(path: Path, kind: str, recipe: tables.Recipe) -> Iterator[bytes]:
    for number, row in enumerate(tables.rows(path, kind), 1):
        yield _line(tables.request(row, number, recipe))


def _with_model(path: Path, model: str) -> Iterator[bytes]:
    with path.open("rb") as file:
        for line in file:
            try:
                found = json.loads(line)
                found["body"]["model"] = model
            except (ValueError, KeyError, TypeError, RecursionError):
                yield line  # the validation names what is wrong with it
            else:
                yield _line(found)


def _line(request: dict[str, Any]) -> bytes:
    return json.dumps(request, ensure_ascii=False).encode("utf-8", "surrogatepass") + b"\n"
