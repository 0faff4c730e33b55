"""The one module that shapes error answers: whatever goes wrong, a client reads OpenAI's four keys."""

from __future__ import annotations

import errno
import logging
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from flask import Flask, Response, g, has_app_context, jsonify, request
from gunicorn.http.errors import NoMoreData, ParseException
from pydantic import ValidationError
from werkzeug.exceptions import HTTPException, MethodNotAllowed, RequestEntityTooLarge

from api import auth
from api.client_socket import SlowClientError
from app import errors
from app.batches.storage import FilesAltered, StorageError
from app.connection import AWAY, CannotSaveError, OutOfMemoryError, ReadOnlyError, TooFewReplicasError
from app.durability import NotReplicatedError
from app.error_codes import ErrorCode, known
from app.errors import ErrorReply
from app.openai.faults import from_validation

if TYPE_CHECKING:
    from collections.abc import Mapping

    from app.settings import Settings

log = logging.getLogger(__name__)

#: why Redis takes no writes: the error's code, its words, and the advice when to come back, seconds
_REFUSALS = MappingProxyType(
    {
        OutOfMemoryError: (ErrorCode.REDIS_FULL, "its memory is full (maxmemory)", errors.FULL_RETRY_SECONDS),
        CannotSaveError: (ErrorCode.REDIS_CANNOT_SAVE, "it can't write to its disk", errors.FULL_RETRY_SECONDS),
        ReadOnlyError: (ErrorCode.REDIS_READ_ONLY, "it follows another server", errors.AWAY_RETRY_SECONDS),
        NotReplicatedError: (
            ErrorCode.REDIS_NOT_REPLICATED,
            "its replicas did not have the request in time (NIGHTSHIFT_WAIT_REPLICAS)",
            errors.AWAY_RETRY_SECONDS,
        ),
        TooFewReplicasError: (
            ErrorCode.REDIS_NOT_REPLICATED,
            "too few replicas follow it (min-replicas-to-write)",
            errors.AWAY_RETRY_SECONDS,
        ),
    }
)
#: what reading a body may end with
_CONNECTION: Mapping[type[Exception], ErrorReply] = MappingProxyType(
    {
        SlowClientError: errors.ErrorReply(
            408,
            "The body came too slowly: send 16 KiB a second, after the first ten seconds.",
            code=ErrorCode.REQUEST_TIMEOUT,
        ),
        ParseException: errors.invalid_request("The request is not valid HTTP/1.1.", code=ErrorCode.INVALID_HTTP),
        NoMoreData: errors.client_left(),
    }
)
#: paths of OpenAI's that are not served, and why. Without these, some would be taken for an id of what is
_NOT_SERVED: Mapping[str, str] = MappingProxyType(
    {
        "/v1/responses/input_tokens": "Tokens are not counted here before Claude reads them: 'usage' of the answer has their number.",
        "/v1/responses/compact": "Conversations are not compacted here: send a shorter one, or a summary that you have asked for.",
        "/v1/embeddings": "Claude makes no embeddings.",
    }
)
#: the disk, the quota, the largest file
_NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


def register(app: Flask, settings: Settings) -> None:
    """Give the application its error handlers."""
    app.register_error_handler(ErrorReply, answer)
    app.register_error_handler(ValidationError, lambda error: answer(from_validation(error)))
    app.register_error_handler(HTTPException, lambda error: _http(error, settings))
    for away in AWAY:
        app.register_error_handler(away, lambda error: answer(redis_trouble(error)))
    app.register_error_handler(StorageError, _storage)
    for kind, reply in _CONNECTION.items():
        app.register_error_handler(kind, lambda _, reply=reply: answer(reply))
    app.register_error_handler(Exception, _unexpected)


def answer(error: ErrorReply) -> Response:
    """The response that a client gets for this error."""
    response = jsonify(error.body())
    response.status_code = error.status
    response.headers.update(error.headers())
    if error.status == 401:
        # A browser asks for the key only if this header says so.
        scheme = "Basic" if auth.is_page(request.path) else "Bearer"
        response.headers["WWW-Authenticate"] = f'{scheme} realm="Nightshift"'
    return response


def _http(error: HTTPException, settings: Settings) -> Response:
    """What Flask itself refused: an unknown path, a wrong method, too large a body."""
    if isinstance(error, RequestEntityTooLarge):
        return answer(
            ErrorReply(
                413,
                f"The request's body is larger than {settings.max_body_bytes} bytes (NIGHTSHIFT_MAX_BODY_BYTES).",
                code=ErrorCode.REQUEST_TOO_LARGE,
            )
        )
    status = error.code or 500
    if 300 <= status < 400:
        return Response(status=status, headers=dict(error.get_headers()))
    headers: dict[str, Any] = {}
    if why := _NOT_SERVED.get(request.path):
        reply = errors.not_found(why, code=ErrorCode.UNKNOWN_URL)
    elif isinstance(error, MethodNotAllowed):
        allowed = ", ".join(sorted(error.valid_methods or ()))
        headers["Allow"] = allowed
        reply = ErrorReply(
            405, f"{request.method} is not allowed here; allowed: {allowed}.", code=ErrorCode.METHOD_NOT_ALLOWED
        )
    elif status == 404:
        reply = errors.not_found(
            f"Invalid URL ({request.method} {request.path}). GET / names what there is.", code=ErrorCode.UNKNOWN_URL
        )
    elif status >= 500:
        return _unexpected(error)
    else:
        reply = ErrorReply(
            status,
            error.description or error.name,
            code=known(error.name.lower().replace(" ", "_")) or ErrorCode.BAD_REQUEST,
        )
    response = answer(reply)
    response.headers.update(headers)
    return response


def redis_trouble(error: Exception) -> ErrorReply:
    """What a client gets for one of `AWAY`."""
    log.warning("[REDIS] %s: %s", type(error).__name__, error, extra=_request())
    for kind, words in _REFUSALS.items():
        if isinstance(error, kind):
            return errors.queue_refuses(*words)
    return errors.queue_away()


def is_no_room(error: BaseException) -> bool:
    """Whether the system refused to write because there is no room."""
    return isinstance(error, OSError) and error.errno in _NO_ROOM


def _storage(error: StorageError) -> Response:
    log.error("[STORAGE] %s", error.strerror or error, extra=_request())
    if is_no_room(error):
        return answer(errors.storage_full())
    why = error.strerror or str(error)
    return answer(errors.files_altered(why) if isinstance(error, FilesAltered) else errors.storage_unavailable(why))


def _unexpected(error: Exception) -> Response:
    if is_no_room(error):
        log.error("[DISK] %s", error, extra=_request())
        return answer(errors.storage_full())
    log.error("[INTERNAL] %s", type(error).__name__, exc_info=error, extra=_request())
    return answer(errors.internal())


def _request() -> dict[str, str | None]:
    # A stream is written outside of its request.
    return {"request_id": g.get("request_id") if has_app_context() else None}
