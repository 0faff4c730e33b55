"""The simulated prompt cache: what is read and written, how long it is kept, and what the API refuses."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from simulator.answers import answer
from simulator.errors import ApiError
from simulator.prompt_cache import PromptCache, least_tokens
from simulator.rules import Respond
from simulator.validation import check_request

if TYPE_CHECKING:
    from tests.unit.simulator.conftest import MakeRequest

MODEL = "claude-sonnet-4-5"
#: 2,000 tokens, and 100
HEAD, TAIL = "h" * 8000, "t" * 400


class Clock:
    """Seconds, set by the test."""

    now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def cache(clock: Clock) -> PromptCache:
    return PromptCache(clock)


def marked(text: str, ttl: str | None = None) -> dict[str, Any]:
    mark = {"type": "ephemeral"} | ({"ttl": ttl} if ttl else {})
    return {"type": "text", "text": text, "cache_control": mark}


def plain(text: str) -> dict[str, Any]:
    return {"type": "text", "text": text}


def counts(usage: dict[str, Any]) -> tuple[int, int, int]:
    """Plain, written, read."""
    return usage["input_tokens"], usage["cache_creation_input_tokens"], usage["cache_read_input_tokens"]


def test_what_was_written_is_read_by_whoever_begins_alike(make_request: MakeRequest, cache: PromptCache) -> None:
    """The first writes up to its mark, the next with another end reads it, and one that begins otherwise writes its own."""
    # A message by itself counts one token.
    first, second = (make_request([marked(HEAD), plain(end)], model=MODEL) for end in (TAIL, TAIL + "more"))
    assert counts(cache.usage(first)) == (100, 2001, 0)
    assert counts(cache.usage(second)) == (101, 0, 2001)
    other = make_request([marked("x" + HEAD[1:]), plain(TAIL)], model=MODEL)
    assert counts(cache.usage(other)) == (100, 2001, 0)
    assert sum(counts(cache.usage(second))) == second.input_tokens


@pytest.mark.parametrize(
    "other",
    [
        {"model": "claude-sonnet-4"},
        {"headers": {"x-api-key": "another"}},
        {"tool_choice": {"type": "none"}},
        {"system": "Be brief."},
    ],
)
def test_what_is_before_the_mark_is_all_of_it(
    make_request: MakeRequest, cache: PromptCache, other: dict[str, Any]
) -> None:
    """Another model, key, choice of tools or system prompt: nothing is read."""
    fields = {"model": MODEL, **other}
    cache.usage(make_request([marked(HEAD)], model=MODEL))
    assert cache.usage(make_request([marked(HEAD)], **fields))["cache_read_input_tokens"] == 0


def test_without_a_mark_nothing_is_kept_or_said(make_request: MakeRequest, cache: PromptCache) -> None:
    """The usage stays as it was counted."""
    request = make_request(HEAD, model=MODEL)
    assert cache.usage(request) == {}
    assert answer(request, Respond(), cache.usage(request)).usage["input_tokens"] == 2001


def test_what_is_too_short_for_the_model_is_not_kept(make_request: MakeRequest, cache: PromptCache) -> None:
    """2,001 tokens are enough for some models only."""
    for model, is_kept in ((MODEL, True), ("claude-haiku-4-5", False), ("claude-haiku-5-5", False)):
        request = make_request([marked(HEAD)], model=model)
        cache.usage(request)
        assert (cache.usage(request)["cache_read_input_tokens"] > 0) is is_kept


def test_least_lengths() -> None:
    """By Anthropic's documentation; of models that it does not name here, the most."""
    assert least_tokens("claude-opus-4-1-20250805") == least_tokens("claude-sonnet-4-20250514") == 1024
    assert least_tokens("claude-sonnet-4-6") == least_tokens("claude-3-5-haiku-20241022") == 2048
    assert (
        least_tokens("claude-opus-4-5") == least_tokens("claude-haiku-4-5") == least_tokens("claude-opus-5-5") == 4096
    )


@pytest.mark.parametrize(("ttl", "seconds"), [(None, 300), ("5m", 300), ("1h", 3600)])
def test_a_beginning_is_kept_for_a_while_after_its_last_use(
    make_request: MakeRequest, cache: PromptCache, clock: Clock, ttl: str | None, seconds: float
) -> None:
    """Reading renews it; it is gone when nobody has read it for so long."""
    request = make_request([marked(HEAD, ttl)], model=MODEL)
    found = cache.usage(request)
    assert (
        found["cache_creation"][f"ephemeral_{ttl or '5m'}_input_tokens"] == found["cache_creation_input_tokens"] == 2001
    )
    for _ in range(2):
        clock.now += seconds - 1
        assert cache.usage(request)["cache_read_input_tokens"] == 2001
    clock.now += seconds
    assert counts(cache.usage(request)) == (0, 2001, 0)


def test_it_can_be_read_once_the_first_answer_has_begun(
    make_request: MakeRequest, cache: PromptCache, clock: Clock
) -> None:
    """Requests at the same time each write it."""
    request = make_request([marked(HEAD)], model=MODEL)
    cache.usage(request, begins_after=2)
    clock.now += 1.9
    assert counts(cache.usage(request, begins_after=2)) == (0, 2001, 0)
    clock.now += 0.1
    assert counts(cache.usage(request, begins_after=2)) == (0, 0, 2001)


def test_requests_of_one_message_batch_read_nothing_of_each_other(
    make_request: MakeRequest, cache: PromptCache
) -> None:
    """Another batch does."""
    request = make_request([marked(HEAD, "1h")], model=MODEL)
    reads = [cache.usage(request, writer=writer)["cache_read_input_tokens"] for writer in ("one", "one", "two")]
    assert reads == [0, 0, 2001]


def test_several_marks_write_what_each_adds(make_request: MakeRequest, cache: PromptCache) -> None:
    """The system prompt for an hour, the message for five minutes; then another message reads the system prompt alone."""
    fields = {"model": MODEL, "system": [marked(HEAD, "1h")]}
    found = cache.usage(make_request([marked(HEAD)], **fields))
    assert found["cache_creation"] == {"ephemeral_5m_input_tokens": 2001, "ephemeral_1h_input_tokens": 2000}
    assert counts(cache.usage(make_request([marked("x" + HEAD)], **fields))) == (0, 2002, 2000)


def test_a_rule_s_own_usage_is_what_it_says(make_request: MakeRequest, cache: PromptCache) -> None:
    """Nothing of the cache is added to it."""
    request = make_request([marked(HEAD)], model=MODEL)
    respond = Respond.model_validate({"usage": {"cache_read_input_tokens": 7}})
    found = answer(request, respond, cache.usage(request)).usage
    assert (found["cache_read_input_tokens"], found["cache_creation_input_tokens"]) == (7, 0)
    assert "cache_creation" not in found


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ([marked("a")] * 5, "maximum of 4"),
        ([marked("a", "5m"), marked("b", "1h")], "must not come after"),
        ([marked("a", "2h")], "'5m' or '1h'"),
    ],
)
def test_marks_that_are_refused(content: list[dict[str, Any]], words: str) -> None:
    """As by the API, with a 400."""
    body = {"model": MODEL, "max_tokens": 9, "messages": [{"role": "user", "content": content}]}
    with pytest.raises(ApiError, match=words):
        check_request(body)
    check_request(body | {"messages": [{"role": "user", "content": [marked("a", "1h"), marked("b")]}]})
