"""`/v1/chat/completions/{id}`: a chat completion that has been made, read again or deleted. All are kept for a while."""

from __future__ import annotations

import re
from typing import Any

from flask import Blueprint

from api.openai.chat import KIND
from api.services import services
from app import errors

blueprint = Blueprint("stored_completions", __name__)

_ID = re.compile(r"[A-Za-z0-9_-]{1,100}")


@blueprint.get("/v1/chat/completions/<completion_id>")
def retrieve(completion_id: str) -> dict[str, Any]:
    """The completion; 404 for one that is not there (any more), failed, or is not done yet: its job says which."""
    _check(completion_id)
    outcome = services().jobs.outcome(completion_id)
    if outcome is None or outcome.body is None:
        raise _not_found(completion_id)
    return outcome.body


@blueprint.delete("/v1/chat/completions/<completion_id>")
def delete(completion_id: str) -> dict[str, Any]:
    """It is gone for who asks for it; one that runs is cancelled."""
    _check(completion_id)
    services().jobs.delete(completion_id)
    return {"id": completion_id, "object": "chat.completion.deleted", "deleted": True}


def _check(completion_id: str) -> None:
    record = services().jobs.get(completion_id) if _ID.fullmatch(completion_id) else None
    if record is None or record.kind != KIND or record.is_deleted:
        raise _not_found(completion_id)


def _not_found(completion_id: str) -> errors.ErrorReply:
    return errors.not_found(f"Chat completion '{completion_id[:100]}' not found.", param="id")
