"""What can go wrong. Errors of the server have the names and the fields that OpenAI's client gives them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import httpx

    from nightshift_client.batch import Batch


class NightshiftError(Exception):
    """Any error of this package. The message is for people."""


class TableError(NightshiftError, ValueError):
    """The table, the template or the schema is not what it should be. Nothing was sent."""


class APIConnectionError(NightshiftError):
    """Nobody answers at that address."""


class APIStatusError(NightshiftError):
    """The server refused."""

    def __init__(self, response: httpx.Response) -> None:
        error = _error_of(response)
        #: the HTTP status
        self.status_code = response.status_code
        #: what went wrong, as OpenAI's errors say it: the kind, a code for programs, and the field that it is about
        self.type: str | None = error.get("type")
        self.code: str | None = error.get("code")
        self.param: str | None = error.get("param")
        #: of the response, for the server's log
        self.request_id = response.headers.get("x-request-id")
        #: `x-should-retry`, `retry-after` and their like
        self.headers = response.headers
        message = str(error.get("message") or response.text[:300])
        super().__init__(f"{message} ({self.param})" if self.param else message)


class BadRequestError(APIStatusError):
    """400."""


class AuthenticationError(APIStatusError):
    """401: the key is missing or wrong."""


class PermissionDeniedError(APIStatusError):
    """403: the key may not do this."""


class NotFoundError(APIStatusError):
    """404: it is not there, or belongs to another key."""


class ConflictError(APIStatusError):
    """409: it is not in a state for this, such as a batch that has ended."""


class RateLimitError(APIStatusError):
    """429: a limit or a budget."""


class InternalServerError(APIStatusError):
    """500 and above."""


class BatchNotEnded(NightshiftError):
    """The results of a batch that goes on were asked for."""

    def __init__(self, batch: Batch) -> None:
        self.batch = batch
        super().__init__(
            f"{batch.id} has not ended: {batch.done:,} of {batch.total:,} requests are done. watch() waits for it;"
            " partial=True reads what there is."
        )


class BatchHeld(NightshiftError):
    """The batch waits for your word: its first requests were tried, or its budget is used up."""

    def __init__(self, batch: Batch) -> None:
        self.batch = batch
        super().__init__(
            f"{batch.id} waits ({batch.waiting_for}) after {batch.done:,} of {batch.total:,} requests."
            " forecast() says what the rest will come to, continue_() lets it go on, cancel() ends it."
        )


class BatchFailed(NightshiftError):
    """The batch was refused as a whole, and nothing of it was run. `faults` are as in OpenAI's `errors.data`."""

    def __init__(self, batch: Batch) -> None:
        self.batch = batch
        self.faults: list[dict[str, Any]] = batch.faults
        shown = "; ".join(_fault(one) for one in self.faults[:3])
        more = f"; and {len(self.faults) - 3:,} more" if len(self.faults) > 3 else ""
        super().__init__(f"{batch.id} failed, and nothing was run. {shown}{more}")


_BY_STATUS = {
    400: BadRequestError,
    401: AuthenticationError,
    403: PermissionDeniedError,
    404: NotFoundError,
    409: ConflictError,
    429: RateLimitError,
}


def error_of(response: httpx.Response) -> APIStatusError:
    """What a response with an error status says."""
    kind = InternalServerError if response.status_code >= 500 else _BY_STATUS.get(response.status_code, APIStatusError)
    return kind(response)


def _error_of(response: httpx.Response) -> dict[str, Any]:
    try:
        error = response.json()["error"]
    except (ValueError, KeyError, TypeError):
        return {}
    return error if isinstance(error, dict) else {"message": str(error)}


def _fault(fault: dict[str, Any]) -> str:
    where = f"row {fault['line']}: " if fault.get("line") else ""
    return f"{where}{fault.get('message', '')}"
