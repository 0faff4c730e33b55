"""What each endpoint's jobs carry: read as the chat request that means the same, answered with the endpoint's own object, several answers as one."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from functools import reduce
from typing import TYPE_CHECKING, Any

from app import clock
from app.openai import text_completions
from app.openai.responses import as_chat, objects
from app.outcome import COST_HEADER, IGNORED, SAVED_HEADER, WAY_HEADER, Outcome

if TYPE_CHECKING:
    from collections.abc import Sequence

    from app.errors import ErrorReply
    from app.jobs.record import JobRecord


#: where the payload of another endpoint's job has its request; a chat completion's is at `request`
RESPONSE, COMPLETION = "response", "completion"

#: fields that no answer depends on; the model's name is not its own, and `claude_model` says what it means
_NO_PART = frozenset(
    (
        "model",
        "metadata",
        "store",
        "background",
        "stream",
        "stream_options",
        "callback_url",
        "max_attempts",
        "service_tier",
    )
)


def fingerprint(payload: dict[str, Any]) -> bytes:
    """Of `canonical`, 32 bytes."""
    return hashlib.blake2b(canonical(payload), digest_size=32).digest()


def canonical(payload: dict[str, Any]) -> bytes:
    """All that the answer depends on: two requests are the same if theirs are.

    Fields come in the order of their models, whatever the client's was, and what was ignored is left out. A JSON schema is as the client
    wrote it: Claude answers in the order of its properties.
    """
    kind = next(name for name in ("request", RESPONSE, COMPLETION) if name in payload)
    asked = {name: value for name, value in payload[kind].items() if name not in _NO_PART}
    if kind == RESPONSE:
        # Items that came without an id have got one, another each time.
        asked["input"] = [{name: value for name, value in item.items() if name != "id"} for item in asked["input"]]
    return json.dumps([kind, payload["claude_model"], asked], separators=(",", ":")).encode()


def answers(payload: dict[str, Any]) -> int:
    """How many answers the request wants; each is a turn of Claude's."""
    if COMPLETION in payload:
        return text_completions.answers(payload[COMPLETION])
    return 1 if RESPONSE in payload else int(payload["request"].get("n", 1))


def as_chat_payload(payload: dict[str, Any], number: int = 0) -> dict[str, Any]:
    """The payload of the chat completion that gives this answer of the request's, counted from 0; one of it as it is."""
    if RESPONSE in payload:
        request = as_chat.chat_request(payload[RESPONSE])
    elif COMPLETION in payload:
        request = text_completions.chat_request(payload[COMPLETION], number)
    else:
        return payload
    kept = {"cache": payload["cache"]} if "cache" in payload else {}
    return {"claude_model": payload["claude_model"], "request": request, **kept}


def as_asked(outcome: Outcome, payload: dict[str, Any], record: JobRecord, number: int = 0) -> Outcome:
    """The chat completion of this answer as the client asked for it: as a response, or a text completion, where it did."""
    if outcome.error is not None:
        return replace(outcome, error=_in_its_words(outcome.error, payload, number))
    if COMPLETION in payload:
        return replace(outcome, body=text_completions.finished(payload[COMPLETION], number, outcome.body or {}))
    if RESPONSE in payload:
        # What the model was asked without was not used.
        ignored = outcome.headers.get(IGNORED, "").split(", ")
        asked = {name: value for name, value in payload[RESPONSE].items() if name not in ignored}
        return replace(outcome, body=objects.finished(record, asked, outcome.body or {}, clock.now()))
    return outcome


def _in_its_words(error: ErrorReply, payload: dict[str, Any], number: int) -> ErrorReply:
    """An error about the chat request, in the words of the request that the client sent."""
    if COMPLETION in payload:
        return text_completions.in_its_words(error, payload[COMPLETION], number)
    if RESPONSE in payload:
        # Older jobs have no places.
        return as_chat.in_its_words(error, as_chat.Places(payload[RESPONSE], payload.get("places", ())))
    return error


_ATTEMPTS = "x-nightshift-attempts"


def merged(outcomes: Sequence[Outcome], completion_id: str) -> Outcome:
    """Of one completion each, in the choices' order: usage and cost are those of all, the attempts of the one that took most.

    Without a cost when that of any is not known. The first that is an error is the whole's, and what is known of the others' cost was paid
    for it.
    """
    shared = {}
    if ways := sorted({one.way for one in outcomes if one.way}):
        shared[WAY_HEADER] = ", ".join(ways)
    costs = [one.cost_usd for one in outcomes if one.cost_usd is not None]
    error = next((one.error for one in outcomes if one.error is not None), None)
    if len(costs) == len(outcomes) or (error is not None and costs):
        shared[COST_HEADER] = f"{sum(costs):.6f}"
    if error is not None:
        return Outcome(error=error, headers=shared)
    if saved := sum(one.cache_saved_usd for one in outcomes):
        shared[SAVED_HEADER] = f"{saved:.6f}"
    bodies = [one.body or {} for one in outcomes]
    body = {
        **bodies[0],
        "id": completion_id,
        "choices": [{**one["choices"][0], "index": index} for index, one in enumerate(bodies)],
        "usage": reduce(_add, (one["usage"] for one in bodies)),
    }
    headers = {_ATTEMPTS: str(max(int(one.headers[_ATTEMPTS]) for one in outcomes)), **shared}
    if ignored := sorted({name for one in outcomes for name in one.headers.get(IGNORED, "").split(", ") if name}):
        headers[IGNORED] = ", ".join(ignored)
    return Outcome(body=body, headers=headers)


def _add(one: dict[str, Any], two: dict[str, Any]) -> dict[str, Any]:
    """Two usages as one: numbers are added, objects by their fields; what only one has stays."""
    total = {**one, **two}
    for name in one.keys() & two.keys():
        total[name] = _add(one[name], two[name]) if isinstance(one[name], dict) else one[name] + two[name]
    return total
