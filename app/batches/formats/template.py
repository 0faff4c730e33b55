"""A row as a request: the template that is filled from it, and what all rows' requests share."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from app.batches.formats import jinja, line, tables
from app.batches.formats.cells import as_text
from app.batches.formats.columns import nearest
from app.batches.formats.json_file import FormatError

if TYPE_CHECKING:
    from collections.abc import Collection

    from app.batches.formats.attachments import Attachments

_NAME = re.compile(r"\{\{|\}\}|\{([^{}\n]+)\}")
_OPEN = re.compile(r"\{([\w-]+)")


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

    #: the template is in Jinja's language
    is_jinja: bool = False
    attachments: Attachments | None = None

    @property
    def columns(self) -> set[str]:
        """Those that it may look at."""
        named = names(self.template) if not self.is_jinja else jinja.parsed(self.template).names
        whole = [] if self.is_jinja else [found[1] for found in _NAME.finditer(self.template) if found[1]]
        files = self.attachments.columns if self.attachments else ()
        return {*named, *whole, *files, *([self.id_column] if self.id_column else ())}

    def check(self, columns: Collection[str]) -> None:
        """Raises `FormatError` for a template that names no column, or one that is not there."""
        if self.is_jinja:
            found, text = jinja.parsed(self.template).names, ""
        else:
            found, text = names(self.template, columns), " Braces that are text are written twice: '{{{{{0}}}}}'."
            _check_closed(self.template, columns)
        if self.attachments is not None:
            self.attachments.check(columns)
        check(found, columns, text, has_files=self.attachments is not None)

    def prompt(self, row: dict[str, Any], number: int) -> str:
        """Of a row. Raises `FormatError`."""
        if self.is_jinja:
            return jinja.parsed(self.template).fill(row, number)
        return fill(self.template, row, number)


def names(template: str, columns: Collection[str] = ()) -> list[str]:
    """The columns that it names, without what stands for empty cells (`{column|text}`), unless a column is called so."""
    found = [found[1] for found in _NAME.finditer(template) if found[1] is not None]
    return [name if name in columns else name.partition("|")[0] for name in found]


def _check_closed(template: str, columns: Collection[str]) -> None:
    """Raises `FormatError` for a column's name behind a brace that nothing closes: its name would be asked, not its cell."""
    for found in _OPEN.finditer(_NAME.sub("", template)):
        if found[1] in columns:
            raise FormatError(
                f"The template has '{{{found[1]}' without the '}}' that ends it. A brace that is text is written twice: '{{{{'."
            )


def check(named: Collection[str], columns: Collection[str], advice: str, *, has_files: bool = False) -> None:
    """Raises `FormatError` for no column at all: each row would be asked the same; and for one that is not there."""
    if not named and not has_files:
        example = f"{{{next(iter(columns), 'text')}}}"
        raise FormatError(
            f"The template names no column, so that every row would ask the same. Put a column's name in braces, e.g."
            f" --template 'Summarise: {example}'. There are: {', '.join(columns)}."
        )
    for name in named:
        if name not in columns:
            raise FormatError(
                f"The template names '{name}', which is no column. {nearest(name, columns)}There are:"
                f" {', '.join(columns)}.{advice.format(name)}"
            )


def request(row: dict[str, Any], number: int, recipe: Recipe) -> dict[str, Any]:
    """The line of a batch's input file. Raises `FormatError`."""
    messages: list[dict[str, Any]] = [{"role": "system", "content": recipe.system}] if recipe.system else []
    content: Any = recipe.prompt(row, number)
    if recipe.attachments is not None and (files := recipe.attachments.parts(row, number)):
        content = [*files, {"type": "text", "text": content}]
    messages.append({"role": "user", "content": content})
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
    """`{column}` becomes the row's value, `{column|text}` the text where there is none, `{{` and `}}` braces. All else is text."""

    def value(found: re.Match[str]) -> str:
        if found[0] in ("{{", "}}"):
            return found[0][0]
        name, has_default, default = found[1], "", ""
        if name not in row:
            name, has_default, default = name.partition("|")
        if name not in row and not has_default:
            raise FormatError(
                f"row {number}: the template names '{name}', which is no column. {nearest(name, row)}"
                f"There are: {', '.join(row)}. Braces that are text are written twice: '{{{{{name}}}}}'."
            )
        text = as_text(row.get(name))
        return default if has_default and not text.strip() else text

    return _NAME.sub(value, template)
