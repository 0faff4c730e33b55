"""`GET /v1/usage`: what each key used, by day and model; as JSON, or as CSV for a spreadsheet."""

from __future__ import annotations

import csv
import io
from datetime import date, timedelta
from typing import TYPE_CHECKING, Any

from flask import Blueprint, Response, jsonify, request

from api import auth, params
from api.openapi_meta import JSON, described
from api.services import current_services
from app import clock, errors, usage
from app.error_codes import ErrorCode

if TYPE_CHECKING:
    from app.usage import Row

blueprint = Blueprint("usage", __name__)

_CSV = "text/csv"
#: what is shown when nobody says from when on, days
_DAYS = 30
_DAY = {"type": "string", "format": "date"}


@blueprint.get("/v1/usage")
@described(
    query={"from": _DAY, "to": _DAY, "key": {"type": "string"}, "format": {"enum": ["json", "csv"]}},
    answers={200: (JSON, _CSV)},
)
def get_usage() -> Response:
    """Rows by day (UTC), key and model: `?from=2026-11-01&to=2026-11-30&key=NAME&format=csv`; the last 30 days if nobody says.

    A key with a name sees its own. `key` is `default` for requests of no named key. `cost_usd` is of the answers whose cost is known;
    `unpriced` counts the others.
    """
    today = usage.day_of(clock.now())
    last = _day("to") or today
    # There is no day before the year 1.
    first = _day("from") or date.fromordinal(max(1, last.toordinal() - _DAYS + 1))
    if not timedelta(0) <= last - first < timedelta(days=usage.KEEP_DAYS):
        raise errors.invalid_request(
            f"'from' and 'to' take days in this order, at most {usage.KEEP_DAYS} in all.",
            "from",
            ErrorCode.INVALID_VALUE,
        )
    owner = auth.seen_owner() or request.args.get("key")
    rows = [_row(row) for row in usage.read(current_services().connection, first, last, owner)]
    if params.choice("format", ("json", "csv")) != "csv":
        return jsonify({"object": "list", "from": first.isoformat(), "to": last.isoformat(), "data": rows})
    return Response(_as_csv(rows), mimetype=_CSV)


def _row(row: Row) -> dict[str, Any]:
    used = row.used
    is_known = used.unpriced < used.requests - used.failed or used.cost_micros > 0
    return {
        "day": row.day.isoformat(),
        "key": row.owner,
        "model": row.model,
        "requests": used.requests,
        "failed": used.failed,
        "input_tokens": used.input_tokens,
        "cached_tokens": used.cached_tokens,
        "output_tokens": used.output_tokens,
        "cost_usd": used.cost_micros / 1_000_000 if is_known else None,
        "unpriced": used.unpriced,
    }


_COLUMNS = (
    "day",
    "key",
    "model",
    "requests",
    "failed",
    "input_tokens",
    "cached_tokens",
    "output_tokens",
    "cost_usd",
    "unpriced",
)


def _as_csv(rows: list[dict[str, Any]]) -> str:
    file = io.StringIO()
    writer = csv.DictWriter(file, _COLUMNS)
    writer.writeheader()
    writer.writerows(rows)
    return file.getvalue()


def _day(name: str) -> date | None:
    """The query's day. Raises `ErrorReply` (400)."""
    sent = request.args.get(name)
    try:
        return None if sent is None else date.fromisoformat(sent)
    except ValueError as error:
        raise errors.invalid_request(
            f"'{name}' takes a day (UTC) such as 2026-11-28.", param=name, code=ErrorCode.INVALID_VALUE
        ) from error
