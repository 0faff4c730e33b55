"""Every field of a text completion's request has a decision here, as those of a chat request have theirs in `app.openai.fields`."""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING

from app.openai.fields import SHARED, Decision, Field, table

if TYPE_CHECKING:
    from collections.abc import Mapping

COMPLETION_FIELDS: Mapping[str, Field] = MappingProxyType(
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
        n="so many answers to each prompt, 128 in all; each is asked for by a job of its own, usage adds up",
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
        "logprobs": Field(
            Decision.REFUSED, "Claude reports none; 0, which asks for one a token, is refused, too", meaningful=(0,)
        )
    }
)
