"""Every field of a chat request has a decision here. The code follows this table, and the documentation is made from it.

Nothing is dropped in silence: a field is honoured, mapped to something of Claude's, ignored and named in the response
header `x-nightshift-ignored`, or refused with a 400 that names it, because an answer would pretend that it was heeded.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from app import errors
from app.error_codes import ErrorCode

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping


class Decision(StrEnum):
    """What becomes of a field."""

    HONOURED = "honoured"
    MAPPED = "mapped"
    IGNORED = "ignored"
    REFUSED = "refused"


@dataclass(frozen=True)
class Field:
    """A field's decision, and why, in words for the client."""

    decision: Decision
    note: str
    #: values of a refused field that ask for nothing, beside null, false, 0 and what is empty
    harmless: tuple[Any, ...] = ()
    #: values of a refused field that do ask for something, although they are 0 or empty
    meaningful: tuple[Any, ...] = ()

    def asks_for_nothing(self, value: Any) -> bool:
        """Whether a refused field is accepted with this value, which asks for nothing."""
        return _is_among(value, self.harmless) or (not value and not _is_among(value, self.meaningful))


def _is_among(value: Any, values: tuple[Any, ...]) -> bool:
    return any(value == one and type(value) is type(one) for one in values)


def table(decision: Decision, **notes: str) -> dict[str, Field]:
    """Rows of one decision, with their notes."""
    return {name: Field(decision, note) for name, note in notes.items()}


#: what chat requests and response requests have in common
SHARED = (
    table(
        Decision.HONOURED,
        model="a Claude id, haiku, sonnet, opus, or another name that GET /v1/models lists",
        temperature="0 to 1; 1 is what models do anyway, and not sent; where a model takes none, or not beside thinking or `top_p`,"
        " see below",
        top_p="1 is not sent; where a model takes none, see below",
        tool_choice="none, auto, required, one function, or allowed_tools: the others are kept from Claude",
        parallel_tool_calls="false: one call at most; else as many as the model makes, of one function that is forced, too",
        max_attempts="ours: how often it may be sent to Claude, whatever becomes of it; 1: never twice, neither after an error"
        " nor after a worker's death, nor to repair JSON",
    )
    | table(
        Decision.MAPPED,
        service_tier="flex: other requests go first, as before a batch's lines, and of several ways to Claude a cheap one is"
        " taken, and waited for; batch: Message Batches, for a batch's line only; the others make no difference",
    )
    | table(
        Decision.IGNORED,
        user="does not change the answer",
        safety_identifier="does not change the answer",
        prompt_cache_key="Claude caches by content",
        prompt_cache_retention="Claude caches by content",
        prompt_cache_options="Claude caches by content",
    )
    | table(Decision.REFUSED, top_logprobs="Claude reports none", moderation="no moderation is run here")
)

FIELDS: Mapping[str, Field] = MappingProxyType(
    SHARED
    | table(
        Decision.HONOURED,
        messages="text, images as data or https URLs, PDFs and text files as data, in tools' results, too; roles system,"
        " developer, user, assistant, tool, see below; a `name` and an image's `detail` have no effect and are named as ignored",
        max_tokens="the smaller of the two caps counts",
        max_completion_tokens="the smaller of the two caps counts",
        stop="a string or up to 16; at those of white space only, which Claude does not take, the text is cut here, and the"
        " usage counts what Claude wrote",
        response_format="text, json_object, json_schema of any draft, checked here, repaired once, else a 422;"
        " `format` is checked if `$schema` names draft-07 or older, not by 2020-12, the default;"
        " a schema that is none is a 400",
        tools="functions, never executed here, and others are a 400; the arguments of strict ones and of a forced one are checked",
        metadata="shown in the job, and searched by; 16 pairs of 64 and 512 characters",
        store="outcomes are kept for NIGHTSHIFT_RESULT_TTL_SECONDS either way; true: listed by GET /v1/chat/completions",
        stream="token by token; JSON and arguments that are checked come whole",
        stream_options="include_usage; a 400 without stream",
        callback_url="ours: 202 at once, and a signed webhook when it is done",
    )
    | table(
        Decision.MAPPED,
        reasoning_effort="to Claude's thinking, from low on, at most half of the output cap; none where JSON or a call is"
        " forced (then it is named as ignored), nor with a cap below 2,048",
        n="the question is asked n times, each by a job of its own, on as many workers as are free; usage adds up; not with stream",
    )
    | table(
        Decision.IGNORED,
        seed="Claude has none",
        verbosity="Claude has none",
    )
    | table(
        Decision.REFUSED,
        logprobs="Claude reports none",
        audio="Claude does not speak",
        functions="it is deprecated: send tools",
        function_call="it is deprecated: send tool_choice",
        web_search_options="no tools are run here",
        prediction="Claude takes none",
        logit_bias="Claude takes none",
        presence_penalty="Claude takes none",
        frequency_penalty="Claude takes none",
    )
    | {
        "modalities": Field(Decision.REFUSED, "only text comes out", harmless=(["text"],)),
    }
)


def decide(
    body: Mapping[str, Any], fields: Mapping[str, Field] = FIELDS, *, ignorable: Collection[str] = ()
) -> tuple[dict[str, Any], list[str]]:
    """The fields that go on, and the names of those that had no effect. Raises `ErrorReply` for a refused one.

    `ignorable`: refused fields that are ignored instead.
    """
    kept: dict[str, Any] = {}
    ignored: list[str] = []
    for name, value in body.items():
        if value is None:
            continue
        field = fields.get(name)
        if field is None or field.decision is Decision.IGNORED:
            ignored.append(name)
        elif field.decision is not Decision.REFUSED:
            kept[name] = value
        elif field.asks_for_nothing(value):
            continue
        elif name in ignorable:
            ignored.append(name)
        else:
            code = ErrorCode.UNSUPPORTED_VALUE if field.harmless else ErrorCode.UNSUPPORTED_PARAMETER
            raise errors.invalid_request(f"'{name}' is not supported: {field.note}.", param=name, code=code)
    return kept, ignored
