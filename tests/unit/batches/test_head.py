"""What the lines of a batch have in common, and how long it is kept."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from app.batches.endpoints import CHAT_COMPLETIONS, COMPLETIONS, RESPONSES, accept_line
from app.batches.formats.line import Line
from app.batches.head import Head, HeadFinder, cache_of, least_tokens
from app.batches.record import BatchRecord, BatchStatus
from app.settings import Settings

#: words, so that a text can be parted
LONG = "Read this with care. " * 1000
MODEL = "claude-sonnet-4-5"


def user(content: Any) -> list[dict[str, Any]]:
    return [{"role": "user", "content": content}]


def found(*bodies: dict[str, Any], endpoint: str = CHAT_COMPLETIONS) -> Head | None:
    finder = HeadFinder()
    for body in bodies:
        finder.add(accept_line(Line("x", {"model": MODEL, **body}), endpoint, Settings()).payload)
    return finder.found()


def three(*contents: Any) -> list[dict[str, Any]]:
    return [{"messages": user(content)} for content in contents]


def test_the_head_of_a_template_ends_where_the_lines_differ() -> None:
    """Before the white space that is before the first difference: no word is cut."""
    head = found(*three(*(f"{LONG}Review: {name} came" for name in ("Anna", "Andi", "Bert"))))
    assert head == Head(len(f"{LONG}Review:"), 0, len(f"{LONG}Review:"))
    assert found(*three(*(f"{LONG}Review: An{name}" for name in "abc"))) == head


def test_whole_blocks_are_counted_over_all_messages() -> None:
    """Examples that are shared as turns, and a document that is a part of its own."""
    turns = [*user(LONG), {"role": "assistant", "content": "yes"}]
    head = found(*({"messages": turns + user(f"Question {n}")} for n in range(3)))
    assert head is not None
    assert (head.blocks, head.characters) == (2, 0)
    parts = [[{"type": "text", "text": LONG}, {"type": "text", "text": f"Question {n}"}] for n in range(3)]
    head = found(*three(*parts))
    assert head is not None
    assert (head.blocks, head.characters) == (1, 0)


def test_lines_that_are_the_same_are_the_head() -> None:
    """All of them to the last block."""
    assert found(*three(LONG, LONG, LONG)) == Head(len(LONG), 1, 0)


@pytest.mark.parametrize(
    "bodies",
    [
        three(*(f"{n} {LONG}" for n in range(3))),
        three(*(f"Short. {n}" for n in range(3))),
        three(LONG, LONG),
        [{"messages": [{"role": "system", "content": f"{LONG}{n}"}, *user("x")]} for n in range(3)],
        [{"messages": user(LONG), "tools": [{"type": "function", "function": {"name": f"f{n}"}}]} for n in range(3)],
    ],
    ids=["begin differently", "short", "too few", "system texts differ", "functions differ"],
)
def test_where_it_does_not_pay_there_is_none(bodies: list[dict[str, Any]]) -> None:
    assert found(*bodies) is None


def test_how_the_model_is_to_answer_is_before_the_messages() -> None:
    """Lines that think differently share the system text at most."""
    efforts = ("low", "high", "low")
    system = {"role": "system", "content": LONG}
    bodies = [{"messages": user(LONG), "reasoning_effort": effort} for effort in efforts]
    assert found(*bodies) is None
    head = found(*({**body, "messages": [system, *body["messages"]]} for body in bodies))
    assert head == Head(len(LONG), 0, 0)


def test_a_short_common_text_behind_a_long_system_text_is_not_parted_for_it() -> None:
    """It is not worth it."""
    system = {"role": "system", "content": LONG}
    head = found(*({"messages": [system, *user(f"Is this kind? {n}")]} for n in range(3)))
    assert head == Head(len(LONG), 0, 0)


def test_each_endpoint_s_lines_have_a_head() -> None:
    bodies = [{"input": f"{LONG}{n}", "instructions": "Be brief."} for n in range(3)]
    assert found(*bodies, endpoint=RESPONSES) is not None
    assert found(*({"prompt": f"{LONG}{n}"} for n in range(3)), endpoint=COMPLETIONS) is not None
    # Each prompt of a line is a request by itself.
    assert found(*({"prompt": [f"{LONG}{n}", "another"]} for n in range(3)), endpoint=COMPLETIONS) is None


@pytest.mark.parametrize(
    ("model", "tokens"),
    [
        ("claude-sonnet-4-5", 1024),
        ("claude-opus-4-20250514", 1024),
        ("claude-sonnet-4-6", 2048),
        ("claude-3-5-haiku-20241022", 2048),
        ("claude-opus-4-5", 4096),
        ("claude-haiku-4-5", 4096),
        ("haiku", 4096),
        ("claude-sonnet-5-5", 4096),
    ],
)
def test_how_long_it_has_to_be_depends_on_the_model(model: str, tokens: int) -> None:
    assert least_tokens(model) == tokens
    text = "word " * (3 * tokens // 5)
    assert found(*({**one, "model": model} for one in three(*(f"{text}  {text} {n}" for n in range(3))))) is not None
    assert found(*({**one, "model": model} for one in three(*(f"{text[:-9]} {n}" for n in range(3))))) is None


def record(**fields: Any) -> BatchRecord:
    now = 1000.0
    made = BatchRecord(
        id="b",
        endpoint=CHAT_COMPLETIONS,
        input_file_id="f",
        completion_window="24h",
        status=BatchStatus.IN_PROGRESS,
        created_at=now,
        expires_at=now + 86400,
        in_progress_at=now,
        head_bytes=9000,
        head_blocks=1,
        head_characters=7,
    )
    return replace(made, **fields)


def test_lines_that_are_far_apart_keep_it_for_an_hour() -> None:
    """As the batch goes: five minutes are renewed by each line that reads, so that its length does not matter."""
    place = {"blocks": 1, "characters": 7}
    assert cache_of(record(), 1000.0) == {"ttl": "5m", **place}
    assert cache_of(record(completed=100), 1000.0 + 20_000) == {"ttl": "5m", **place}
    assert cache_of(record(completed=50, failed=50), 1000.0 + 25_000) == {"ttl": "1h", **place}
    assert cache_of(record(completed=1), 1000.0 + 25_000)["ttl"] == "5m"


def test_a_batch_may_have_nothing_kept() -> None:
    assert cache_of(record(metadata={"prompt_cache": "off"}), 1000.0) == {"ttl": ""}
    assert cache_of(record(head_bytes=0), 1000.0) == {"ttl": "5m"}
