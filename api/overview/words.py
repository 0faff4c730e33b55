"""What the page says in words for codes: why a batch waits, and what failures mean."""

from __future__ import annotations

from types import MappingProxyType

#: `nightshift.waiting_for` of a batch object
WAITS = MappingProxyType(
    {
        "usage_limit": "waits for the usage limit",
        "utilization": "leaves the rest of Claude's window to you",
        "login": "waits for a login",
        "overload": "waits: Claude is overloaded",
        "paused": "paused",
        "batch_window": "waits for its window",
        "reserve": "waits for a worker beyond the reserve",
    }
)
#: the failures' meanings, beside their codes
FAILURES = MappingProxyType(
    {
        "batch_expired": "the batch's time was over",
        "context_length_exceeded": "the request is longer than the model reads",
        "deadline_exceeded": "the client's time was over",
        "invalid_image_url": "an image could not be fetched",
        "invalid_request_error": "Claude refused the request",
        "login_required": "Claude's login did not work in time",
        "max_attempts_reached": "it may not be sent to Claude again",
        "model_not_found": "there is no such model",
        "overloaded": "Claude was overloaded, again and again",
        "paused": "paused for longer than the client waits",
        "permission_denied": "the login may not use the model",
        "request_too_large": "the request is larger than Claude takes",
        "result_too_large": "the answer is larger than is stored",
        "server_stopping": "stopped meanwhile",
        "stalled": "no byte came from Claude for too long",
        "stream_interrupted": "a stream broke off",
        "structured_output_failed": "the answer did not fit its schema, twice",
        "upstream_error": "Claude failed, again and again",
        "usage_limit_reached": "the limit lasts longer than the client waits",
        "utilization_reached": "your share of the limit lasts longer than the client waits",
        "worker_died": "it took its worker down, again and again",
    }
)
