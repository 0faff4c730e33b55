"""`/v1/batches`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

from flask import Blueprint, Response, request
from pydantic import BaseModel, ConfigDict, Field

from api import auth, headers, params
from api.openai.batch_object import batch_object
from api.openai.files import keep_seconds
from api.openapi_meta import PAGING, described
from api.services import current_services
from app import errors
from app.batches import retry
from app.batches.endpoints import ENDPOINTS
from app.batches.record import BatchRecord
from app.batches.storage import pieces
from app.batches.store import NewBatch
from app.error_codes import ErrorCode
from app.openai.chat_request import Metadata

if TYPE_CHECKING:
    from app.batches.record import BatchRecord


blueprint = Blueprint("batches", __name__)


class ExpiresAfter(BaseModel):
    """When output files go."""

    anchor: str
    seconds: int


class CreateBatch(BaseModel):
    """`POST /v1/batches`. Fields that OpenAI has not are refused by nobody there, and have no effect here."""

    model_config = ConfigDict(strict=True, extra="ignore")

    input_file_id: str
    endpoint: str
    completion_window: str
    metadata: Metadata | None = None
    output_expires_after: ExpiresAfter | None = None
    #: ours: where messages about this batch go; no answer has it
    notify: list[str] | None = None


@blueprint.post("/v1/batches")
@described(body=CreateBatch, headers=headers.IDEMPOTENCY, errors=(404, 409, 429))
def create_batch() -> dict[str, Any]:
    """The batch object, in validation. 400 for a file that is none, another endpoint, bad metadata."""
    body = params.read_body()
    wanted = params.checked(CreateBatch, body)
    if wanted.endpoint not in ENDPOINTS:
        raise errors.invalid_request(
            f"'endpoint' takes one of: {', '.join(ENDPOINTS)}.", param="endpoint", code=ErrorCode.INVALID_VALUE
        )
    keep = wanted.output_expires_after
    seconds = None if keep is None else keep_seconds(keep.anchor, keep.seconds, "output_expires_after")
    record = current_services().batches.create(
        NewBatch(
            input_file_id=wanted.input_file_id,
            endpoint=wanted.endpoint,
            completion_window=wanted.completion_window,
            metadata=wanted.metadata or {},
            output_keep_seconds=seconds,
            notify=tuple(wanted.notify or ()),
            owner=auth.seen_owner(),
        ),
        fence=headers.fence(body),
    )
    return batch_object(record, current_services())


@blueprint.get("/v1/batches")
@described(query=PAGING)
def list_batches() -> dict[str, Any]:
    """OpenAI's list, newest first: `?limit=&after=`."""
    size = params.limit()
    found = current_services().batches.newest(limit=size + 1, after=request.args.get("after"), owner=auth.seen_owner())
    return params.page([batch_object(record, current_services(), is_listed=True) for record in found], size)


@blueprint.get("/v1/batches/<batch_id>")
def get_batch(batch_id: str) -> dict[str, Any]:
    """The batch object; 404 `batch_not_found`."""
    return batch_object(current_services().batches.require(batch_id, auth.seen_owner()), current_services())


@blueprint.post("/v1/batches/<batch_id>/cancel")
@described(errors=(409,))
def cancel_batch(batch_id: str) -> dict[str, Any]:
    """The batch object, cancelling; what is done stays. 409 for one that has ended otherwise."""
    return batch_object(current_services().batches.cancel(batch_id, auth.seen_owner()), current_services())


class ContinueBatch(BaseModel):
    """`POST /v1/batches/{id}/continue`; what is left out stays."""

    model_config = ConfigDict(strict=True, extra="forbid")

    way: str | None = None
    #: US dollars
    max_cost: Annotated[float, Field(gt=0, le=1e12)] | None = None
    max_tokens: Annotated[int, Field(gt=0, le=10**12)] | None = None
    #: of a subscription's usage window, such as `30%five_hour`
    max_share: str | None = None


@blueprint.post("/v1/batches/<batch_id>/continue")
@described(body=ContinueBatch, body_is_optional=True, errors=(409,))
def continue_batch(batch_id: str) -> dict[str, Any]:
    """The batch object, running: its lines were tried, or its budget was used up. 409 for one that is not held."""
    batches = current_services().batches
    batches.require(batch_id, auth.seen_owner())
    body = params.read_body()
    sent = params.checked(ContinueBatch, body) if body else ContinueBatch()
    after = batches.go_on(
        batch_id,
        auth.seen_owner(),
        way=sent.way,
        max_cost_usd=sent.max_cost,
        max_tokens=sent.max_tokens,
        max_share=sent.max_share,
    )
    return batch_object(after, current_services())


@blueprint.post("/v1/batches/<batch_id>/retry_failed")
@described(headers=headers.IDEMPOTENCY, errors=(409, 429))
def retry_failed(batch_id: str) -> dict[str, Any]:
    """A new batch of what is in the error file; `metadata.retry_of` names the old one. 409 when nothing failed."""
    services = current_services()
    fence = headers.fence(params.read_body())
    made = retry.retry_failed(services.batches, services.settings, batch_id, owner=auth.seen_owner(), fence=fence)
    return batch_object(made, services)


@blueprint.get("/v1/batches/<batch_id>/output")
@described(query={"errors": {"enum": ["true", "false"]}}, answers={200: ("application/jsonl",)})
def get_output(batch_id: str) -> Response:
    """The output so far, whole lines, in the order in which they ended; `?errors=true`: the error file so far."""
    record = current_services().batches.require(batch_id, auth.seen_owner())
    what = "errors" if params.choice("errors", ("true", "false")) == "true" else "output"
    _, size = current_services().batches.stored(record, what)
    if not size:
        return Response(b"", mimetype="application/jsonl", headers={"Content-Length": "0"})
    return file_so_far(record, what, gone="The batch's output was deleted.")


def file_so_far(record: BatchRecord, what: str, *, gone: str) -> Response:
    """What counts of a batch's `input`, `output` or `errors`. Raises `ErrorReply`: 503 where another storage has it, 404 (`gone`)."""
    batches = current_services().batches
    name, size = batches.stored(record, what)
    try:
        file = batches.storage.open(name)
    except FileNotFoundError as error:
        if not batches.files.is_here(record.place):
            raise errors.files_elsewhere(record.id, batches.storage.where) from error
        raise errors.not_found(gone, code=ErrorCode.FILE_NOT_FOUND) from error
    return Response(pieces(file, size), mimetype="application/jsonl", headers={"Content-Length": str(size)})
