"""Rows as the lines of OpenAI's batch input. The language of templates is the command's: `nightshift batch submit --template`."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from nightshift_client.errors import TableError
from nightshift_client.table import as_text, is_blank

if TYPE_CHECKING:
    from collections.abc import Mapping

    from nightshift_client.table import Row, Table

ENDPOINT = "/v1/chat/completions"
_NAME = re.compile(r"\{\{|\}\}|\{([^{}\n]+)\}")
_OPEN = re.compile(r"\{([\w-]+)")
_NO_NAME_OF_A_SCHEMA = re.compile(r"[^a-zA-Z0-9_-]")


@dataclass(frozen=True)
class Recipe:
    """How a row becomes a request."""

    template: str
    model: str
    system: str | None = None
    #: a JSON schema, or a model class of pydantic
    schema: Any = None
    id_column: str | None = None
    #: further fields of each request, such as `max_tokens`
    body: Mapping[str, Any] | None = None

    def lines(self, table: Table) -> bytes:
        """One line a row, and an empty one for a row of which all cells are empty. Raises `TableError`."""
        if not any(found[1] for found in _NAME.finditer(self.template)):
            raise TableError(
                "The template names no column, so that every row would ask the same. Put a column's name in braces, e.g."
                f" 'Summarise: {{{table.columns[0]}}}'. There are: {', '.join(table.columns)}."
            )
        for found in _OPEN.finditer(_NAME.sub("", self.template)):
            if found[1] in table.columns:
                raise TableError(
                    f"The template has '{{{found[1]}' without the '}}' that ends it. A brace that is text is written twice: '{{{{'."
                )
        fixed = self._fixed()
        return b"".join(self._line(row, number, fixed) for number, row in enumerate(table.rows, 1))

    def _line(self, row: Row, number: int, fixed: dict[str, Any]) -> bytes:
        if is_blank(row):
            return b"\n"
        messages = [{"role": "system", "content": self.system}] if self.system else []
        messages.append({"role": "user", "content": fill(self.template, row, number)})
        body = {"model": self.model, "messages": messages, **fixed}
        custom_id = row_id(row, number, self.id_column)
        return json_line({"custom_id": custom_id, "method": "POST", "url": ENDPOINT, "body": body})

    def _fixed(self) -> dict[str, Any]:
        """What all requests have besides model and messages."""
        found = dict(self.body or {})
        if given := {"model", "messages", "stream"} & found.keys():
            raise TableError(f"'body' can't have {', '.join(sorted(given))}: the template and 'model' say that.")
        if self.schema is not None:
            name, schema = _schema(self.schema)
            found["response_format"] = {
                "type": "json_schema",
                "json_schema": {"name": name, "schema": schema, "strict": True},
            }
        return found


def fill(template: str, row: Row, number: int) -> str:
    """`{column}` becomes the row's value, `{column|text}` the text where there is none, `{{` and `}}` braces. All else is text."""

    def value(found: re.Match[str]) -> str:
        if found[0] in ("{{", "}}"):
            return found[0][0]
        name, has_default, default = found[1], "", ""
        if name not in row:
            name, has_default, default = name.partition("|")
        if name not in row:
            raise TableError(
                f"row {number}: the template names '{name}', which is no column. There are: {', '.join(row)}."
                f" Braces that are text are written twice: '{{{{{name}}}}}'."
            )
        text = as_text(row[name])
        return default if has_default and not text.strip() else text

    return _NAME.sub(value, template)


def row_id(row: Row, number: int, id_column: str | None) -> str:
    """The request's `custom_id`: the id column's value, or the row's number from 1."""
    if id_column is None:
        return f"row-{number}"
    if id_column not in row:
        raise TableError(f"row {number}: there is no column '{id_column}'; there are: {', '.join(row)}.")
    return as_text(row[id_column])


def json_line(value: Any) -> bytes:
    """A line of JSONL. Half a surrogate pair is no UTF-8: it is escaped, and the server names it."""
    try:
        return json.dumps(value, ensure_ascii=False).encode() + b"\n"
    except UnicodeEncodeError:
        return json.dumps(value).encode() + b"\n"


def _schema(schema: Any) -> tuple[str, dict[str, Any]]:
    """Its name, and itself as a dict."""
    if hasattr(schema, "model_json_schema"):
        return _NO_NAME_OF_A_SCHEMA.sub("_", schema.__name__)[:64], schema.model_json_schema()
    if not isinstance(schema, dict):
        raise TableError("'schema' takes a JSON schema as a dict, or a model class of pydantic.")
    return _NO_NAME_OF_A_SCHEMA.sub("_", str(schema.get("title") or "answer"))[:64], schema
