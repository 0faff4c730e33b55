"""A row as a request: the template that is filled from it, and what all rows' requests share."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from app.batches.formats import line, tables
from app.batches.formats.cells import as_text
from app.batches.formats.columns import nearest
from app.batches.formats.json_file import FormatError

if TYPE_CHECKING:
    from collections.abc import Iterable

_NAME = re.compile(r"\{\{|\}\}|\{([^{}\n]+)\}")


@dataclass(frozen=True)
class Recipe:
    """How a row becomes a request."""

    template: str
    model: str = "sonnet"
    system: str | None = None
    #: a JSON schema that the answers satisfy, and its name
    schema: tuple[str, dict[str, Any]] | None = None
    id_column: str | None = None
    #: of one answer; None: as many as the model gives
    max_tokens: int | None = None

    @property
    def columns(self) -> set[str]:
        """Those that it looks at."""
        return {*names(self.template), *([self.id_column] if self.id_column else ())}


def names(template: str) -> list[str]:
    """The columns that it names."""
    return [found[1] for found in _NAME.finditer(template) if found[1] is not None]


def check(template: str, columns: Iterable[str]) -> None:
    """Raises `FormatError` for one that no column goes into: each row would be asked the same."""
    if not names(template):
        known = list(columns)
        example = f"{{{known[0] if known else 'text'}}}"
        raise FormatError(
            f"The template names no column, so that every row would ask the same. Put a column's name in braces, e.g."
            f" --template 'Summarise: {example}'. There are: {', '.join(known)}."
        )


def request(row: dict[str, Any], number: int, recipe: Recipe) -> dict[str, Any]:
    """The line of a batch's input file. Raises `FormatError`."""
    messages = [{"role": "system", "content": recipe.system}] if recipe.system else []
    messages.append({"role": "user", "content": fill(recipe.template, row, number)})
    body: dict[str, Any] = {"model": recipe.model, "messages": messages}
    if recipe.max_tokens is not None:
        body["max_completion_tokens"] = recipe.max_tokens
    if recipe.schema is not None:
        name, schema = recipe.schema
        body["response_format"] = {
            "type": "json_schema",
            "json_schema": {"name": name, "schema": schema, "strict": True},
        }
    custom_id = tables.row_id(row, number, recipe.id_column)
    return line.request(line.Line(custom_id, body), "/v1/chat/completions")


def fill(template: str, row: dict[str, Any], number: int) -> str:
    """`{column}` becomes the row's value, `{{` and `}}` braces. Nothing else in a template means anything."""

    def value(found: re.Match[str]) -> str:
        if found[0] in ("{{", "}}"):
            return found[0][0]
        name = found[1]
        if name not in row:
            raise FormatError(
                f"row {number}: the template names '{name}', which is no column. {nearest(name, row)}"
                f"There are: {', '.join(row)}. Braces that are text are written twice: '{{{{{name}}}}}'."
            )
        return as_text(row[name])

    return _NAME.sub(value, template)
