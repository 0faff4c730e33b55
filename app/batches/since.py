"""Lines of a batch that are the same requests as lines which an earlier batch answered: their answers are copied, not paid for again.

At the door the earlier batch's files get a second name in the new batch's folder, and it is noted how much of its output counts: what
becomes of that batch later makes no difference. The new batch's validation copies. What it writes counts with the step that ends it, so
that whoever goes on after a crash writes all of it anew in the place of the first.

Lines that are the same on purpose stay as many as they are: an answer is copied once at most. Of several that are the same, a line gets
the answer to the one of its own `custom_id` if there is one, else the next in the order of the earlier output.
"""

from __future__ import annotations

import hashlib
import json
from array import array
from collections import deque
from typing import TYPE_CHECKING, Any

from app import errors
from app.batches.change import Copied
from app.batches.endpoints import accept_line
from app.batches.formats.line import LineError, parse, parsed
from app.batches.lines import SPAN_BYTES, LineReader, span_of
from app.batches.output import copied
from app.batches.record import line_id
from app.batches.storage import FilesLost, counted_lines, names
from app.error_codes import ErrorCode
from app.openai.payload import fingerprint
from app.scopes import family_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from app.batches.files import FileStore
    from app.batches.formats.line import Line
    from app.batches.record import BatchRecord
    from app.batches.storage import Appending, Storage
    from app.openai.accept import Accepted
    from app.settings import Settings

#: in a batch's metadata: the id of the earlier one
SINCE = "since"
#: of a fingerprint, and of one with its line's `custom_id`
_DIGEST_BYTES = 16
_NONE = bytes(2 * _DIGEST_BYTES)


def check(
    files: FileStore, earlier: BatchRecord | None, since: str, *, endpoint: str, owner: str, offline: bool
) -> BatchRecord:
    """The earlier batch, if its answers are there to be copied. Raises `ErrorReply` (400) that says why they are not.

    `offline`: whether answers are simulated ones now.
    """

    def refused(why: str, code: ErrorCode = ErrorCode.INVALID_VALUE) -> errors.ErrorReply:
        return errors.invalid_request(f"'{SINCE}': {why}", f"metadata.{SINCE}", code)

    if earlier is None or earlier.owner != owner:
        raise refused(f"there is no batch '{since[:100]}'.", ErrorCode.BATCH_NOT_FOUND)
    if earlier.endpoint != endpoint:
        raise refused(f"{earlier.id} is a batch of {earlier.endpoint}, and this one of {endpoint}.")
    if earlier.offline and not offline:
        raise refused(f"the answers of {earlier.id} are simulated ones: no Claude was asked.")
    if not earlier.output_bytes:
        state = "" if earlier.status.is_final else " yet"
        raise refused(f"{earlier.id} has no answer{state} to copy. Leave '{SINCE}' out to run all requests.")
    if not files.is_here(earlier.place):
        raise refused(
            f"the files of {earlier.id} are in another data dir than the file of this batch. Submit it there.",
            ErrorCode.FILES_ELSEWHERE,
        )
    # Before the end nobody but the batch knows of its files.
    is_known = not earlier.status.is_final or files.get(earlier.output_file) is not None
    size = files.storage.size(names.stored_file(earlier.output_file)) if is_known else None
    if size is None or size < earlier.output_bytes:
        raise refused(
            f"the output of {earlier.id} was deleted or has expired. Leave '{SINCE}' out to run all requests.",
            ErrorCode.FILE_NOT_FOUND,
        )
    return earlier


def link(storage: Storage, earlier: BatchRecord, batch_id: str) -> None:
    """A second name for its files. Raises `ErrorReply` (400) where they have gone meanwhile."""
    try:
        storage.link(names.stored_file(earlier.output_file), names.since_output(batch_id))
        storage.link(names.batch_input(earlier.id), names.since_input(batch_id))
        storage.link(names.line_index(earlier.id), names.since_index(batch_id))
    except FileNotFoundError as error:
        storage.remove_folder(batch_id)
        raise errors.invalid_request(
            f"'{SINCE}': the files of {earlier.id} are gone. Leave it out to run all requests.",
            f"metadata.{SINCE}",
            ErrorCode.FILE_NOT_FOUND,
        ) from error


def unlink(storage: Storage, batch_id: str) -> None:
    """All is copied."""
    for name in names.OF_SINCE:
        storage.remove(name(batch_id))


class Copying:
    """For one validation, line after line of both batches. Holds some 100 bytes a line, and no body."""

    def __init__(self, storage: Storage, record: BatchRecord, settings: Settings) -> None:
        self._storage = storage
        self._record = record
        self._settings = settings
        self._output = names.since_output(record.id)
        #: of each answer: the request's fingerprint, where its line is in the output; and by fingerprint and `custom_id`, which one it is
        self._fingerprints = bytearray()
        self._offsets = array("Q")
        self._exact: dict[bytes, int] = {}
        #: of each line of the new batch, its fingerprint, and that with its `custom_id`
        self._wanted = bytearray()

    def read(self) -> Iterator[None]:
        """Look at each line that the earlier batch answered. Raises `OSError` when its files are gone."""
        if (self._storage.size(self._output) or 0) < self._record.since_bytes:
            raise FilesLost(f"{self._output} is gone, or too short")
        reader = LineReader.of_earlier(self._storage, self._record.id)
        answers: deque[tuple[int, dict[str, Any]]] = deque()

        def numbers() -> Iterator[int]:
            offset = 0
            for raw in counted_lines(self._storage, self._output, self._record.since_bytes):
                answer = json.loads(raw)
                answers.append((offset, answer))
                offset += len(raw)
                yield int(answer["id"].rpartition("_")[2])

        for _, raw in reader.read(numbers()):
            offset, answer = answers.popleft()
            self._note_answer(raw, offset, answer)
            yield

    def _note_answer(self, raw: bytes, offset: int, answer: dict[str, Any]) -> None:
        try:
            line = parse(raw, self._record.endpoint)
            accepted = accept_line(line, self._record.endpoint, self._settings)
        except LineError:
            return  # What was accepted then is not now.
        if not _is_answered_by(accepted.claude_model, answer):
            return  # The model's name meant another one then.
        request, exact = _digests(line, accepted)
        self._exact[exact] = len(self._offsets)
        self._fingerprints += request
        self._offsets.append(offset)

    def note(self, request: tuple[Line, Accepted[Any]] | None) -> None:
        """The new batch's next line; None for one that is refused."""
        self._wanted += _NONE if request is None else b"".join(_digests(*request))

    def copy(self, index: bytes, target: Appending, done: Done) -> Iterator[None]:
        """Write the answers that the new batch's lines have already. `index`: where these are, in the file's order."""
        chosen = self._chosen()
        with self._storage.open(names.batch_input(self._record.id)) as asked, self._storage.open(self._output) as old:
            for line, answer in chosen:
                entry = index[line * SPAN_BYTES : (line + 1) * SPAN_BYTES]
                offset, length = span_of(entry)
                asked.seek(offset)
                custom_id = parsed(asked.read(length)).custom_id
                old.seek(self._offsets[answer])
                found = json.loads(old.readline())
                text, saved = copied(found, line_id(self._record.id, len(done.lines)), custom_id, self._record.since)
                target.write(text)
                done.add(line, len(text), saved)
                yield

    def _chosen(self) -> list[tuple[int, int]]:
        """Line and answer of each that is copied, by ascending line."""
        found: dict[int, int] = {}
        total = len(self._wanted) // len(_NONE)
        for line in range(total):
            if (answer := self._exact.get(self._digest(line, 1), -1)) >= 0:
                found[line] = answer
        # The others by fingerprint: of each the first, and of each answer the next that is the same.
        taken, heads = set(found.values()), dict[bytes, int]()
        following = array("q", [-1]) * len(self._offsets)
        for answer in reversed(range(len(self._offsets))):
            if answer not in taken:
                request = bytes(self._fingerprints[answer * _DIGEST_BYTES : (answer + 1) * _DIGEST_BYTES])
                following[answer] = heads.get(request, -1)
                heads[request] = answer
        for line in range(total):
            if line not in found and (answer := heads.get(request := self._digest(line, 0), -1)) >= 0:
                found[line], heads[request] = answer, following[answer]
        return sorted(found.items())

    def _digest(self, line: int, which: int) -> bytes:
        at = line * len(_NONE) + which * _DIGEST_BYTES
        return bytes(self._wanted[at : at + _DIGEST_BYTES])


class Done:
    """What was copied so far: the lines, by their place in the file, and what that comes to."""

    def __init__(self) -> None:
        self.lines: list[int] = []
        self._bytes = self._unpriced = 0
        self._saved_usd = 0.0

    def add(self, line: int, length: int, saved_usd: float | None) -> None:
        """One more. `saved_usd`: None where nobody knows it."""
        self.lines.append(line)
        self._bytes += length
        self._saved_usd += saved_usd or 0.0
        self._unpriced += saved_usd is None

    def total(self) -> Copied:
        """All of it."""
        return Copied(len(self.lines), self._bytes, self._saved_usd, self._unpriced)


def first(index: bytes, lines: Sequence[int]) -> tuple[bytes, bytes]:
    """An index of lines as that of those lines, and that of the others, each in its order."""
    chosen = set(lines)
    spans = [index[at : at + SPAN_BYTES] for at in range(0, len(index), SPAN_BYTES)]
    others = (span for number, span in enumerate(spans) if number not in chosen)
    return b"".join(spans[number] for number in lines), b"".join(others)


def _digests(line: Line, accepted: Accepted[Any]) -> tuple[bytes, bytes]:
    request = fingerprint(accepted.payload)[:_DIGEST_BYTES]
    custom_id = line.custom_id.encode("utf-8", "surrogatepass")
    return request, hashlib.blake2b(request + custom_id, digest_size=_DIGEST_BYTES).digest()


def _is_answered_by(claude_model: str, answer: dict[str, Any]) -> bool:
    named = answer["response"]["body"].get("model")
    wanted, found = family_of(claude_model), family_of(named) if isinstance(named, str) else ""
    return not wanted or not found or wanted == found
