"""What people have, as requests and back: CSV, TSV, JSONL or lines of text, with a template that is filled from each row."""

from __future__ import annotations

import csv
import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from app.stack.errors import StackError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

FORMATS = ("csv", "tsv", "jsonl", "text")
#: the column of a text file
TEXT = "text"
_SUFFIXES = {".csv": "csv", ".tsv": "tsv", ".jsonl": "jsonl", ".ndjson": "jsonl"}
_DELIMITERS = {"csv": ",", "tsv": "\t"}
_NAME = re.compile(r"\{\{|\}\}|\{([^{}\n]+)\}")


class TableError(StackError):
    """The table can't be used. The message names the file, the row and what to do."""


@dataclass(frozen=True)
class Recipe:
    """How a row becomes a request."""

    template: str
    model: str = "sonnet"
    system: str | None = None
    #: a JSON schema that the answers satisfy, and its name
    schema: tuple[str, dict[str, Any]] | None = None
    id_column: str | None = None


def format_of(path: Path) -> str:
    """By the file's ending; what has none of ours is text."""
    return _SUFFIXES.get(path.suffix.lower(), "text")


def is_requests(path: Path) -> bool:
    """Whether the file is OpenAI's own: its first line is an object with `custom_id` and `body`."""
    with path.open("rb") as file:
        first = next((line for line in file if line.strip()), b"")
    try:
        found = json.loads(first)
    except (ValueError, RecursionError):
        return False
    return isinstance(found, dict) and "custom_id" in found and "body" in found


def rows(path: Path, kind: str) -> Iterator[dict[str, Any]]:
    """The rows, with the columns in their order. Lines that are blank are no rows. Raises `TableError`."""
    try:
        yield from _rows(path, kind)
    except UnicodeDecodeError as error:
        raise TableError(f"{path}: not UTF-8: {error}. Save it as UTF-8.") from error
    except csv.Error as error:
        raise TableError(f"{path}: not a table: {error}.") from error


def _rows(path: Path, kind: str) -> Iterator[dict[str, Any]]:
    if kind in _DELIMITERS:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(file, delimiter=_DELIMITERS[kind], restkey="", restval="")
            for row in reader:
                if "" in row and isinstance(row[""], list):
                    raise TableError(f"{path}:{reader.line_num}: more fields than the header has columns.")
                yield dict(row)
        return
    with path.open(encoding="utf-8-sig", newline="\n") as lines:
        for number, line in enumerate(lines, 1):
            if not line.strip():
                continue
            yield _object(path, number, line) if kind == "jsonl" else {TEXT: line.rstrip("\r\n")}


def row_id(row: dict[str, Any], number: int, id_column: str | None) -> str:
    """The request's `custom_id`: the id column's value, or the row's number from 1."""
    if id_column is None:
        return f"row-{number}"
    if id_column not in row:
        raise TableError(f"row {number}: there is no column '{id_column}'; there are: {', '.join(row)}.")
    return str(row[id_column])


def request(row: dict[str, Any], number: int, recipe: Recipe) -> dict[str, Any]:
    """The line of a batch's input file. Raises `TableError`."""
    messages = [{"role": "system", "content": recipe.system}] if recipe.system else []
    messages.append({"role": "user", "content": fill(recipe.template, row, number)})
    body: dict[str, Any] = {"model": recipe.model, "messages": messages}
    if recipe.schema is not None:
        name, schema = recipe.schema
        body["response_format"] = {
            "type": "json_schema",
            "json_schema": {"name": name, "schema": schema, "strict": True},
        }
    custom_id = row_id(row, number, recipe.id_column)
    return {"custom_id": custom_id, "method": "POST", "url": "/v1/chat/completions", "body": body}


def fill(template: str, row: dict[str, Any], number: int) -> str:
    """`{column}` becomes the row's value, `{{` and `}}` braces. Nothing else in a template means anything."""

    def value(found: re.Match[str]) -> str:
        if found[0] in ("{{", "}}"):
            return found[0][0]
        name = found[1]
        if name not in row:
            raise TableError(f"row {number}: the template names '{name}'; there are: {', '.join(row)}.")
        return row[name] if isinstance(row[name], str) else json.dumps(row[name], ensure_ascii=False)

    return _NAME.sub(value, template)


def _object(path: Path, number: int, line: str) -> dict[str, Any]:
    try:
        found = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise TableError(f"{path}:{number}: not valid JSON: {error}.") from error
    if not isinstance(found, dict):
        raise TableError(f"{path}:{number}: not a JSON object.")
    return found
