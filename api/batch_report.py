"""The morning report: `/batches/{id}` for people, `/v1/batches/{id}/report` for programs, and the files that the page links to.

The page of a batch that has ended runs no script and loads nothing: it can be saved, mailed and opened as it is. Before that a script
keeps it as the server would draw it now, wherever it is not to be read away from this server.
"""

from __future__ import annotations

import base64
import hashlib
from dataclasses import asdict
from functools import cache
from typing import TYPE_CHECKING, Any

from flask import Blueprint, Response, current_app, render_template, request
from markupsafe import Markup

from api import auth, figures, params, report_chart, table_results
from api.figures import Clock
from api.new_batch.making import PROMPT_FILE
from api.openai.batch_object import batch_object
from api.openai.batches import file_so_far
from api.openapi_meta import described
from api.services import current_services
from app import errors, window
from app.batches import report, waits
from app.batches.capacity import beyond_reserve
from app.batches.formats.answers import TABLE_FORMAT
from app.batches.record import OF_ACCOUNTS, Hold
from app.batches.report import examples
from app.batches.report.conditions import ways_of
from app.batches.validation import read_faults
from app.error_codes import ErrorCode

if TYPE_CHECKING:
    from app.batches.record import BatchRecord
    from app.batches.report import Report

blueprint = Blueprint("batch_report", __name__)

#: answers on one page at most
MAX_ANSWERS = 100
#: what is shown of a file's faults, and of a batch's waits before the others are folded away
_FAULTS, _WAITS = 20, 8
#: answers of a trial that are not folded
_OPEN = 10
#: width and height of the chart, for a desk and for a phone
_SHAPES = {"wide": (960, 280), "narrow": (336, 240)}
#: a batch's files, and what is in them
_FILES = {"output": "answers", "errors": "requests without an answer, and why", "input": "the requests"}
_LINKS = ("relative", "absolute")
_GONE = "There is no such file of this batch, or it was deleted."
_SPARK = {"width": 120, "height": 32}


@blueprint.get("/v1/batches/<batch_id>/report")
@described(errors=(404,))
def get_report(batch_id: str) -> dict[str, Any]:
    """The numbers. Times are seconds since the epoch, memory is MiB; 404 `batch_not_found`."""
    found = asdict(_report(current_services().batches.require(batch_id, auth.seen_owner())))
    return {"object": "batch.report", **found}


@blueprint.get("/batches/<batch_id>")
@described(
    query={
        "answers": {"type": "integer", "minimum": 0, "maximum": MAX_ANSWERS},
        "skip": {"type": "integer", "minimum": 0},
        "links": {"enum": list(_LINKS)},
    },
    answers={200: ("text/html",)},
    errors=(404,),
)
def page(batch_id: str) -> Response:
    """The page. `?answers=N&skip=M`: with N answers after the first M; `?links=absolute`: to be read away from this server."""
    services = current_services()
    record = services.batches.require(batch_id, auth.seen_owner())
    # A trial is for its answers; one that had no more lines has ended with it.
    is_trial = bool(record.held) or 0 < record.total <= record.tried
    shown = min(record.tried, MAX_ANSWERS) if is_trial else 0
    # Those that were tried are shown, not the ones before them, which were copied.
    first = record.copied if shown else 0
    most, skip = params.number("answers", shown, 0, MAX_ANSWERS), params.number("skip", first, 0, 10**9)
    found = _report(record)
    is_here = params.choice("links", _LINKS) != "absolute"
    has_buttons = bool(record.held) and is_here
    # What changes yet is followed by a script; a page of what has ended has none, to be saved and mailed.
    is_live = is_here and not record.status.is_final
    # The script may bring the buttons. Forms tell where they come from; with `no-referrer` they would not.
    has_forms = has_buttons or is_live
    referrer = "same-origin" if has_forms else "no-referrer"
    style, policy = _style(has_forms=has_forms, is_live=is_live)
    clock = _clock(record, found)
    base = "/" if is_here else request.url_root
    response = Response(
        render_template(
            "batch_report.html",
            report=found,
            clock=clock,
            figures=figures,
            causes=report_chart.CAUSES,
            why_waits=waits.clause,
            letters=report_chart.letters(found.waits),
            charts=[report_chart.throughput(found, clock, name, size) for name, size in _SHAPES.items()],
            sparks=_sparks(found),
            spark_shape=_SPARK,
            shown_waits=_WAITS,
            now=batch_object(record, services, is_listed=True)["nightshift"],
            faults=read_faults(services.batches.storage, record.id, _FAULTS) if found.faults else [],
            files=_files(record),
            table=_table(record),
            home=request.url_root if is_here and auth.is_operator() else None,
            r_tried=record.tried,
            is_trying=0 < record.tried < record.total and not record.held and record.continued_at is None,
            prompt_url=_prompt_url(record) if has_buttons else None,
            answers=examples.answers(services.batches.storage, record, skip=skip, most=most) if most else [],
            has_buttons=has_buttons,
            referrer=referrer,
            is_live=is_live,
            can_continue=record.held not in OF_ACCOUNTS,
            are_open=is_trial and 0 < most <= _OPEN,
            most=most,
            skip=skip,
            url=f"{base}batches/{record.id}",
            style=style,
            policy=policy,
        )
    )
    response.headers["Content-Security-Policy"] = f"{policy}; frame-ancestors 'none'"
    response.headers["Referrer-Policy"] = referrer
    response.headers["Cache-Control"] = "no-store"
    return response


@blueprint.post("/batches/<batch_id>/continue")
@described(answers={303: ()}, errors=(404, 409))
def continue_batch(batch_id: str) -> Response:
    """The button of a held batch's page: it goes on. Only from that page; programs use `/v1/batches/{id}/continue`."""
    auth.require_same_origin()
    current_services().batches.go_on(batch_id, auth.seen_owner())
    return Response(status=303, headers={"Location": f"/batches/{batch_id}"})


@blueprint.post("/batches/<batch_id>/cancel")
@described(answers={303: ()}, errors=(404, 409))
def cancel_batch(batch_id: str) -> Response:
    """The other button: it is cancelled. Only from that page."""
    auth.require_same_origin()
    current_services().batches.cancel(batch_id, auth.seen_owner())
    return Response(status=303, headers={"Location": f"/batches/{batch_id}"})


@blueprint.get("/batches/<batch_id>/<name>")
@described(answers={200: ("application/jsonl",)}, errors=(404,))
def download(batch_id: str, name: str) -> Response:
    """`input`, `output` or `errors` of a batch, for a browser; what there is so far. 404 when it was deleted."""
    record = current_services().batches.require(batch_id, auth.seen_owner())
    if name not in _FILES:
        raise errors.not_found(_GONE, code=ErrorCode.FILE_NOT_FOUND)
    response = file_so_far(record, name, gone=_GONE)
    response.headers["Content-Disposition"] = f'attachment; filename="{record.id}_{name}.jsonl"'
    return response


def _report(record: BatchRecord) -> Report:
    services = current_services()
    settings = services.settings
    given = report.Given(
        batch_window=settings.batch_window,
        ways=ways_of(record, settings),
        workers=beyond_reserve(services.connection, settings),
    )
    return report.of_batch(services.connection, services.batches.storage, record, given)


def _files(record: BatchRecord) -> list[tuple[str, str, int]]:
    """Name, meaning and bytes of those that there are."""
    batches = current_services().batches
    stored = {what: batches.stored(record, what) for what in _FILES}
    return [
        (what, _FILES[what], size)
        for what, (name, size) in stored.items()
        if size and batches.storage.size(name) is not None
    ]


def _table(record: BatchRecord) -> str | None:
    """The name of the table with its answers, for a batch that was made from one."""
    source = table_results.source_of(record)
    if source is None or not (record.output_bytes or record.error_bytes):
        return None
    return table_results.name_of(source, record.metadata[TABLE_FORMAT])


def _prompt_url(record: BatchRecord) -> str | None:
    """Where the prompt of a batch that is tried can be changed, if it was written there."""
    if record.held != Hold.TRIED or PROMPT_FILE not in record.metadata:
        return None
    source = table_results.source_of(record)
    return None if source is None else f"/batches/new/{source.id}?instead_of={record.id}"


def _clock(record: BatchRecord, found: Report) -> Clock:
    """Of the batch's window, which names a place; else this machine's."""
    hours = record.window or current_services().settings.batch_window
    return Clock(window.parse(hours).zone if hours else None, found.curve.since, found.curve.until)


def _sparks(found: Report) -> dict[str, report_chart.Spark]:
    highest = max((worker.peak_mb or 0.0 for worker in found.workers), default=0.0)
    return {
        worker.name: report_chart.spark(worker.memory, found, highest, **_SPARK)
        for worker in found.workers
        if worker.memory
    }


@cache
def _style(*, has_forms: bool, is_live: bool) -> tuple[Markup, str]:
    """The page's style sheet, and the policy that lets in this one and nothing else; but our own forms and script where it has them."""
    forms = "'self'" if has_forms else "'none'"
    script = "; script-src 'self'; connect-src 'self'" if is_live else ""
    source, _, _ = current_app.jinja_env.loader.get_source(current_app.jinja_env, "batch_report.css")  # type: ignore[union-attr]
    digest = base64.b64encode(hashlib.sha256(source.encode()).digest()).decode()
    policy = (
        f"default-src 'none'; style-src 'sha256-{digest}'; img-src data:; base-uri 'none'; form-action {forms}{script}"
    )
    return Markup(source), policy  # noqa: S704 - our own file
