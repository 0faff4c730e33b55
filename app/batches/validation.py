"""The first look at a batch's file: every bad line is named before anything runs. In slices, for others wait meanwhile."""

from __future__ import annotations

import hashlib
import json
import time
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

from app.batches.endpoints import accept_line
from app.batches.lines import Fault, IndexWriter, LineError, Place, parse, split
from app.error_codes import ErrorCode

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path
    from typing import IO

    from app.settings import Settings


class Findings:
    """What the lines seen so far have in common, and which ids they have used."""

    def __init__(self, endpoint: str, settings: Settings) -> None:
        self.total = 0
        self.model = ""
        self._endpoint = endpoint
        self._settings = settings
        #: custom ids seen, 16 bytes each
        self._seen: set[bytes] = set()

    def look_at(self, place: Place, raw: bytes) -> None:
        """The next line. Raises `LineError`."""
        self.total += 1
        if not place.is_whole:
            limit = self._settings.max_body_bytes
            raise LineError(
                ErrorCode.LINE_TOO_LARGE, f"This line is longer than {limit} bytes (NIGHTSHIFT_MAX_BODY_BYTES)."
            )
        line = parse(raw, self._endpoint)
        digest = hashlib.blake2b(line.custom_id.encode("utf-8", "surrogatepass"), digest_size=16).digest()
        if digest in self._seen:
            raise LineError(
                ErrorCode.DUPLICATE_CUSTOM_ID,
                f"The custom_id '{line.custom_id}' was used on an earlier line.",
                "custom_id",
            )
        self._seen.add(digest)
        model = accept_line(line, self._endpoint, self._settings).model
        self.model = self.model or model
        if model != self.model:
            raise LineError(
                ErrorCode.MODEL_MISMATCH,
                f"All lines must ask for one model; the first asks for '{self.model}'.",
                "body.model",
            )


def check(file: IO[bytes], endpoint: str, settings: Settings) -> Iterator[tuple[Place | None, Fault | None, Findings]]:
    """Each line with its place and its fault, if any; at last, faults of the whole file, if any, without a place."""
    findings = Findings(endpoint, settings)
    for place, raw in split(file, settings.max_body_bytes):
        if findings.total >= settings.max_batch_lines:
            message = f"The file has more than {settings.max_batch_lines} requests (NIGHTSHIFT_MAX_BATCH_LINES)."
            yield None, Fault(ErrorCode.TOO_MANY_TASKS, message), findings
            return
        try:
            findings.look_at(place, raw)
        except LineError as error:
            yield place, error.at(place.number), findings
        else:
            yield place, None, findings
    if findings.total == 0:
        yield None, Fault(ErrorCode.EMPTY_FILE, "The file has no request."), findings


class Validation:
    """One validation under way; after a crash it begins anew. Writes the index of the lines, and the faults found."""

    def __init__(self, directory: Path, endpoint: str, settings: Settings) -> None:
        self.total = 0
        self.model = ""
        self.faults = 0
        self._index = IndexWriter(directory / "lines")
        self._faults = (directory / "faults.jsonl").open("w", encoding="utf-8")
        self._input = (directory / "input").open("rb")
        self._checked = check(self._input, endpoint, settings)

    def step(self, seconds: float) -> bool:
        """Go on for so long. Whether all is done."""
        until = time.monotonic() + seconds
        for place, fault, findings in self._checked:
            self.total, self.model = findings.total, findings.model
            if fault is not None:
                self.faults += 1
                self._faults.write(json.dumps(vars(fault)) + "\n")
            elif place is not None:
                self._index.add(place)
            if time.monotonic() >= until:
                return False
        self._index.finish()
        self.close()
        return True

    def close(self) -> None:
        """Let go of all files. Raises `OSError` when what was found can't be written."""
        with ExitStack() as opened:
            for file in (self._input, self._faults, self._index):
                opened.callback(file.close)


def read_faults(directory: Path, limit: int) -> list[dict[str, Any]]:
    """The first faults that were found, as OpenAI's `errors.data` has them."""
    found: list[dict[str, Any]] = []
    try:
        with (directory / "faults.jsonl").open(encoding="utf-8") as file:
            for line in file:
                if len(found) >= limit:
                    break
                found.append(json.loads(line))
    except FileNotFoundError:
        pass
    return found
