"""OpenAI's text completions: the request, as chat requests with one user message for each prompt, and their answers as its object.

So there is one way to Claude, and one set of checks: ranges are checked by the chat requests. Source: OpenAI's API reference,
"Create completion" and "The completion object".
"""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

from pydantic import Discriminator, Field, Tag, ValidationError, field_validator, model_validator

from app.errors import ErrorReply
from app.openai import fields, model_names
from app.openai.accept import Accepted, take_extras
from app.openai.accept import accept as accept_chat
from app.openai.chat_request import Metadata, StreamOptions  # noqa: TC001 - pydantic reads it
from app.openai.faults import from_validation
from app.openai.fields import SHARED, Decision, table
from app.openai.messages import Wire, text_or_parts
from app.openai.responses.as_chat import renamed
from app.openai.responses.request import wrong

if TYPE_CHECKING:
    from collections.abc import Mapping

    from app.settings import Settings


COMPLETION_FIELDS: Mapping[str, fields.Field] = MappingProxyType(
    {name: SHARED[name] for name in ("model", "temperature", "top_p", "max_attempts", "service_tier", "user")}
    | table(
        Decision.HONOURED,
        prompt="a text, or a list of texts, each answered by itself: it is a user's message to Claude, nothing is added. Token ids"
        " are a 400",
        max_tokens="16 unless said, as at OpenAI",
        stop="a string or up to 16, white space, too, as in a chat completion",
        echo="the prompt stands before the text",
        stream="token by token; of one prompt and one choice",
        stream_options="include_usage; a 400 without stream",
        metadata="ours: shown in the job, and searched by; 16 pairs of 64 and 512 characters",
        callback_url="ours: 202 at once, and a signed webhook when it is done",
    )
    | table(
        Decision.MAPPED,
        n="this number of answers to each prompt, 128 in all; each is asked for by a job of its own, usage adds up",
        best_of="at most n: the best of more is chosen by log probabilities, which Claude does not report",
    )
    | table(Decision.IGNORED, seed="Claude has none")
    | table(
        Decision.REFUSED,
        suffix="Claude does not fill gaps: ask for it in the prompt",
        logit_bias="Claude takes none",
        presence_penalty="Claude takes none",
        frequency_penalty="Claude takes none",
    )
    | {
        "logprobs": fields.Field(
            Decision.REFUSED, "Claude reports none; 0, which asks for one a token, is refused, too", meaningful=(0,)
        )
    }
)


#: answers to one request: each is a turn of Claude's
MAX_ANSWERS = 128
#: OpenAI's default, tokens
MAX_TOKENS = 16

_PROMPT = Discriminator(
    text_or_parts,
    custom_error_type="prompt_type",
    custom_error_message="must be a string or an array of strings",
)


class CompletionRequest(Wire):
    """`POST /v1/completions`. A field that the client left out, or sent as null, is None."""

    model: str
    prompt: Annotated[
        Annotated[str, Tag("text")] | Annotated[list[str], Field(min_length=1), Tag("parts")],
        _PROMPT,
    ]
    max_tokens: int | None = None
    temperature: float | None = None
    top_p: float | None = None
    stop: str | list[str] | None = None
    n: Annotated[int, Field(ge=1, le=MAX_ANSWERS)] | None = None
    best_of: Annotated[int, Field(ge=1)] | None = None
    echo: bool | None = None
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    service_tier: Literal["auto", "default", "flex", "batch", "scale", "priority"] | None = None
    metadata: Metadata | None = None
    callback_url: str | None = None
    max_attempts: Annotated[int, Field(ge=1, le=100)] | None = None

    #: OpenAI lists none of them
    is_stored: ClassVar[bool] = False

    @property
    def prompts(self) -> list[str]:
        """All of them, one or more."""
        return [self.prompt] if isinstance(self.prompt, str) else self.prompt

    @property
    def include_usage(self) -> bool:
        """Whether the stream ends with the usage."""
        return self.stream_options is not None and bool(self.stream_options.include_usage)

    @field_validator("prompt", mode="before")
    @classmethod
    def _is_text(cls, prompt: Any) -> Any:
        first = prompt[0] if isinstance(prompt, list) and prompt else None
        if isinstance(first, int | list):
            raise wrong("prompt", "token ids are those of another model's tokenizer: send text")
        return prompt

    @model_validator(mode="after")
    def _agrees(self) -> CompletionRequest:
        answers = len(self.prompts) * (self.n or 1)
        if answers > MAX_ANSWERS:
            raise wrong("prompt", f"{answers} answers are too many: a request has {MAX_ANSWERS} at most")
        if (self.best_of or 1) > (self.n or 1):
            raise wrong("best_of", "takes at most 'n': Claude reports no log probabilities to choose by")
        if self.stream_options is not None and not self.stream:
            raise wrong("stream_options", "is only for requests with 'stream': true")
        if self.stream and answers > 1:
            raise wrong("stream", "a stream has one answer: send one prompt and leave 'n' out, or do without 'stream'")
        if self.stream and self.callback_url is not None:
            raise wrong("stream", "a request with a callback_url is answered with 202: nobody reads its stream")
        return self


#: the kind of these jobs, the first part of their events' types, and what the object says it is
KIND = "text_completion"


def prompts(asked: Mapping[str, Any]) -> list[str]:
    """Of the request as it is kept."""
    prompt = asked["prompt"]
    return [prompt] if isinstance(prompt, str) else list(prompt)


def answers(asked: Mapping[str, Any]) -> int:
    """How many answers it wants: `n` to each prompt."""
    return len(prompts(asked)) * int(asked.get("n", 1))


def prompt_of(asked: Mapping[str, Any], number: int) -> str:
    """The prompt of an answer, counted from 0: the first `n` are to the first prompt, as at OpenAI."""
    return prompts(asked)[number // int(asked.get("n", 1))]


def chat_request(asked: Mapping[str, Any], number: int = 0) -> dict[str, Any]:
    """The chat request's JSON for one answer, counted from 0."""
    chat = {name: asked[name] for name in ("model", "temperature", "top_p", "stop") if name in asked}
    chat["max_tokens"] = asked.get("max_tokens", MAX_TOKENS)
    chat["messages"] = [{"role": "user", "content": prompt_of(asked, number)}]
    return chat


def in_its_words(error: ErrorReply, asked: Mapping[str, Any], number: int) -> ErrorReply:
    """An error about the chat request of one answer as one about the completion's: the prompt is named by its index."""
    if not (error.param or "").startswith("messages"):
        return error
    is_list = not isinstance(asked["prompt"], str)
    return renamed(error, f"prompt[{number // int(asked.get('n', 1))}]" if is_list else "prompt")


def finished(asked: Mapping[str, Any], number: int, completion: Mapping[str, Any]) -> dict[str, Any]:
    """The text completion with the answer of this number (from 0) alone."""
    choice = completion["choices"][0]
    message = choice["message"]
    before = prompt_of(asked, number) if asked.get("echo") else ""
    # What the model says when it refuses is no completion of the text.
    reason = "content_filter" if message.get("refusal") else choice["finish_reason"]
    return {
        "id": completion["id"],
        "object": KIND,
        "created": completion["created"],
        "model": completion["model"],
        "choices": [text_choice(before + (message.get("content") or ""), reason)],
        "usage": completion["usage"],
    }


def text_choice(text: str, finish_reason: str | None) -> dict[str, Any]:
    """One choice, of an object or of a chunk."""
    return {"text": text, "index": 0, "logprobs": None, "finish_reason": finish_reason}


#: what is not part of the request as it is kept: the record has it, or it has no meaning later
_NOT_KEPT = {"stream", "stream_options", "callback_url", "max_attempts", "service_tier", "metadata", "best_of"}
#: `JobRecord.version`: before it there were no text completions
_VERSION = 3


def accept(sent: dict[str, Any], settings: Settings) -> Accepted[CompletionRequest]:
    """Decide on every field, check it, resolve the model. Raises `ErrorReply` (400, 404)."""
    kept, ignored = fields.decide(sent, COMPLETION_FIELDS, ignorable=settings.ignore_fields)
    try:
        request = CompletionRequest.model_validate(kept)
    except ValidationError as error:
        raise from_validation(error, kept) from error
    ignored += take_extras(request)
    claude_model = model_names.resolve(request.model, settings)
    asked = request.model_dump(mode="json", exclude_unset=True, exclude=_NOT_KEPT)
    for number in range(0, answers(asked), request.n or 1):
        try:
            chat = accept_chat(chat_request(asked, number), settings)
        except ErrorReply as error:
            raise in_its_words(error, asked, number) from error
        ignored += [name for name in chat.ignored if name not in ignored]
    payload = {"claude_model": claude_model, "completion": asked}
    return Accepted(request, claude_model, payload, ignored, _VERSION)
