"""Every code and type that an error of ours may carry, with its meaning: what errors, counters, metrics, page and docs take them from.

Source of the types, and of the codes that OpenAI has too: OpenAI's API reference and what `openai-python` reads. mypy lets no
other text be an error's code.
"""

from __future__ import annotations

from enum import StrEnum
from types import MappingProxyType


class ErrorType(StrEnum):
    """`type` of an error, and what it is counted as when it has no code."""

    INVALID_REQUEST = "invalid_request_error"
    RATE_LIMIT = "rate_limit_error"
    INSUFFICIENT_QUOTA = "insufficient_quota"
    SERVER = "server_error"


class ErrorCode(StrEnum):
    """`code` of an error. `meaning` is for people: a phrase without an end."""

    meaning: str

    def __new__(cls, code: str, meaning: str) -> ErrorCode:
        """A member is its code."""
        member = str.__new__(cls, code)
        member._value_ = code
        member.meaning = meaning
        return member

    # The request is not one.
    INVALID_JSON = "invalid_json", "the body is no JSON"
    INVALID_TYPE = "invalid_type", "a field has a value of another type"
    INVALID_VALUE = "invalid_value", "a field has a value that it can't have"
    MISSING_REQUIRED_PARAMETER = "missing_required_parameter", "a field is missing"
    UNSUPPORTED_PARAMETER = "unsupported_parameter", "there is no such thing here: leave the field out"
    UNSUPPORTED_VALUE = "unsupported_value", "the field can't have this value here"
    INVALID_IMAGE_URL = "invalid_image_url", "an image could not be fetched"
    INVALID_CALLBACK_URL = "invalid_callback_url", "no callback may go to this address"
    INVALID_URL = "invalid_url", "no event may go to this address"
    CONTEXT_LENGTH_EXCEEDED = "context_length_exceeded", "the request is longer than the model reads"
    MODEL_NOT_FOUND = "model_not_found", "there is no such model"
    PERMISSION_DENIED = "permission_denied", "the login may not use the model"
    REQUEST_TOO_LARGE = "request_too_large", "the request is larger than is taken"
    INVALID_HTTP = "invalid_http", "it is not valid HTTP"
    INVALID_MULTIPART = "invalid_multipart", "the form is not valid"
    REQUEST_TIMEOUT = "request_timeout", "the body came too slowly"
    URL_TOO_LONG = "url_too_long", "the URL is too long"
    HEADERS_TOO_LARGE = "headers_too_large", "the headers are too large"
    UNSUPPORTED_CONTENT_ENCODING = "unsupported_content_encoding", "send the body uncompressed"
    UNSUPPORTED_MEDIA_TYPE = "unsupported_media_type", "send the content type that the message names"
    METHOD_NOT_ALLOWED = "method_not_allowed", "the URL takes other methods"
    UNKNOWN_URL = "unknown_url", "there is no such URL"
    RANGE_NOT_SATISFIABLE = "range_not_satisfiable", "there are no such bytes"
    BAD_REQUEST = "bad_request", "HTTP's own rules refuse it: see the message"

    # Who asks may not.
    INVALID_API_KEY = "invalid_api_key", "no key of this server was sent"
    KEY_NOT_FOUND = "key_not_found", "there is no key of that name"
    KEY_EXISTS = "key_exists", "there is, or was, a key of that name"
    TOO_MANY_KEYS = "too_many_keys", "there are too many keys"
    FORBIDDEN = "forbidden", "it takes another key, or comes from another page"
    DASHBOARD_READ_ONLY = "dashboard_read_only", "the dashboard of the queue only shows"

    # What it names is not there.
    JOB_NOT_FOUND = "job_not_found", "there is no such job (any more)"
    EVENT_NOT_FOUND = "event_not_found", "there is no such event (any more)"
    FILE_NOT_FOUND = "file_not_found", "there is no such file (any more)"
    FILES_ELSEWHERE = "files_elsewhere", "the files are on another machine, and this one does not share its data dir"
    BATCH_NOT_FOUND = "batch_not_found", "there is no such batch (any more)"
    PREVIOUS_RESPONSE_NOT_FOUND = "previous_response_not_found", "the response to go on from is not stored (any more)"
    ITEM_NOT_FOUND = "item_not_found", "the item that is referred to is not stored (any more)"
    WEBHOOK_ENDPOINT_NOT_FOUND = "webhook_endpoint_not_found", "there is no such webhook endpoint (any more)"

    # It contradicts what is there.
    IDEMPOTENCY_KEY_REUSED = "idempotency_key_reused", "the key was used for another body"
    BATCH_NOT_CANCELLABLE = "batch_not_cancellable", "the batch has ended"
    BATCH_NOT_HELD = "batch_not_held", "the batch is not held"
    BUDGET_USED_UP = "budget_used_up", "the batch, its key or the house has used as much already"
    BATCH_NOT_RETRYABLE = "batch_not_retryable", "the batch has not ended"
    NOTHING_FAILED = "nothing_failed", "the batch has nothing to run again"
    FILE_TOO_LARGE = "file_too_large", "the file is larger than is taken"
    INVALID_FILE_PURPOSE = "invalid_file_purpose", "the file was uploaded for another purpose"
    TOO_MANY_ENDPOINTS = "too_many_endpoints", "there are too many webhook endpoints"
    WEBHOOK_TEST_FAILED = "webhook_test_failed", "the endpoint did not answer the test"

    # A batch's file, or a line of it, is not one.
    EMPTY_FILE = "empty_file", "the file has no line"
    TOO_MANY_TASKS = "too_many_tasks", "the file has too many lines"
    LINE_TOO_LARGE = "line_too_large", "a line is too long"
    INVALID_JSON_LINE = "invalid_json_line", "a line is no JSON"
    INVALID_CUSTOM_ID = "invalid_custom_id", "a line's custom_id is none"
    DUPLICATE_CUSTOM_ID = "duplicate_custom_id", "two lines have one custom_id"
    INVALID_METHOD = "invalid_method", "a line's method is not POST"
    URL_MISMATCH = "url_mismatch", "a line's url is not the batch's endpoint"
    MODEL_MISMATCH = "model_mismatch", "the lines ask for several models"

    # Too much at once.
    QUEUE_FULL = "queue_full", "too many requests wait already"
    TOO_MANY_WAITING = "too_many_waiting", "too many clients wait already"
    TOO_MANY_PAGES = "too_many_pages", "too many pages are open"

    # Nothing can be done now; the same request may pass later.
    USAGE_LIMIT_REACHED = "usage_limit_reached", "the limit lasts longer than the client waits"
    UTILIZATION_REACHED = "utilization_reached", "your share of the limit lasts longer than the client waits"
    SPENDING_CAP_REACHED = "spending_cap_reached", "your cap on spending lasts longer than the client waits"
    INSUFFICIENT_QUOTA = "insufficient_quota", "the key's budget is used up"
    RATE_LIMIT_EXCEEDED = "rate_limit_exceeded", "too many requests or tokens a minute, of the key or of Claude's login"
    OVERLOADED = "overloaded", "Claude was overloaded, again and again"
    LOGIN_REQUIRED = "login_required", "Claude's login does not work"
    PAUSED = "paused", "paused for longer than the client waits"
    NO_WORKER = "no_worker", "no worker is running"
    NO_WORKER_READY = "no_worker_ready", "no worker can serve"
    SERVER_STOPPING = "server_stopping", "stopped meanwhile"
    REDIS_UNAVAILABLE = "redis_unavailable", "the queue is away"
    REDIS_FULL = "redis_full", "the queue's memory is full"
    REDIS_CANNOT_SAVE = "redis_cannot_save", "the queue can't write to its disk"
    REDIS_READ_ONLY = "redis_read_only", "the queue's server is not the primary"
    REDIS_NOT_REPLICATED = "redis_not_replicated", "the queue's replicas did not have it in time"
    STORAGE_FULL = "storage_full", "the disk, or the object store, is full"
    STORAGE_UNAVAILABLE = "storage_unavailable", "the object store with the files does not answer, or refuses"
    FILES_ALTERED = "files_altered", "somebody has changed stored bytes, which are not handed out"

    # It was accepted, and has no answer.
    DEADLINE_EXCEEDED = "deadline_exceeded", "the client's time was over"
    STALLED = "stalled", "no byte came from Claude for too long"
    STREAM_INTERRUPTED = "stream_interrupted", "a stream broke off"
    STRUCTURED_OUTPUT_FAILED = "structured_output_failed", "the answer did not fit its schema, twice"
    RESULT_TOO_LARGE = "result_too_large", "the answer is larger than is stored"
    MAX_ATTEMPTS_REACHED = "max_attempts_reached", "it may not be sent to Claude again"
    UPSTREAM_ERROR = "upstream_error", "Claude failed, again and again"
    WORKER_DIED = "worker_died", "it took its worker down, again and again"
    INTERNAL_ERROR = "internal_error", "a fault of Nightshift's: see its log"

    # Nobody wants the answer any more.
    CANCELLED = "cancelled", "it was cancelled"
    CLIENT_CLOSED_REQUEST = "client_closed_request", "the client left, and did not come back"
    BATCH_CANCELLED = "batch_cancelled", "the batch was cancelled"
    BATCH_EXPIRED = "batch_expired", "the batch's time was over"


#: what a fault may be called: errors that have no code are known by their type
Code = ErrorCode | ErrorType
#: OpenAI has one text that is both: it is read back as the code
_BY_TEXT = MappingProxyType({str(code): code for code in (*ErrorType, *ErrorCode)})


def known(text: str | None) -> Code | None:
    """The code or type of this text; None when it is none of ours."""
    return _BY_TEXT.get(text or "")
