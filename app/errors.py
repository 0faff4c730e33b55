"""The errors a client can get, in OpenAI's shape: `{"error": {message, type, param, code}}`.

Source of the format: OpenAI's API reference and what `openai-python` reads. One class; the functions below are the
catalogue, one per cause, so that the same cause has the same words wherever it is found.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any

from app import error_codes
from app.error_codes import Code, ErrorCode, ErrorType

if TYPE_CHECKING:
    from collections.abc import Iterable

    from app.budgets import Standing

#: advice to a client while Redis is away, and while there is no room for what it sends, seconds
AWAY_RETRY_SECONDS = 2.0
FULL_RETRY_SECONDS = 30.0
#: the same while a login does not work, seconds
LOGIN_RETRY_SECONDS = 60.0
#: advice to a client that has met a machine without the files it asks for, seconds
FILES_RETRY_SECONDS = 5.0


@dataclass(eq=True, unsafe_hash=True)
class ErrorReply(Exception):
    """An error as a client gets it. Raised in the API, stored as the outcome of a job that failed.

    Never changed, but not frozen: whoever raises an exception sets its traceback.
    """

    status: int
    message: str
    type: ErrorType = ErrorType.INVALID_REQUEST
    param: str | None = None
    code: Code | None = None
    #: seconds the client should wait before it tries again; None: no advice
    retry_after: float | None = None
    #: whether the same request may succeed later; sent as `x-should-retry`
    should_retry: bool = False

    def __str__(self) -> str:
        return self.message

    def body(self) -> dict[str, Any]:
        """The JSON body: `{"error": {"message", "type", "param", "code"}}`, all four keys always there."""
        return {"error": {"message": self.message, "type": self.type, "param": self.param, "code": self.code}}

    def headers(self) -> dict[str, str]:
        """`x-should-retry`, and `Retry-After` in whole seconds where there is advice."""
        found = {"x-should-retry": "true" if self.should_retry else "false"}
        if self.retry_after is not None:
            found["Retry-After"] = str(max(1, math.ceil(self.retry_after)))
        return found

    @property
    def cause(self) -> Code:
        """What it is counted, listed and logged as."""
        return self.code or self.type

    def to_dict(self) -> dict[str, Any]:
        """All fields as JSON-able data, for `from_dict`."""
        return asdict(self)

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> ErrorReply:
        """The inverse of `to_dict`. Unknown keys are refused with `TypeError`; a code that only newer code knows stays as it is."""
        known = {name: error_codes.known(data.get(name)) or data.get(name) for name in ("type", "code")}
        return cls(**{**data, **known})

    def at(self, param: str) -> ErrorReply:
        """The same error, naming the request's field it is about."""
        return replace(self, param=param)


def invalid_request(message: str, param: str | None = None, code: Code | None = None) -> ErrorReply:
    """The caller's mistake; the message says what to do."""
    return ErrorReply(400, message, param=param, code=code)


def invalid_value(param: str, reason: str) -> ErrorReply:
    """A 400 that names the place. `reason` goes on from `Invalid '...': ` and has no full stop."""
    return invalid_request(f"Invalid '{param}': {reason}.", param, ErrorCode.INVALID_VALUE)


def unauthorized() -> ErrorReply:
    """No key or a wrong one for this gateway (not Claude's login: that is `login_required`)."""
    return ErrorReply(
        401,
        "Incorrect API key provided. Send one of this server's keys (NIGHTSHIFT_API_KEYS) as 'Authorization: Bearer KEY'.",
        code=ErrorCode.INVALID_API_KEY,
    )


def key_ended(*, is_revoked: bool) -> ErrorReply:
    """The key was one of ours."""
    what = "was revoked" if is_revoked else "has expired"
    return ErrorReply(
        401, f"This API key {what}. Ask whoever runs this server for a new one.", code=ErrorCode.INVALID_API_KEY
    )


def not_found(message: str, code: Code | None = None, param: str | None = None) -> ErrorReply:
    """There is no such path, job or file."""
    return ErrorReply(404, message, code=code, param=param)


def model_not_found(model: str) -> ErrorReply:
    """OpenAI's own code for an unknown model."""
    return ErrorReply(
        404,
        f"The model '{model}' does not exist here. GET /v1/models lists what does; NIGHTSHIFT_MODEL_MAP adds names,"
        " NIGHTSHIFT_DEFAULT_MODEL answers for all others.",
        param="model",
        code=ErrorCode.MODEL_NOT_FOUND,
    )


def conflict(message: str, code: ErrorCode) -> ErrorReply:
    """The request contradicts an earlier one, or comes too late."""
    return ErrorReply(409, message, code=code)


def model_not_allowed(model: str, allowed: Iterable[str]) -> ErrorReply:
    """The key may ask other models only. The code is OpenAI's for a project that has no access."""
    return ErrorReply(
        403,
        f"This API key may not use the model '{model}'. It may use: {', '.join(allowed)}.",
        param="model",
        code=ErrorCode.MODEL_NOT_FOUND,
    )


def rate_limited(message: str, code: ErrorCode, retry_after: float) -> ErrorReply:
    """Too much at once, or Claude's usage limit: the same request will pass later."""
    return ErrorReply(429, message, ErrorType.RATE_LIMIT, code=code, retry_after=retry_after, should_retry=True)


def insufficient_quota(name: str, used_up: Standing, budget: str) -> ErrorReply:
    """A key's budget is used up. Nothing but time or the operator changes that, so clients are not to try again; type and code are OpenAI's."""
    change = f"'nightshift keys change {name} --budget"
    advice = (
        f"Whoever runs this server lets tokens count instead: {change} {budget},AMOUNTtokens/{used_up.budget.period}'."
        if used_up.is_unpriced
        else f"Whoever runs this server raises it: {change} AMOUNT/{used_up.budget.period}'."
    )
    return ErrorReply(
        429,
        f"This API key {used_up.in_words}. The budget begins anew at {used_up.resets}. {advice}",
        ErrorType.INSUFFICIENT_QUOTA,
        code=ErrorCode.INSUFFICIENT_QUOTA,
    )


def unavailable(message: str, code: ErrorCode, retry_after: float) -> ErrorReply:
    """Something we depend on is away: Redis, every worker, the login."""
    return ErrorReply(503, message, ErrorType.SERVER, code=code, retry_after=retry_after, should_retry=True)


def login_required(reason: str) -> ErrorReply:
    """Claude's login does not work. Somebody has to mend it, so clients are not asked to try again at once."""
    return ErrorReply(
        503,
        f"Claude's login does not work ({reason}). What waits goes on by itself when it does; 'nightshift doctor' says what to do.",
        ErrorType.SERVER,
        code=ErrorCode.LOGIN_REQUIRED,
        retry_after=LOGIN_RETRY_SECONDS,
    )


def files_elsewhere(what: str, where: str) -> ErrorReply:
    """Another machine has them: whoever shares its directory can serve this."""
    message = (
        f"The bytes of {what} are not on this machine. They are {where}: ask the API there, or give all machines one"
        " storage (docs/machines.md)."
    )
    return unavailable(message, ErrorCode.FILES_ELSEWHERE, FILES_RETRY_SECONDS)


def files_gone(what: str, where: str) -> ErrorReply:
    """They were here, and somebody has removed them."""
    return ErrorReply(404, f"The bytes of {what} are gone from {where}.", param="id", code=ErrorCode.FILE_NOT_FOUND)


def queue_away() -> ErrorReply:
    """Redis does not answer, or loads its data."""
    return unavailable("The queue (Redis) is away. Try again.", ErrorCode.REDIS_UNAVAILABLE, AWAY_RETRY_SECONDS)


def queue_refuses(code: ErrorCode, why: str, retry_after: float) -> ErrorReply:
    """Redis answers and takes nothing new: `why` ends the sentence."""
    return unavailable(f"The queue (Redis) takes nothing new: {why}. Try again later.", code, retry_after)


def storage_full() -> ErrorReply:
    """The disk under the data dir takes no more."""
    return unavailable("The server's disk is full. Try again later.", ErrorCode.STORAGE_FULL, FULL_RETRY_SECONDS)


def storage_unavailable(why: str) -> ErrorReply:
    """The object store can't be asked, or refuses: `why` for people."""
    return unavailable(f"The files can't be used now: {why}.", ErrorCode.STORAGE_UNAVAILABLE, FILES_RETRY_SECONDS)


def files_altered(why: str) -> ErrorReply:
    """Bytes are not those that were written: asking again changes nothing."""
    return ErrorReply(500, f"The file can't be handed out: {why}.", ErrorType.SERVER, code=ErrorCode.FILES_ALTERED)


def upstream_failed(message: str, status: int = 502, code: ErrorCode = ErrorCode.UPSTREAM_ERROR) -> ErrorReply:
    """Claude failed, and all attempts are used up. Clients are asked not to start over."""
    return ErrorReply(status, message, ErrorType.SERVER, code=code)


def result_too_large(limit: int) -> ErrorReply:
    """Claude answered more than is stored."""
    return upstream_failed(
        f"The answer is larger than {limit} bytes (NIGHTSHIFT_MAX_RESULT_BYTES). Ask for less, with 'max_tokens' or 'n'.",
        code=ErrorCode.RESULT_TOO_LARGE,
    )


def not_sent_again(reason: str) -> ErrorReply:
    """A run ended without an answer, and its client does not let it be sent to Claude once more (`max_attempts`)."""
    return upstream_failed(
        f"No answer, and 'max_attempts' does not let the request be sent to Claude again ({reason})."
        " It may have been answered there.",
        code=ErrorCode.MAX_ATTEMPTS_REACHED,
    )


def structured_output_failed(faults: str, *, is_repaired: bool = True) -> ErrorReply:
    """The model's answer does not fit the schema, nor does its second. 422, which no client tries again by itself."""
    return ErrorReply(
        422,
        f"The model's answer does not fit what was asked for{', nor did it after one repair' if is_repaired else ''}: {faults}.",
        ErrorType.SERVER,
        code=ErrorCode.STRUCTURED_OUTPUT_FAILED,
    )


def deadline_exceeded(seconds: float) -> ErrorReply:
    """The client's patience ended before there was an answer."""
    return ErrorReply(
        504,
        f"No answer within the request's {seconds:.0f} seconds. Ask for more time with the X-Request-Timeout header,"
        " or send 'Prefer: respond-async' and poll.",
        ErrorType.SERVER,
        code=ErrorCode.DEADLINE_EXCEEDED,
    )


def stream_interrupted(reason: str) -> ErrorReply:
    """A run ended after its client had read a part of the answer: another run would begin another answer."""
    return upstream_failed(
        f"The answer broke off after its beginning had been sent ({reason}). Send the request again.",
        code=ErrorCode.STREAM_INTERRUPTED,
    )


def cancelled() -> ErrorReply:
    """Somebody cancelled the job."""
    return ErrorReply(409, "The request was cancelled.", ErrorType.INVALID_REQUEST, code=ErrorCode.CANCELLED)


def budget_used_up(used_usd: float, used_tokens: int) -> ErrorReply:
    """A batch is to go on with a budget that is not above what it has used."""
    return invalid_request(
        f"The batch has used ${used_usd:.4f} and {used_tokens:,} tokens, and its next line may need more than its budget leaves:"
        " give a larger 'max_cost' or 'max_tokens'.",
        code=ErrorCode.BUDGET_USED_UP,
    )


def other_budget_used_up(whose: str, how: str) -> ErrorReply:
    """A batch is to go on that waits for no word. `how`: what raises the budget."""
    return conflict(
        f"The batch is held by {whose}: it goes on by itself when that is raised ({how}), or begins anew.",
        ErrorCode.BUDGET_USED_UP,
    )


def dead_lettered(deaths: int, reason: str) -> ErrorReply:
    """A poison job: it has ended too many workers, and is not tried again."""
    return upstream_failed(
        f"Set aside: running this request ended {deaths} workers (NIGHTSHIFT_MAX_WORKER_DEATHS); the last time {reason}."
        " Look at its size and at the log of these workers, then send it again; a batch's lines go again with retry_failed.",
        status=500,
        code=ErrorCode.WORKER_DIED,
    )


def client_left() -> ErrorReply:
    """The client hung up and did not come back within the grace."""
    return ErrorReply(
        499, "The client closed the connection before the answer was there.", code=ErrorCode.CLIENT_CLOSED_REQUEST
    )


def internal() -> ErrorReply:
    """A bug of ours. The log has the traceback under the request's id."""
    return ErrorReply(
        500,
        "Internal error. The server's log names it by the x-request-id.",
        ErrorType.SERVER,
        code=ErrorCode.INTERNAL_ERROR,
    )
