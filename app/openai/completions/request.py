"""A text completion's request as it was accepted. What each field means here is in `app.openai.completions.fields`.

Ranges are checked by the chat requests that are made of it (`as_chat`). Source: OpenAI's API reference, "Create completion".
"""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal

from pydantic import Discriminator, Field, Tag, field_validator, model_validator

from app.openai.chat_request import Metadata, StreamOptions  # noqa: TC001 - pydantic reads it
from app.openai.messages import Wire, text_or_parts
from app.openai.responses.request import wrong

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
    service_tier: Literal["auto", "default", "flex", "scale", "priority"] | None = None
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
