"""Ids as OpenAI spells them. RQ takes letters, digits, `-` and `_` in a job's id, so that these are job ids too."""

from __future__ import annotations

import secrets

#: the `owner` of every job, file, batch, webhook endpoint and event that was made without a key, or with one that has no name
OWNER = "default"


def new_id(prefix: str) -> str:
    """`prefix` + 32 hexadecimal digits, e.g. `chatcmpl-0f…`; 128 random bits."""
    return prefix + secrets.token_hex(16)


def new_completion_id() -> str:
    """The id of a chat completion, which is the id of its job too."""
    return new_id("chatcmpl-")


def new_text_completion_id() -> str:
    """The id of a text completion, which is the id of its job too."""
    return new_id("cmpl-")


def new_response_id() -> str:
    """The id of a response, which is the id of its job too."""
    return new_id("resp_")


def new_request_id() -> str:
    """For `x-request-id`."""
    return new_id("req_")
