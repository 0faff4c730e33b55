"""What a new response may be built upon: the conversation of an earlier one, or single items by their ids."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from api.openai import response_reading
from app import errors
from app.error_codes import ErrorCode
from app.errors import ErrorReply
from app.openai.responses import objects

if TYPE_CHECKING:
    from api.services import Services


class StoredItems:
    """See the module; `app.openai.responses.accept.Stored`. For one request: what it has looked up is kept."""

    def __init__(self, services: Services) -> None:
        self._services = services
        #: items by response, and whether they are its input
        self._known: dict[tuple[str, bool], list[dict[str, Any]]] = {}
        self._bytes = 0

    def conversation(self, response_id: str) -> list[dict[str, Any]]:
        """All items up to an earlier response, its own output included. Raises `ErrorReply`: 404, or 400 if it has no answer."""
        param, code = "previous_response_id", ErrorCode.PREVIOUS_RESPONSE_NOT_FOUND
        try:
            record = response_reading.stored(self._services, response_id)
        except ErrorReply as error:
            message = f"Previous response with id '{response_id[:100]}' not found."
            raise errors.not_found(message, code=code, param=param) from error
        output = self._output(response_id)
        if output is None:
            raise errors.invalid_request(
                f"Previous response '{response_id[:100]}' is {record.status}: there is no answer to go on from.",
                param=param,
            )
        items: list[dict[str, Any]] = response_reading.asked_for(self._services, record)["input"]
        return items + output

    def item(self, item_id: str) -> dict[str, Any]:
        """The item, from the output or the input of the stored response that it came with.

        Raises `ErrorReply`: 404, or 400 when all that is referred to is larger than a body may be.
        """
        found = next((item for item in self._items(item_id) if item["id"] == item_id), None)
        if found is None:
            raise errors.not_found(
                f"Item with id '{item_id[:100]}' not found. Items can be referred to as long as the response that they came"
                " with is stored (never with 'store': false): send the item itself instead.",
                code=ErrorCode.ITEM_NOT_FOUND,
            )
        self._bytes += len(json.dumps(found))
        if self._bytes > (limit := self._services.settings.max_body_bytes):
            raise errors.invalid_request(
                f"The items that are referred to are larger than {limit} bytes (NIGHTSHIFT_MAX_BODY_BYTES).",
                code=ErrorCode.CONTEXT_LENGTH_EXCEEDED,
            )
        return found

    def _items(self, item_id: str) -> list[dict[str, Any]]:
        """The items among which it is, if it is anywhere."""
        origin = objects.origin_of(item_id)
        if origin is None:
            return []
        if origin not in self._known:
            self._known[origin] = self._read(*origin)
        return self._known[origin]

    def _read(self, response_id: str, is_input: bool) -> list[dict[str, Any]]:
        try:
            record = response_reading.stored(self._services, response_id)
        except ErrorReply:
            return []
        if is_input:
            return list(response_reading.asked_for(self._services, record)["input"])
        return self._output(response_id) or []

    def _output(self, response_id: str) -> list[dict[str, Any]] | None:
        """What the response answered; None: it has no answer."""
        outcome = self._services.jobs.outcome(response_id)
        return None if outcome is None or outcome.body is None else list(outcome.body["output"])
