"""rq-dashboard under `/rq/`, for looking only, its holes mended.

rq-dashboard 0.9.0 keeps what it works with in its module's globals; the mends replace those, and say what was wrong:

- it reads workers and jobs with pickle, ours are JSON: `workers.json` is a 500 while a job runs;
- its numbered pages open a new connection pool at each request;
- page N of a list returns N pages' worth of jobs;
- it writes what jobs carry into the page as HTML (rq-dashboard#526): our templates escape, and a Content Security
  Policy runs no script but the page's own;
- it changes state without protection against requests of other sites, one of them by GET: here it changes nothing;
- RQ raises the socket timeout of whichever client it lists workers by, to 415 seconds: it has a client of its own.
"""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING, Any, cast

from flask import Flask, Response, current_app, g, request
from rq import Queue, Worker
from rq.exceptions import NoSuchJobError
from rq.job import Job
from rq.serializers import JSONSerializer
from rq_dashboard import web

from app import errors
from app.connection import connect
from app.error_codes import ErrorCode
from app.errors import ErrorReply

if TYPE_CHECKING:
    from collections.abc import Callable

    from redis import Redis
    from rq.registry import BaseRegistry

MAX_PER_PAGE = 200
_REGISTRIES = {
    "failed": web.FailedJobRegistry,
    "deferred": web.DeferredJobRegistry,
    "started": web.StartedJobRegistry,
    "finished": web.FinishedJobRegistry,
    "scheduled": web.ScheduledJobRegistry,
    "canceled": web.CanceledJobRegistry,
}


class JsonWorker(Worker):
    """A worker whose present job is read as JSON."""

    @classmethod
    def all(cls, connection: Redis | None = None, **options: Any) -> list[Any]:  # type: ignore[override]
        """All registered workers."""
        return super().all(connection=connection, **{"serializer": JSONSerializer, **options})


class JsonJob(Job):
    """A job that is read as JSON."""

    @classmethod
    def fetch(cls, id: str, connection: Redis | None = None, serializer: Any = None) -> Job:  # noqa: A002 - RQ's name
        """The job. Raises `NoSuchJobError`."""
        del serializer
        return super().fetch(id, connection=connection, serializer=JSONSerializer)


def register(app: Flask, redis_url: str) -> None:
    """Add the dashboard to the application, with a client of its own."""
    web.config.serializer = JSONSerializer
    web.Worker = JsonWorker
    web.Job = JsonJob
    web.get_queue_registry_jobs_count = list_jobs
    web.from_url = lambda *_, **__: (None, cast("Any", current_app).redis_conn)
    app.redis_conn = connect(redis_url)  # type: ignore[attr-defined]  # where rq-dashboard looks for it
    app.config["RQ_DASHBOARD_REDIS_URL"] = ("Redis",)
    app.config["RQ_DASHBOARD_DISABLE_DELETE"] = True
    # Before rq-dashboard's own, and for its pages only.
    name = str(web.blueprint.name)
    app.before_request_funcs.setdefault(name, []).append(_check)
    app.after_request_funcs.setdefault(name, []).append(_protect)
    app.context_processor(lambda: {"csp_nonce": _nonce()})
    app.register_error_handler(NoSuchJobError, _gone)
    app.register_blueprint(web.blueprint, url_prefix="/rq")


def list_jobs(  # noqa: PLR0917 - rq-dashboard's signature
    queue_name: str, registry_name: str, offset: int, per_page: int, order: str, connection: Redis
) -> tuple[int, list[dict[str, Any]]]:
    """How many jobs there are, and one page of them."""
    queue = Queue(queue_name, connection=connection, serializer=JSONSerializer)
    registry: BaseRegistry | None = None
    if registry_name != "queued":
        registry = _REGISTRIES[registry_name](queue_name, connection=connection, serializer=JSONSerializer)
    total = queue.count if registry is None else registry.get_job_count(cleanup=False)
    start = offset if order == "asc" else max(0, total - offset - per_page)
    size = per_page if order == "asc" else max(0, min(per_page, total - offset))
    if size == 0:
        return total, []
    if registry is None:
        job_ids = queue.get_job_ids(start, size)
    else:
        job_ids = registry.get_job_ids(start, start + size - 1, cleanup=False)
    if order == "dsc":
        job_ids.reverse()
    jobs = Job.fetch_many(job_ids, connection=connection, serializer=JSONSerializer)
    return total, [web.serialize_job(job) for job in jobs if job is not None]


def _check() -> None:
    """Refuse what changes state, and what would only fail or take for ever."""
    endpoint = (request.endpoint or "").rpartition(".")[2]
    if request.method not in ("GET", "HEAD") or endpoint == "requeue_all":
        raise ErrorReply(
            403,
            "The dashboard is for looking only. POST /v1/jobs/{id}/cancel cancels a job.",
            code=ErrorCode.DASHBOARD_READ_ONLY,
        )
    given: dict[str, Any] = request.view_args or {}
    if given.get("instance_number", 0) != 0:
        raise errors.not_found("There is one instance, 0.", code=ErrorCode.UNKNOWN_URL)
    allowed: dict[str, Callable[[str], bool]] = {
        "per_page": lambda text: _is_between(text, 1, MAX_PER_PAGE),
        "page": lambda text: _is_between(text, 1, 10**9),
        "order": lambda text: text in ("asc", "dsc"),
        "registry_name": lambda text: text == "queued" or text in _REGISTRIES,
    }
    for name, is_allowed in allowed.items():
        if name in given and not is_allowed(str(given[name])):
            raise errors.not_found(f"There is no such page: '{name}' is not understood.", code=ErrorCode.UNKNOWN_URL)


def _is_between(text: str, low: int, high: int) -> bool:
    return text.isascii() and text.isdigit() and len(text) < 12 and low <= int(text) <= high


def _nonce() -> str:
    if "csp_nonce" not in g:
        g.csp_nonce = secrets.token_urlsafe(16)
    return str(g.csp_nonce)


def _protect(response: Response) -> Response:
    # 'unsafe-eval': its underscore templates are compiled with `new Function`.
    response.headers["Content-Security-Policy"] = (
        f"default-src 'none'; script-src 'self' 'nonce-{_nonce()}' 'unsafe-eval'; style-src 'self' 'unsafe-inline';"
        " img-src 'self' data:; font-src 'self'; connect-src 'self'; base-uri 'none'; form-action 'none';"
        " frame-ancestors 'none'"
    )
    return response


def _gone(error: NoSuchJobError) -> Any:
    del error
    return errors.not_found("There is no such job (any more).", code=ErrorCode.JOB_NOT_FOUND).body(), 404
