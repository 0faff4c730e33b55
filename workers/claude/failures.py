"""How the CLI's reports of a turn without an answer are read as failures.

The CLI reports an API error as a *successful* result whose text is the error. So attributes come first, in this order:
the usage limit's event, the HTTP status, the kind of error on the synthetic message; text is quoted, not read, but once.

What the CLI says of an error, in words that fit an API: it speaks to somebody who sits before it, and knows commands.

It relays most of the API's errors as they are. Those that it knows it words itself, and gives nothing of the API's
besides the status. So where its words are known here, ours say the same without its advice; where they are not, and
have advice of that kind, all that is said is what the status means.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from app import clock
from app.messages.failure import FailureKind, TurnFailed

if TYPE_CHECKING:
    from app.messages.answer import Window

#: of a turn that was ended here, or ended by its process
WORDS = {
    FailureKind.DEADLINE: "The request's deadline passed before Claude had answered.",
    FailureKind.STALLED: "Claude fell silent in the middle of the answer.",
    FailureKind.INTERRUPTED: "The request was interrupted.",
    FailureKind.DIED: "The Claude process ended in the middle of the answer.",
    FailureKind.MEMORY: "The Claude process took more memory than NIGHTSHIFT_HARD_RSS_MB allows, and was ended.",
    FailureKind.GARBLED: "The Claude process said too much, or what can't be read, and was ended.",
}


@dataclass(frozen=True)
class UsageLimit:
    """The latest `RateLimitEvent` of a process; `resets_at` in epoch seconds."""

    status: str
    resets_at: float | None = None
    limit_type: str | None = None
    windows: tuple[Window, ...] = ()

    def is_reached(self) -> bool:
        """Whether a subscription's window is used up.

        A plain 429 with a subscription's token comes as `rejected` too, but names neither a window nor a reset.
        """
        if self.status != "rejected" or (self.resets_at is None and self.limit_type is None):
            return False
        return self.resets_at is None or self.resets_at > clock.now()


@dataclass(frozen=True)
class ApiError:
    """An API error as the CLI reports it; `status` is None when the connection broke or there was no request at all."""

    status: int | None
    #: `error` of the synthetic assistant message: `rate_limit`, `authentication_failed`, `billing_error`, ...
    error: str | None
    text: str
    #: the process' latest limit; the CLI does not repeat an unchanged one
    limit: UsageLimit | None = None
    #: whether that limit was reported in this turn
    limit_is_new: bool = False


#: The Messages API's error types by status.
_ERROR_TYPES = {
    400: "invalid_request_error",
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    413: "request_too_large",
    429: "rate_limit_error",
    500: "api_error",
    504: "timeout_error",
    529: "overloaded_error",
}

#: The one place where text decides: the CLI calls every 403 `authentication_failed`, but only its own words ("OAuth token
#: revoked", say) are about the login. One that it relays forbids this request, a model of another plan for example; it
#: must not stop everybody's work.
_RELAYED_403 = "API Error: 403"


def classify(error: ApiError) -> TurnFailed:
    """Read an API error as the failure it is."""
    status = error.status
    message = for_clients(error.text, status)
    error_type = _ERROR_TYPES.get(status or 0)
    limit = error.limit
    if limit and limit.is_reached() and (error.limit_is_new or status == 429):
        wait = max(0.0, limit.resets_at - clock.now()) if limit.resets_at else None
        return TurnFailed(
            FailureKind.USAGE_LIMIT,
            message,
            status=status,
            error_type="rate_limit_error",
            retry_after=wait,
            resets_at=limit.resets_at,
            limit_type=limit.limit_type,
        )
    if status == 403 and _RELAYED_403 in error.text:
        return TurnFailed(FailureKind.CALLER, message, status=status, error_type=error_type)
    return TurnFailed(_kind(status, error.error), message, status=status, error_type=error_type)


#: Statuses that say more than their class does; 408 and 409 are the API's own timeouts and collisions.
_KINDS_BY_STATUS = {
    401: FailureKind.LOGIN,
    403: FailureKind.LOGIN,
    408: FailureKind.SERVER,
    409: FailureKind.SERVER,
    429: FailureKind.RATE_LIMITED,
    529: FailureKind.OVERLOADED,
}
#: What the CLI calls errors of accounts, at whatever status.
_ACCOUNT_ERRORS = frozenset({"authentication_failed", "billing_error", "oauth_org_not_allowed"})
#: What it says where there was no request, so that there is no status.
_KINDS_BY_ERROR = {
    "invalid_request": FailureKind.CALLER,
    "model_not_found": FailureKind.CALLER,
    "rate_limit": FailureKind.RATE_LIMITED,
}


def _kind(status: int | None, error: str | None) -> FailureKind:
    if status in _KINDS_BY_STATUS:
        return _KINDS_BY_STATUS[status]
    if error in _ACCOUNT_ERRORS:
        return FailureKind.LOGIN
    if status is None:
        return _KINDS_BY_ERROR.get(error or "", FailureKind.SERVER)
    return FailureKind.CALLER if 400 <= status < 500 else FailureKind.SERVER


#: what the CLI puts before the API's own words
_RELAYED = re.compile(r"^(Failed to authenticate\. )?API Error: (\d{3} |Request rejected \(\d{3}\) · )?")
#: what it puts after them
_AFTER = re.compile(r" This is a server-side issue, usually temporary .*\Z", re.DOTALL)

#: its sentences by how they begin or what they name, and ours; `Prompt is too long` is also how the door knows that error
_KNOWN = tuple(
    (re.compile(pattern, re.IGNORECASE | re.DOTALL), ours)
    for pattern, ours in (
        (r"prompt is too long", "The prompt is too long for the model's context window."),
        (r"reached its context window limit", "The model's context window is full: the prompt is too long."),
        (
            r"request too large",
            "The request is too large for Claude's API (32 MB): send fewer or smaller images and files.",
        ),
        (r"pdf too large", "A PDF is too large: Claude takes 100 pages and 20 MB at most."),
        (r"pdf (file )?was not valid", "A file is no valid PDF."),
        (r"pdf is password protected", "A PDF is protected by a password."),
        (
            r"image was too large|image exceeds",
            "An image is too large: Claude takes 5 MB and 8,000 pixels a side at most.",
        ),
        (
            r"dimension limit for many-image requests",
            "An image is too large: in a request with more than 20 images Claude takes 2,000 pixels a side at most.",
        ),
        (r"image in the conversation could not be processed", "Claude can't process an image of the request."),
        (
            r"due to tool use concurrency issues",
            "A tool call has no result: each needs a message of the role 'tool' with its id right after the assistant's.",
        ),
        (r"orphaned tool_result", "A tool's result belongs to no tool call of the message before it."),
        (r"duplicate tool_use ID", "Two tool calls have the same id."),
        (r"tool call could not be parsed", "The model's tool call could not be read."),
        (
            r"issue with the selected model \((?P<model>[^()]+)\)",
            "The model '{model}' does not exist at Claude's API, or this login may not use it.",
        ),
        (r"is not available with the Claude (\w+) plan", "The model is not part of this login's plan."),
        (r"api_key belongs to a disabled organization", "The API key belongs to an organization that is disabled."),
        (r"oauth token (was |has been )?revoked", "The login's token has been revoked."),
        (r"oauth token .{0,40}expired|login (has )?expired", "The login has expired."),
    )
)
#: what it puts between what is the matter and what to do
_DOT = " · "
#: advice to somebody at a terminal: commands, keys, what to do with a session, other programs
_ADVICE = re.compile(
    r"(?:^|[\s(`'\"·])/[a-z][a-z-]+\b(?!/)|--model\b|\bpress\b|\besc\b|\bcompact(ed)?\b|\brewind\b|pdftotext|\bCLI\b|new session"
    r"|re-?read the file|\blog ?in again|inference gateway|environment variable|claude code",
    re.IGNORECASE,
)


def for_clients(text: str, status: int | None) -> str:
    """The CLI's text of an error as ours; the API's own words, where it relays them, as they are."""
    for pattern, ours in _KNOWN:
        if found := pattern.search(text):
            return ours.format(**found.groupdict())
    found = _RELAYED.match(text)
    words = _AFTER.sub("", text[found.end() :]).strip() if found else text.partition(_DOT)[0].strip()
    if not words:
        return "Claude gave no reason."
    if (found is None or status is None) and _ADVICE.search(words):
        return f"Claude's API answered with status {status}." if status else "Claude's API could not be asked."
    return words


def schema_refused() -> TurnFailed:
    """Of a process that did not start with the schema it was given."""
    words = "The JSON schema is not one that Claude's command line takes: draft-07 without unknown keywords."
    return TurnFailed(FailureKind.CALLER, words, status=400, error_type="invalid_request_error")
