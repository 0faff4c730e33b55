"""When something is said of a batch, and when not again."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from app.batches.record import BatchRecord, BatchStatus, Hold
from app.gate import Cause
from app.notices import rules, words
from app.notices.rules import Kind, Said, Wait

NOW = 1_800_000_000.0
RUNS = BatchRecord(
    id="batch_1",
    endpoint="/v1/chat/completions",
    input_file_id="file-1",
    completion_window="24h",
    status=BatchStatus.IN_PROGRESS,
    created_at=NOW - 7200,
    expires_at=NOW + 80000,
    output_file="file-2",
    error_file="file-3",
    input_name="reviews.csv",
    total=100,
)


def said_over(seconds: int, waits: Any, record: BatchRecord = RUNS, share: float = 0.1) -> list[tuple[int, Kind]]:
    """What is said in so many seconds, each looked at. `waits`: why the batch waits in each."""
    said, found = Said(), []
    for second in range(seconds):
        said, kinds = rules.of_batch(said, record, waits(second), NOW + second, share)
        said = Said.from_json(said.to_json())
        found += [(second, kind) for kind in kinds]
    return found


def test_a_hold_is_said_once() -> None:
    """Not each second, however long it lasts."""
    assert said_over(5000, lambda _: Wait(Hold.TRIED)) == [(0, Kind.HELD)]
    assert said_over(5000, lambda _: Wait(Cause.USAGE_LIMIT, NOW + 9000)) == [(30, Kind.HELD)]


def test_a_hold_that_comes_and_goes_is_one_piece_of_news() -> None:
    """A gate that opens for each probe, and one that is closed for seconds only; after an hour it is news again."""
    flaps = said_over(4000, lambda second: Wait(Cause.LOGIN) if second % 100 < 60 else None)
    assert [second for second, _ in flaps] == [30, 3630]
    assert said_over(4000, lambda second: Wait(Cause.LOGIN) if second % 100 < 20 else None) == []


def test_another_hold_is_another_piece_of_news() -> None:
    both = said_over(200, lambda second: Wait(Hold.TRIED if second < 100 else Hold.BUDGET))
    assert both == [(0, Kind.HELD), (100, Kind.HELD)]


@pytest.mark.parametrize("code", [Cause.PAUSED, Hold.BATCH_WINDOW, Hold.RESERVE, Hold.PACE, Hold.MESSAGE_BATCHES])
def test_what_was_asked_for_is_not_said(code: str) -> None:
    """A pause by hand, a window, a reserve: who asked for these knows."""
    assert said_over(5000, lambda _: Wait(code)) == []


def test_overloads_are_said_when_they_last() -> None:
    """They come in walls of minutes."""
    assert said_over(899, lambda _: Wait(Cause.OVERLOAD)) == []
    assert said_over(1000, lambda _: Wait(Cause.OVERLOAD)) == [(900, Kind.HELD)]


def test_an_end_is_said_once() -> None:
    done = replace(RUNS, status=BatchStatus.COMPLETED, completed_at=NOW, completed=100)
    assert said_over(50, lambda _: None, done) == [(0, Kind.ENDED)]


@pytest.mark.parametrize(
    ("completed", "failed", "share", "is_said"),
    [(40, 5, 0.1, True), (45, 5, 0.1, False), (0, 4, 0.1, False), (0, 100, 0.0, False)],
)
def test_many_failures_are_said_once(completed: int, failed: int, share: float, is_said: bool) -> None:
    """More than the share of what has ended, and not the first few."""
    record = replace(RUNS, completed=completed, failed=failed)
    assert said_over(10, lambda _: None, record, share) == ([(0, Kind.FAILING)] if is_said else [])


def test_everything_that_is_said_has_words() -> None:
    """Each hold, in a title of one line, with what to do."""
    for code in rules.SETTLED:
        message = words.held(RUNS, Wait(code, NOW), words.Where())
        assert message.title.startswith("reviews.csv (batch_1) waits: ") and "\n" not in message.title
        assert "{" not in message.text and words.all_held([RUNS, RUNS], Wait(code), words.Where()).text
    assert set(rules.SETTLED) >= rules.SHARED


def test_the_numbers_of_the_report() -> None:
    """Counts, cost, when and how fast; the page where it is known."""
    done = replace(
        RUNS,
        status=BatchStatus.COMPLETED,
        in_progress_at=NOW - 3600,
        completed_at=NOW,
        completed=90,
        failed=10,
        input_tokens=1000,
        output_tokens=234,
        cost_usd=1.5,
    )
    message = words.ended(done, words.Where(links="https://n.example/"))
    assert (message.title, message.tone) == ("reviews.csv (batch_1) is done, 10 failed", "warning")
    assert words.ended(replace(done, failed=0), words.Where()).tone == "success"
    assert words.ended(replace(done, status=BatchStatus.FAILED), words.Where()).tone == "failure"
    assert "90 of 100 answered, 10 failed\n1,234 tokens, $1.50\n" in message.text
    assert ", 90 an hour\nhttps://n.example/batches/batch_1" in message.text
    summed = words.digest([done, RUNS], {"batch_1": Wait(Cause.USAGE_LIMIT, NOW)}, words.Where())
    assert summed.title == "Nightshift: 1 of 2 batches done, 90 answers, 10 failed"
