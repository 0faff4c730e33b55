"""A part's results: lines in any order, which count once they are all there. Split here: only a line feed ends a line."""

from __future__ import annotations

import json
from typing import IO, TYPE_CHECKING, Any

from app.batches.parts.record import read_request_id, request_prefix

if TYPE_CHECKING:
    from collections.abc import Iterable

    from app.batches.parts.record import Part
    from app.batches.record import BatchRecord

#: one result, bytes: more than any answer has
MAX_LINE_BYTES = 128 * 1024 * 1024


class ResultsError(Exception):
    """Some are missing, or in a line that is broken. They are to be read again."""


class OthersResultsError(Exception):
    """They are of another batch."""


class Results:
    """What a file of results has for a part, by line and answer."""

    def __init__(self, file: IO[bytes], record: BatchRecord, part: Part) -> None:
        """Reads all of it; a line that is no result counts as none. Raises `OthersResultsError` when none is of this part."""
        self._file = file
        #: where each result is: (offset, length)
        self._spans: dict[tuple[int, int], tuple[int, int]] = {}
        own, foreign, offset = request_prefix(record.id, part.id), 0, 0
        file.seek(0)
        while raw := file.readline(MAX_LINE_BYTES):
            if (custom_id := _custom_id(raw)) is not None:
                found = read_request_id(custom_id)
                if found is None or found[0] != own:
                    foreign += 1
                else:
                    # The first of two is the one that counts.
                    self._spans.setdefault(found[1:], (offset, len(raw)))
            offset += len(raw)
        if foreign and not self._spans:
            raise OthersResultsError
        self._missing = part.requests - len(self._spans)

    def check_whole(self) -> None:
        """Raises `ResultsError` when there are fewer than requests."""
        if self._missing > 0:
            raise ResultsError(f"{self._missing} results are missing")

    def read(self, number: int, choices: Iterable[int]) -> list[dict[str, Any] | None]:
        """The results of a line, one for each of its answers; None for one that is not there."""
        found: list[dict[str, Any] | None] = []
        for choice in choices:
            span = self._spans.get((number, choice))
            if span is None:
                found.append(None)
                continue
            self._file.seek(span[0])
            found.append(json.loads(self._file.read(span[1]))["result"])
        return found


def _custom_id(raw: bytes) -> str | None:
    """Of a result that has a type; None: the line is blank or broken."""
    try:
        found = json.loads(raw)
        if isinstance(found["custom_id"], str) and isinstance(found["result"]["type"], str):
            return found["custom_id"]
    except (ValueError, LookupError, TypeError, RecursionError):
        pass
    return None
