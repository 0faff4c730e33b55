"""Templates in Jinja's language, for prompts with conditions and loops. Sandboxed: a template reads its row, and reaches nothing else."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any

from app.batches.formats.cells import as_text
from app.batches.formats.json_file import FormatError

if TYPE_CHECKING:
    from collections.abc import Mapping

ENDINGS = (".j2", ".jinja", ".jinja2")
#: the whole row in a template, for columns whose names are no names there: `row["Unit price"]`
ROW = "row"


class JinjaTemplate:
    """A template that is known to be one. Raises `FormatError`."""

    def __init__(self, text: str) -> None:
        # A tenth of a second, for those alone who have such templates.
        from jinja2 import StrictUndefined, TemplateError, meta, nodes  # noqa: PLC0415
        from jinja2.sandbox import ImmutableSandboxedEnvironment  # noqa: PLC0415

        environment = ImmutableSandboxedEnvironment(
            undefined=StrictUndefined,
            autoescape=False,
            finalize=as_text,
        )
        environment.globals = {"range": environment.globals["range"]}
        try:
            tree = environment.parse(text)
            self._template = environment.from_string(text)
        except TemplateError as error:
            line = getattr(error, "lineno", None)
            raise FormatError(f"The template{f', line {line}' if line else ''}: {error}.") from error
        found = dict.fromkeys(sorted(meta.find_undeclared_variables(tree) - {ROW}))
        for node in tree.find_all(nodes.Getitem):
            is_of_row = isinstance(node.node, nodes.Name) and node.node.name == ROW
            if is_of_row and isinstance(node.arg, nodes.Const) and isinstance(node.arg.value, str):
                found[node.arg.value] = None
        #: the columns that it names
        self.names = list(found)

    def fill(self, row: Mapping[str, Any], number: int) -> str:
        """The prompt of a row. Raises `FormatError`."""
        try:
            return self._template.render({**row, ROW: dict(row)})
        except Exception as error:
            # Whatever a template does with a row's values goes wrong in its own way.
            raise FormatError(f"row {number}: the template can't be filled: {error}.") from error


@lru_cache(maxsize=4)
def parsed(text: str) -> JinjaTemplate:
    """The template of a text."""
    return JinjaTemplate(text)
