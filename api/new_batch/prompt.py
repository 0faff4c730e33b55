"""What somebody writes to be asked of each row: the form's fields, and what is wrong with each."""

from __future__ import annotations

import io
import json
from dataclasses import asdict, dataclass, fields
from typing import TYPE_CHECKING, Any

from api import auth
from app import json_text
from app.batches.endpoints import CHAT_COMPLETIONS
from app.batches.formats import template
from app.batches.formats.columns import nearest
from app.batches.formats.json_file import FormatError
from app.batches.formats.template import Recipe
from app.batches.validation import Check
from app.json_text import JsonError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from api.new_batch.table import Table
    from app.settings import Settings

#: the model of whoever chooses none, as the command has it
DEFAULT_MODEL = "sonnet"
#: what a fault of a request's field is a fault of here: the beginning of the field's path, and the form's field
_FIELDS = {
    "body.model": "model",
    "body.response_format": "schema",
    "body.max_completion_tokens": "max_tokens",
}
_SCHEMA_NAME = "answer"
#: of the column that names the rows: it is kept in the batch's metadata, characters
_MAX_NAME = 512


class FormError(Exception):
    """The form can't be used. `faults`: messages by field; those of the table have the field `file`."""

    def __init__(self, faults: Mapping[str, str]) -> None:
        super().__init__("; ".join(faults.values()))
        self.faults = dict(faults)


@dataclass(frozen=True, kw_only=True)
class Prompt:
    """The fields as they were written; none is checked."""

    template: str = ""
    model: str = DEFAULT_MODEL
    system: str = ""
    schema: str = ""
    max_tokens: str = ""
    id_column: str = ""

    @classmethod
    def read(cls, sent: Mapping[str, Any]) -> Prompt:
        """Of a form, or of what `stored` wrote; what is missing is empty. Browsers send each line break as two characters."""
        found = {one.name: sent.get(one.name) for one in fields(cls)}
        return cls(**{name: value.replace("\r\n", "\n") for name, value in found.items() if isinstance(value, str)})

    def stored(self) -> bytes:
        """As JSON."""
        return json.dumps(asdict(self)).encode()

    def recipe(self, table: Table, settings: Settings) -> Recipe:
        """What makes requests of the table's rows, tried on those that are shown. Raises `FormError`, with all that is wrong."""
        faults: dict[str, str] = {}
        if fault := _template_fault(self.template, table.columns):
            faults["template"] = fault
        schema = None
        if self.schema.strip():
            try:
                schema = json_text.parse(self.schema.encode())
            except JsonError as error:
                faults["schema"] = f"This is not JSON: {error}."
            else:
                if not isinstance(schema, dict):
                    faults["schema"] = 'A schema is a JSON object, such as {"type": "object", "properties": {…}}.'
        if self.max_tokens.strip() and not _is_count(self.max_tokens.strip()):
            faults["max_tokens"] = "Write a whole number from 1 up, or nothing."
        if self.id_column and self.id_column not in table.columns:
            faults["id_column"] = f"There is no column '{self.id_column}'."
        elif len(self.id_column) > _MAX_NAME:
            faults["id_column"] = f"A column that names the rows has a name of up to {_MAX_NAME} characters."
        made = Recipe(
            template=self.template,
            model=self.model.strip() or DEFAULT_MODEL,
            system=self.system if self.system.strip() else None,
            schema=(_SCHEMA_NAME, schema) if isinstance(schema, dict) else None,
            id_column=self.id_column or None,
            max_tokens=None if faults.get("max_tokens") or not self.max_tokens.strip() else int(self.max_tokens),
        )
        if not faults.keys() & {"template", "id_column"}:
            faults |= _faults_of_requests(made, table, settings) | faults
        if faults:
            raise FormError(faults)
        return made


def _is_count(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) < 10 and int(text) > 0


def _template_fault(text: str, columns: tuple[str, ...]) -> str:
    if not text.strip():
        return "Write what Claude is to do with each row."
    named = template.names(text, columns)
    if not named:
        return (
            "It names no column, so that every row would ask the same. Put a column's name in braces, such as"
            f" {{{columns[0]}}}."
        )
    for name in named:
        if name not in columns:
            near = nearest(name, columns)
            return f"There is no column '{name}'. {near}Braces that are text are written twice: {{{{{name}}}}}."
    return ""


def _faults_of_requests(recipe: Recipe, table: Table, settings: Settings) -> dict[str, str]:
    """Of the rows that are shown, by the checks that each line of a batch goes through; the first fault of each field."""
    found: dict[str, str] = {}
    try:
        lines = [template.request(row, number, recipe) for number, row in enumerate(table.first, 1)]
    except FormatError as error:
        return {"template": str(error)}
    file = io.BytesIO(b"".join(json_text.line(one) for one in lines))
    for verdict in Check(CHAT_COMPLETIONS, settings, key=auth.key()).verdicts(file):
        if verdict.fault is not None:
            found.setdefault(_field_of(verdict.fault.param or "", recipe), verdict.fault.message)
    return found


def _field_of(param: str, recipe: Recipe) -> str:
    for beginning, name in _FIELDS.items():
        if param.startswith(beginning):
            return name
    if param == "custom_id":
        return "id_column"
    return "system" if recipe.system and param.startswith("body.messages[0]") else "template"
