"""A batch of a table and a prompt. What it needs is stored first; if it can't be made, nothing of that is left."""

from __future__ import annotations

import hashlib
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pydantic_core

from api import auth, headers
from api.new_batch.prompt import FormError
from api.services import current_services
from app import clock, idempotency
from app.batches.endpoints import CHAT_COMPLETIONS
from app.batches.file_record import UPLOAD_KEEP_SECONDS, Purpose
from app.batches.formats import tables
from app.batches.formats.answers import TABLE_FILE, TABLE_FORMAT, TABLE_ID
from app.batches.formats.from_table import Lines
from app.batches.formats.json_file import FormatError
from app.batches.formats.line import MAX_CUSTOM_ID
from app.batches.metadata import TRY
from app.batches.record import Hold
from app.batches.store import NewBatch
from app.errors import ErrorReply

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from api.new_batch.prompt import Prompt
    from api.new_batch.table import OnDisk
    from app.batches.file_record import FileRecord
    from app.batches.files import FileDraft
    from app.batches.formats.template import Recipe
    from app.batches.record import BatchRecord
    from app.settings import Settings

#: in the metadata of a batch that was made here: the file that has its prompt
PROMPT_FILE = "nightshift_prompt"
#: rows that are tried first
TRIED = 5


@dataclass(frozen=True)
class Wanted:
    """What is to be made. `form`: the name of the form that was sent, which makes one batch of the same rows, however often it is sent."""

    table: FileRecord
    prompt: Prompt
    recipe: Recipe
    form: str


def make(wanted: Wanted, source: OnDisk) -> BatchRecord:
    """The batch, which tries its first rows. Raises `FormError` for rows that make no request, and `ErrorReply` as batches do."""
    services = current_services()
    batches, files = services.batches, services.batches.files
    draft = files.draft()
    try:
        digest = _write(draft, source, wanted.recipe, services.settings)
    except BaseException:
        files.discard(draft)
        raise
    fence = _fence(wanted, digest)
    if (earlier := batches.made_by(fence)) is not None:
        files.discard(draft)
        return _kept(earlier, wanted.table)
    kept: list[FileRecord] = []
    try:
        kept.append(_keep(draft, wanted.table.filename, Purpose.BATCH, wanted.table.owner))
        prompt = files.draft()
        prompt.write(wanted.prompt.stored())
        kept.append(_keep(prompt, "prompt.json", Purpose.USER_DATA, wanted.table.owner))
        metadata = {
            TRY: str(TRIED),
            TABLE_FILE: wanted.table.id,
            TABLE_FORMAT: source.kind,
            PROMPT_FILE: kept[1].id,
            **({TABLE_ID: wanted.recipe.id_column} if wanted.recipe.id_column else {}),
        }
        new = NewBatch(input_file_id=kept[0].id, endpoint=CHAT_COMPLETIONS, metadata=metadata, owner=auth.seen_owner())
        made = batches.create(new, fence=fence)
    except ErrorReply:
        _delete(kept)
        raise
    if made.input_file_id != kept[0].id:
        # The same form was quicker.
        _delete(kept)
    return _kept(made, wanted.table)


def replace_trial(batch_id: str) -> None:
    """Another prompt is tried instead: the batch that waits for somebody's word about the first one is cancelled."""
    batches = current_services().batches
    with suppress(ErrorReply):
        if batches.require(batch_id, auth.seen_owner()).held == Hold.TRIED:
            batches.cancel(batch_id, auth.seen_owner())


def _write(draft: FileDraft, source: OnDisk, recipe: Recipe, settings: Settings) -> str:
    """The requests' lines into the draft; their digest."""
    digest = hashlib.sha256()
    size = 0
    lines = Lines(tables.Rows(source.path, source.kind), recipe, settings.max_body_bytes)
    seen: set[str] | None = None if recipe.id_column is None else set()
    try:
        with source.named():
            for made in _checked(lines, settings):
                if seen is not None:
                    _check_name(made, seen)
                size += draft.write(made)
                if size > settings.max_file_bytes:
                    raise FormatError(
                        f"All requests together are larger than {settings.max_file_bytes:,} bytes"
                        " (NIGHTSHIFT_MAX_FILE_BYTES): shorten the prompt, or split the table."
                    )
                digest.update(made)
    except FormatError as error:
        raise FormError({"template": str(error)}) from error
    return digest.hexdigest()


def _checked(lines: Lines, settings: Settings) -> Iterator[bytes]:
    """The lines, as many as a batch takes."""
    count = 0
    for made in lines:
        count += made != b"\n"
        if count > settings.max_batch_lines:
            raise FormatError(
                f"The table has more than {settings.max_batch_lines:,} rows (NIGHTSHIFT_MAX_BATCH_LINES): split it."
            )
        yield made


def _check_name(made: bytes, seen: set[str]) -> None:
    """A batch of two lines of one name would fail as a whole. Raises `FormError`."""
    if not made.strip():
        return
    name = pydantic_core.from_json(made)["custom_id"]
    if name in seen or not 0 < len(name) <= MAX_CUSTOM_ID:
        why = (
            f"Two rows have '{name[:100]}' there"
            if name in seen
            else "A row has nothing there, or a text that is too long"
        )
        raise FormError({"id_column": f"{why}: choose another column, or the row's number."})
    seen.add(name)


def _fence(wanted: Wanted, digest: str) -> idempotency.Fence | None:
    if not wanted.form:
        return None
    fingerprint = headers.fingerprint_of(digest, wanted.table.id, wanted.recipe.id_column or "")
    return idempotency.by_key(f"{auth.caller()}\n/batches/new", f"{wanted.form}\n{fingerprint}", fingerprint)


def _keep(draft: FileDraft, name: str, purpose: Purpose, owner: str) -> FileRecord:
    files = current_services().batches.files
    try:
        return files.keep(draft, filename=name, purpose=purpose, owner=owner)
    except BaseException:
        files.discard(draft)
        raise


def _delete(files: Iterable[FileRecord]) -> None:
    for file in files:
        current_services().batches.files.delete(file.id)


def _kept(made: BatchRecord, table: FileRecord) -> BatchRecord:
    """The batch, whose table stays for as long as an upload does: its results are the table with answers."""
    current_services().batches.files.keep_until(table.id, clock.now() + UPLOAD_KEEP_SECONDS)
    return made
