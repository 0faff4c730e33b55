"""The ASGI application: which path is answered by what, with every call of the API in the log."""

import asyncio
import time

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Mount, Route
from starlette.types import ASGIApp, Receive, Scope, Send

from simulator import catalog, control
from simulator.batches import BatchesApi
from simulator.delivery import deliver
from simulator.errors import ApiError, error_object
from simulator.messages import MessagesApi, error_script, new_request_id
from simulator.reading import header_dict, path_of, read_body
from simulator.request_log import Entry, RequestLog
from simulator.rules import Rule
from simulator.script import Script
from simulator.settings import MAX_BODY_BYTES, Settings


def create_app(settings: Settings | None = None, rules: list[Rule] | None = None) -> ASGIApp:
    """Return the simulator as an ASGI application, with ``rules`` in force."""
    settings = settings or Settings()
    api = MessagesApi(settings)
    api.rules.add(rules or [])
    log = RequestLog(settings.log_bytes, settings.log_file)
    batches = BatchesApi(api, log)
    return Starlette(
        routes=[
            Route("/v1/messages", _Logged(api, log)),
            Route("/v1/messages/count_tokens", _Logged(api, log)),
            Route("/v1/messages/batches", batches),
            Route("/v1/messages/batches/{rest:path}", batches),
            Route("/v1/models", catalog.list_models),
            Route("/v1/models/{model_id}", catalog.get_model),
            Route("/", _root, methods=["GET", "HEAD"]),
            Mount("/_control", routes=control.routes(api.rules, log)),
        ],
        exception_handlers={404: _not_found, 405: _method_not_allowed},
    )


class _Logged:
    """The two endpoints that take a prompt."""

    def __init__(self, api: MessagesApi, log: RequestLog) -> None:
        self._api = api
        self._log = log

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["method"] != "POST":
            await _other_method(scope["method"])(scope, receive, send)
            return
        headers = header_dict(scope)
        raw_body = await read_body(receive, MAX_BODY_BYTES)
        if raw_body is None:
            return
        started = asyncio.get_running_loop().time()
        entry = self._log.begin(scope["method"], path_of(scope), headers, raw_body)
        try:
            script = self._script(scope["path"], headers, raw_body, entry)
            entry.client_gone = not await deliver(script, receive, send, started, lambda: self._is_in_force(entry.rule))
        finally:
            self._log.end(entry)

    def _is_in_force(self, rule_id: int | None) -> bool:
        return rule_id is not None and self._api.rules.has(rule_id)

    def _script(self, path: str, headers: dict[str, str], raw_body: bytes, entry: Entry) -> Script:
        if len(raw_body) > MAX_BODY_BYTES:
            error = ApiError(413, "Request exceeds the maximum size")
            return error_script(error, new_request_id(), entry)
        if path.endswith("/count_tokens"):
            return self._api.count_tokens(raw_body, entry)
        return self._api.create_message(headers, raw_body, entry)


def _other_method(method: str) -> Response:
    allow = {"allow": "POST, OPTIONS"}
    if method == "OPTIONS":
        return Response(status_code=204, headers=allow)
    return JSONResponse(error_object("invalid_request_error", "Method Not Allowed"), 405, allow)


async def _root(_request: Request) -> Response:
    return JSONResponse({"service": "simulated Anthropic Messages API", "time": int(time.time())})


async def _not_found(request: Request, _error: Exception) -> Response:
    request_id = new_request_id()
    body = error_object("not_found_error", f"Not found: {request.url.path}", request_id)
    return JSONResponse(body, 404, {"request-id": request_id})


async def _method_not_allowed(_request: Request, _error: Exception) -> Response:
    request_id = new_request_id()
    body = error_object("invalid_request_error", "Method Not Allowed", request_id)
    return JSONResponse(body, 405, {"request-id": request_id})
