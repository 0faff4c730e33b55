"""The pages: upload a table, write its prompt, try it. All of it are plain forms; the script only saves clicks."""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING, Any

from flask import Blueprint, Response, render_template, request

from api import auth, figures
from api.errors import answer
from api.new_batch import making
from api.new_batch.making import PROMPT_FILE, TRIED, Wanted
from api.new_batch.prompt import FormError, Prompt
from api.new_batch.table import Busy, on_disk
from api.openai import files
from api.openapi_meta import described
from api.services import current_services
from app import errors, json_text
from app.batches.file_record import Purpose
from app.batches.formats import tables
from app.batches.formats.cells import as_text
from app.batches.formats.json_file import FormatError
from app.error_codes import ErrorCode
from app.errors import ErrorReply
from app.openai import model_names

if TYPE_CHECKING:
    from collections.abc import Mapping

    from api.new_batch.table import Table
    from app.batches.file_record import FileRecord

blueprint = Blueprint("new_batch", __name__, url_prefix="/batches/new")

#: a table of which no batch is made is deleted after this time, seconds
UNUSED_KEEP_SECONDS = 2 * 3600
#: characters of a cell that are shown
CELL = 160
#: nothing from elsewhere, no inline script or style
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; form-action 'self'; base-uri 'none';"
    " frame-ancestors 'none'"
)
_TABLE_FORM = {
    "type": "object",
    "properties": {"file": {"type": "string", "format": "binary"}},
    "required": ["file"],
}
_TEXT = {"type": "string"}
_PROMPT_FORM = {
    "type": "object",
    "properties": dict.fromkeys(
        ("template", "model", "system", "schema", "max_tokens", "id_column", "form", "instead_of"), _TEXT
    ),
    "required": ["template"],
}
_HTML = ("text/html",)


@blueprint.get("")
@described(answers={200: _HTML})
def upload_page() -> Response:
    """Where a table is chosen, in a browser."""
    return _page()


@blueprint.post("")
@described(form=_TABLE_FORM, answers={303: (), 400: _HTML, 413: _HTML, 503: _HTML})
def upload() -> Response:
    """The page's first button: the table is kept for two hours. Only from that page; programs use `/v1/files`."""
    auth.require_same_origin()
    services = current_services()
    store = services.batches.files
    try:
        sent = files.receive(store, services.settings.max_file_bytes)
    except ErrorReply as error:
        return _page({"file": error.message}, status=error.status)
    record: FileRecord | None = None
    try:
        record = store.keep(
            sent.draft,
            filename=sent.filename,
            purpose=Purpose.USER_DATA,
            expires_after_seconds=UNUSED_KEEP_SECONDS,
            owner=auth.owner(),
        )
        if not record.bytes:
            raise FormatError("Choose a file first: this one is empty, or none was chosen.")
        with on_disk(store.open(record), sent.filename) as found:
            found.look(services.settings.max_batch_lines)
    except BaseException as error:
        store.discard(sent.draft)
        if record is not None:
            store.delete(record.id)
        if isinstance(error, FormatError):
            return _page({"file": str(error)}, status=400)
        if isinstance(error, Busy):
            return _page({"file": str(error)}, status=503)
        raise
    return _see(f"/batches/new/{record.id}")


@blueprint.get("/<file_id>")
@described(query={"instead_of": _TEXT}, answers={200: _HTML, 404: _HTML})
def prompt_page(file_id: str) -> Response:
    """The table's first rows, and the form of its prompt. `?instead_of=batch_…`: filled with what that batch was made with."""
    record = _uploaded(file_id)
    return _with_table(record, _prompt_of(request.args.get("instead_of", "")))


@blueprint.post("/<file_id>")
@described(form=_PROMPT_FORM, answers={303: (), 400: _HTML, 404: _HTML, 503: _HTML})
def try_it(file_id: str) -> Response:
    """The page's second button: a batch that tries its first rows and waits. Only from that page; programs use `/v1/batches`."""
    auth.require_same_origin()
    record = _uploaded(file_id)
    services = current_services()
    request.max_form_memory_size = services.settings.max_body_bytes
    prompt = Prompt.read(request.form)
    try:
        with on_disk(services.batches.files.open(record), record.filename) as found:
            table = found.look(services.settings.max_batch_lines)
            recipe = prompt.recipe(table, services.settings)
            made = making.make(Wanted(record, prompt, recipe, request.form.get("form", "")[:64]), found)
    except FormError as error:
        return _with_table(record, prompt, error.faults, status=400)
    except (FormatError, Busy) as error:
        return _with_table(record, prompt, {"template": str(error)}, status=503 if isinstance(error, Busy) else 400)
    except ErrorReply as error:
        return _with_table(record, prompt, {"template": error.message}, status=error.status)
    if instead_of := request.form.get("instead_of"):
        making.replace_trial(instead_of)
    return _see(f"/batches/{made.id}")


@blueprint.post("/<file_id>/discard")
@described(answers={303: ()})
def discard(file_id: str) -> Response:
    """The page's other button: the table is deleted at once, unless a batch was made of it. Only from that page."""
    auth.require_same_origin()
    record = _uploaded(file_id)
    if _is_unused(record):
        current_services().batches.files.delete(record.id)
    return _see("/batches/new")


def _uploaded(file_id: str) -> FileRecord:
    """The table, of whoever asks. Raises `ErrorReply` (404)."""
    record = current_services().batches.files.get(file_id)
    if record is None or record.purpose is not Purpose.USER_DATA or not auth.may_see(record.owner):
        raise errors.not_found(
            "This table is not there (any more): tables of which no batch was made are deleted after two hours. Upload it"
            " again at /batches/new.",
            code=ErrorCode.FILE_NOT_FOUND,
        )
    return record


@blueprint.errorhandler(ErrorReply)
def _told(error: ErrorReply) -> Response:
    """What there is no field for; a table that is gone, to a browser, as a page that takes it again."""
    is_browser = request.accept_mimetypes.best_match(["application/json", "text/html"]) == "text/html"
    return _page({"file": error.message}, status=404) if error.status == 404 and is_browser else answer(error)


def _is_unused(record: FileRecord) -> bool:
    return record.expires_at is not None and record.expires_at <= record.created_at + UNUSED_KEEP_SECONDS


def _prompt_of(batch_id: str) -> Prompt:
    """What a batch was made with here; an empty one without."""
    batches = current_services().batches
    record = batches.get(batch_id)
    if record is None or not auth.may_see(record.owner):
        return Prompt()
    file = batches.files.get(record.metadata.get(PROMPT_FILE, ""))
    if file is None or file.owner != record.owner:
        return Prompt()
    with batches.files.open(file) as stored:
        found = json_text.parse(stored.read())
    return Prompt.read(found if isinstance(found, dict) else {})


def _with_table(
    record: FileRecord, prompt: Prompt, faults: Mapping[str, str] | None = None, *, status: int = 200
) -> Response:
    services = current_services()
    try:
        with on_disk(services.batches.files.open(record), record.filename) as found:
            table = found.look(services.settings.max_batch_lines)
    except (FormatError, Busy) as error:
        return _page({"file": str(error)}, status=503 if isinstance(error, Busy) else 400)
    return _page(
        faults,
        status=status,
        table=table,
        cells=[[_cell(row.get(column)) for column in table.columns] for row in table.first],
        file_id=record.id,
        expires_at=record.expires_at if _is_unused(record) else None,
        prompt=prompt,
        models=_models(prompt.model),
        form=secrets.token_hex(16),
        instead_of=request.values.get("instead_of", "")[:64],
        example=_example(table),
    )


def _page(faults: Mapping[str, str] | None = None, *, status: int = 200, **shown: Any) -> Response:
    settings = current_services().settings
    text = render_template(
        "new_batch.html",
        faults=faults or {},
        figures=figures,
        tried=TRIED,
        endings=[one.suffixes[0] for one in tables.FORMATS.values() if one.suffixes],
        max_bytes=settings.max_file_bytes,
        max_rows=settings.max_batch_lines,
        keep_hours=UNUSED_KEEP_SECONDS // 3600,
        is_operator=auth.is_operator(),
        offline=settings.offline,
        **shown,
    )
    response = Response(text, status=status)
    response.headers["Content-Security-Policy"] = _POLICY
    # Forms send their origin; with `no-referrer` they would not.
    response.headers["Referrer-Policy"] = "same-origin"
    response.headers["Cache-Control"] = "no-store"
    return response


def _cell(value: Any) -> str:
    """As the prompt has it, no longer than is shown; empty where the row has no such column."""
    text = as_text(value)
    return text if len(text) <= CELL else f"{text[:CELL]}…"


def _example(table: Table) -> str:
    """A template that names a column with text in it: the one with the longest cells."""
    longest = max(table.columns, key=lambda column: max(len(_cell(row.get(column))) for row in table.first))
    return f"Summarise: {{{longest}}}"


def _models(chosen: str) -> list[str]:
    """Those that the key may use, Claude's own names and the settings'; and the one that was chosen."""
    settings, key = current_services().settings, auth.key()
    names = dict.fromkeys((*model_names.ALIASES, *settings.models, *model_names.CLAUDE_MODELS, *settings.model_map))
    found = [
        name
        for name in names
        if (meant := model_names.resolved_or_itself(name, settings)) and "*" not in name and "?" not in name
        if key is None or key.may_use(meant)
    ]
    return found if chosen in found else [*found, chosen]


def _see(path: str) -> Response:
    return Response(status=303, headers={"Location": path})
