"""The first look at a batch's file, before anything runs. In slices, for others wait meanwhile.

As at OpenAI, a line whose envelope is wrong (its JSON, `custom_id`, `url`, `method`, another model) is a fault of the whole
file. A line whose body is refused is that line's error, and the rest runs, unless the batch is strict.
"""

from __future__ import annotations

import hashlib
import io
import json
import time
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Any

from app import errors
from app.batches import since, trial
from app.batches.endpoints import accept_line
from app.batches.formats.line import BodyError, Fault, LineError, parse
from app.batches.lines import ByteSpan, index_entry, split, why_not_lines
from app.batches.storage import Appending, names
from app.error_codes import ErrorCode
from app.errors import ErrorReply
from app.openai import model_names

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator
    from typing import IO

    from app.api_keys import ApiKey
    from app.batches.change import Copied
    from app.batches.formats.line import Line
    from app.batches.head import HeadFinder
    from app.batches.record import BatchRecord
    from app.batches.storage import Readable, Storage
    from app.openai.accept import Accepted
    from app.settings import Settings


@dataclass(frozen=True)
class Verdict:
    """On a line, or on the whole file: then there is no span. `is_refused`: the fault is that line's own."""

    span: ByteSpan | None
    fault: Fault | None = None
    is_refused: bool = False
    #: the request; None: there is a fault
    request: tuple[Line, Accepted[Any]] | None = None


class Check:
    """All lines of a file, one after the other. `is_strict`: what would be refused is a fault of the file, too. `key`: whose the batch is.

    `head`: gets each line that is accepted.
    """

    def __init__(
        self,
        endpoint: str,
        settings: Settings,
        *,
        is_strict: bool = False,
        key: ApiKey | None = None,
        head: HeadFinder | None = None,
    ) -> None:
        #: how many lines there were so far, blank ones not counted, and the one model that they ask for; empty when none does
        self.total = 0
        self.model = ""
        self._endpoint = endpoint
        self._settings = settings
        self._is_strict = is_strict
        self._key = key
        self._head = head
        #: custom ids seen, 16 bytes each
        self._seen: set[bytes] = set()

    def verdicts(self, file: IO[bytes]) -> Iterator[Verdict]:
        """On each line; at last, on the whole file if there is a fault of it."""
        for span, raw in split(file, self._settings.max_body_bytes):
            if self.total == 0 and (why := why_not_lines(raw)) is not None:
                yield Verdict(None, Fault(ErrorCode.INVALID_JSON_LINE, why, line=span.number))
                return
            if self.total >= self._settings.max_batch_lines:
                most = self._settings.max_batch_lines
                message = f"The file has more than {most} requests (NIGHTSHIFT_MAX_BATCH_LINES)."
                yield Verdict(None, Fault(ErrorCode.TOO_MANY_TASKS, message))
                return
            self.total += 1
            try:
                request = self._look_at(span, raw)
            except LineError as error:
                is_refused = isinstance(error, BodyError) and not self._is_strict
                yield Verdict(span, error.at(span.number), is_refused)
            else:
                yield Verdict(span, request=request)
        if self.total == 0:
            yield Verdict(None, Fault(ErrorCode.EMPTY_FILE, "The file has no request."))

    def _look_at(self, span: ByteSpan, raw: bytes) -> tuple[Line, Accepted[Any]] | None:
        """Raises `LineError` for its envelope, `BodyError` for its body."""
        if not span.is_whole:
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
        if isinstance(model := line.body.get("model"), str):
            self._look_at_model(model)
        try:
            accepted = accept_line(line, self._endpoint, self._settings)
        except BodyError as error:
            # One that nobody knows was the fault of the first line that named it, and is not that of each.
            if error.reply.code is not ErrorCode.MODEL_NOT_FOUND:
                raise
            return None
        if self._head is not None:
            self._head.add(accepted.payload)
        return line, accepted

    def _look_at_model(self, model: str) -> None:
        is_first = not self.model
        self.model = self.model or model
        if model != self.model:
            raise LineError(
                ErrorCode.MODEL_MISMATCH,
                f"All lines must ask for one model; the first asks for '{self.model[:200]}', this one for '{model[:200]}'.",
                "body.model",
            )
        if is_first:
            try:
                claude_model = model_names.resolve(model, self._settings)
                if self._key is not None and not self._key.may_use(claude_model):
                    raise errors.model_not_allowed(claude_model, self._key.models)
            except ErrorReply as error:
                raise LineError(error.cause, error.message, "body.model") from error


class Validation:
    """One validation under way; after a crash it begins anew. Writes the index of the lines, the faults found, and what is copied."""

    def __init__(
        self,
        storage: Storage,
        record: BatchRecord,
        settings: Settings,
        *,
        is_strict: bool = False,
        key: ApiKey | None = None,
        head: HeadFinder | None = None,
    ) -> None:
        self.head = head
        self.check = Check(record.endpoint, settings, is_strict=is_strict, key=key, head=head)
        self.faults = 0
        #: lines whose bodies are refused, of a file that may run
        self.refused = 0
        self._record = record
        self._storage = storage
        self._copying = since.Copying(storage, record, settings) if record.since else None
        self._copies = since.Done()
        self._input = storage.open(names.batch_input(record.id))
        #: 16 bytes a line
        self._index = io.BytesIO()
        self._faults = storage.draft(names.faults(record.id))
        self._work = self._validate()

    @property
    def copied(self) -> Copied:
        """What was copied from an earlier batch."""
        return self._copies.total()

    def step(self, seconds: float) -> bool:
        """Validate for this long. Whether all lines are done."""
        until = time.monotonic() + seconds
        for _ in self._work:
            if time.monotonic() >= until:
                return False
        self.close()
        return True

    def _validate(self) -> Generator[None]:
        if self._copying is not None:
            yield from self._copying.read()
        for verdict in self.check.verdicts(self._input):
            self._note(verdict)
            yield
        if self._copying is not None and not self.faults:
            output = Appending(self._storage, names.stored_file(self._record.output_file))
            yield from self._copying.copy(self._index.getvalue(), output, self._copies)
            output.flush()
        index = self._index.getvalue()
        if self._copies.lines or self._record.tried:
            copied, others = since.first(index, self._copies.lines)
            index = copied + trial.chosen_first(others, self._record.tried)
        self._storage.keep(self._faults, names.faults(self._record.id))
        self._storage.put(names.line_index(self._record.id), index)

    def _note(self, verdict: Verdict) -> None:
        self.refused += verdict.is_refused
        if verdict.fault is not None and not verdict.is_refused:
            self.faults += 1
            self._faults.write(json.dumps(vars(verdict.fault)).encode() + b"\n")
        elif verdict.span is not None:
            self._index.write(index_entry(verdict.span))
            if self._copying is not None:
                self._copying.note(verdict.request)

    def close(self) -> None:
        """Let go of all files, finished or not."""
        self._work.close()
        self._input.close()
        self._storage.discard(self._faults)


def read_faults(storage: Readable, batch_id: str, limit: int) -> list[dict[str, Any]]:
    """The first faults that were found, as OpenAI's `errors.data` has them."""
    try:
        file = storage.open(names.faults(batch_id))
    except FileNotFoundError:
        return []
    with file:
        return [json.loads(line) for line in islice(file, limit)]
