"""Every field of a response request has a decision here, as those of a chat request have theirs in `app.openai.fields`."""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING

from app.openai.fields import SHARED, Decision, table

if TYPE_CHECKING:
    from collections.abc import Mapping

    from app.openai.fields import Field

RESPONSE_FIELDS: Mapping[str, Field] = MappingProxyType(
    SHARED
    | table(
        Decision.HONOURED,
        input="text, or items: messages with text, images as data or https URLs, PDFs and text files as data; function calls"
        " and their outputs, of the same parts; references to items of stored responses; a `detail` has no effect and is named"
        " as ignored",
        instructions="the system slot; not carried over to the next response",
        text="format: text, json_object, json_schema; verbosity has no effect",
        tools="functions; nothing is executed here, and others are a 400",
        max_output_tokens="an answer that it cuts is incomplete",
        metadata="shown in the response, and searched by under /v1/jobs; 16 pairs of 64 and 512 characters",
        store="true unless said; kept for NIGHTSHIFT_RESULT_TTL_SECONDS. false: it can't be retrieved or built upon",
        previous_response_id="the conversation so far; 404 when that response is not stored (any more)",
        background="200 at once, to be polled; needs store",
        stream="OpenAI's events; JSON that text.format asked for comes whole, once it is checked",
        callback_url="ours: a signed webhook when it is done; needs background",
    )
    | table(
        Decision.MAPPED,
        reasoning="effort to Claude's thinking; off unless asked for. No summaries",
        truncation="auto is disabled: a conversation that is too long is an error, never shortened",
        include="nothing of what it names exists here; log probabilities are a 400 (or ignored, see above)",
    )
    | table(
        Decision.IGNORED,
        background_options="as soon as there is a worker",
        stream_options="events are not padded",
        max_tool_calls="it is about OpenAI's own tools",
        image="it is about OpenAI's own tools",
        access_programs="OpenAI's own",
    )
    | table(
        Decision.REFUSED,
        conversation="none are kept here: send previous_response_id",
        prompt="no templates are kept here: send instructions and input",
        context_management="conversations are not compacted here",
        presence_penalty="Claude takes none",
        frequency_penalty="Claude takes none",
    )
)
