"""What became of a part's lines: a file that the lane writes and the feeder takes in, one JSON object a line, by ascending number."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

from app import json_text
from app.batches.change import NO_RUNS, LineRuns
from app.outcome import Outcome

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import IO


@dataclass(frozen=True)
class Entry:
    """One line's."""

    number: int
    custom_id: str
    #: None: it is to be fed again
    outcome: Outcome | None = None
    #: what it has come to, with this part
    runs: LineRuns = NO_RUNS
    #: what was paid for an answer that nobody gets, US dollars
    paid_usd: float = 0.0


def encode(entry: Entry) -> bytes:
    """Its line of the file."""
    outcome = None if entry.outcome is None else entry.outcome.to_json()
    return json_text.line([entry.number, entry.custom_id, outcome, entry.runs, entry.paid_usd])


def read(file: IO[bytes]) -> Iterator[Entry]:
    """All from where the file is."""
    while raw := file.readline():
        number, custom_id, text, runs, paid_usd = json.loads(raw)
        outcome = None if text is None else Outcome.from_json(text)
        yield Entry(number, custom_id, outcome, LineRuns(*runs), paid_usd)
