"""The lines of a batch's input that a table makes, one a row."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

from app import json_text
from app.batches.formats import tables, template
from app.batches.formats.json_file import FormatError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from app.batches.formats.tables import Row, Rows
    from app.batches.formats.template import Recipe


@dataclass
class Lines:
    """To be read once; then `blank` is how many rows made no request."""

    rows: Rows
    recipe: Recipe
    #: of one request
    max_bytes: int
    blank: int = 0

    def __iter__(self) -> Iterator[bytes]:
        """An empty line for a row that is blank or not selected, so that the others keep their numbers. Raises `FormatError`."""
        blank = last = 0
        for number, row in self.rows.numbered(self.recipe.columns):
            if last == 0:
                self.recipe.check(self.rows.table.columns)
            yield b"\n" * (number - last - 1)
            last = number
            if tables.is_blank(row):
                blank += 1
                yield b"\n"
                continue
            made = json_text.line(template.request(row, number, self.recipe))
            if len(made) > self.max_bytes:
                raise FormatError(self._too_large(number, row))
            yield made
        self.blank = blank + self.rows.blank

    def _too_large(self, number: int, row: Row) -> str:
        sizes = {name: len(value if isinstance(value, str) else json.dumps(value)) for name, value in row.items()}
        largest = max(sizes, key=lambda name: sizes[name])
        return (
            f"{self.rows.path}: row {number}: its request would be larger than {self.max_bytes:,} bytes"
            f" (NIGHTSHIFT_MAX_BODY_BYTES): column '{largest}' has {sizes[largest]:,} characters. Shorten it, or is a"
            " quote left open there?"
        )
