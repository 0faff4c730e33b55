"""What a batch may ask for: for each endpoint, how a line's body becomes what a job is made of."""

from __future__ import annotations

from functools import partial
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from app import errors
from app.batches.formats.line import BodyError
from app.error_codes import ErrorCode
from app.errors import ErrorReply
from app.jobs.record import Tier
from app.openai.accept import accept
from app.openai.responses.accept import accept as accept_response
from app.openai.text_completions import accept as accept_completion
from app.ways import Way

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from app.batches.formats.line import Line
    from app.openai.accept import Accepted
    from app.settings import Settings

CHAT_COMPLETIONS = "/v1/chat/completions"
RESPONSES = "/v1/responses"
COMPLETIONS = "/v1/completions"
_REFUSED = {
    "stream": "nobody reads while a batch runs",
    "callback_url": "it belongs into the batch's metadata",
    "background": "a batch is background work itself",
    "previous_response_id": "a line stands alone: send the conversation as input items",
}


class _Nothing:
    """What a line may build upon: it has to be valid whatever is stored, and also where there is no server."""

    def conversation(self, response_id: str) -> list[dict[str, Any]]:
        raise errors.invalid_request(f"'{response_id[:100]}' can't be built upon in a batch.", "previous_response_id")

    def item(self, item_id: str) -> dict[str, Any]:
        raise errors.invalid_request(
            f"The item '{item_id[:100]}' is only referred to. {_REFUSED['previous_response_id'].capitalize()}.",
            code=ErrorCode.UNSUPPORTED_VALUE,
        )


NOTHING = _Nothing()


ENDPOINTS: Mapping[str, Callable[[dict[str, Any], Settings], Accepted[Any]]] = MappingProxyType(
    {
        CHAT_COMPLETIONS: accept,
        RESPONSES: partial(accept_response, stored=NOTHING),
        COMPLETIONS: accept_completion,
    }
)


def accept_line(line: Line, endpoint: str, settings: Settings) -> Accepted[Any]:
    """The line's body, checked as a request by itself is. Raises `BodyError`."""
    try:
        for name, why in _REFUSED.items():
            if line.body.get(name):
                raise errors.invalid_request(
                    f"'{name}' is not supported in a batch: {why}.", name, ErrorCode.UNSUPPORTED_VALUE
                )
        accepted = ENDPOINTS[endpoint](line.body, settings)
        if accepted.request.service_tier == Tier.BATCH and settings.step(Way.BATCHES) is None:
            raise errors.invalid_request(
                "'service_tier': batch asks for Message Batches, and NIGHTSHIFT_WAYS does not name `batches`.",
                "service_tier",
                ErrorCode.UNSUPPORTED_VALUE,
            )
        return accepted
    except ErrorReply as error:
        raise BodyError(error) from error
