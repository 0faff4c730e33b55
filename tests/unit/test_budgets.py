"""How budgets are written, and what is left of them."""

from __future__ import annotations

import time
from datetime import UTC, datetime

import pytest

from app import budgets
from app.budgets import OF_HOUSE, OF_KEYS, Budget, BudgetError, Standing
from app.spending import Sums
from app.window import parse


def at(text: str) -> float:
    return datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()


@pytest.mark.parametrize(
    ("text", "spelled", "in_words"),
    [
        ("50/month", "50/month", "$50 a month"),
        ("$2.50/day", "2.5/day", "$2.50 a day"),
        ("20usd/day", "20/day", "$20 a day"),
        ("2000000tokens/day", "2000000tokens/day", "2,000,000 tokens a day"),
        ("1 token / month", "1tokens/month", "1 tokens a month"),
    ],
)
def test_what_a_budget_is_spelled_like(text: str, spelled: str, in_words: str) -> None:
    (one,) = budgets.read(text)
    assert (str(one), one.in_words) == (spelled, in_words)
    assert budgets.read(str(one)) == (one,)


def test_several_have_commas_between() -> None:
    found = budgets.read("5/day, 50/month,1000tokens/month")
    assert found == (Budget(5, "day"), Budget(50, "month"), Budget(1000, "month", is_usd=False))
    assert budgets.spell(found) == "5/day,50/month,1000tokens/month"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "50",
        "50/week",
        "50/night",
        "fifty/month",
        "0/month",
        "-1/day",
        "1e3/day",
        "nan/day",
        "$5tokens/day",
        "1.5tokens/day",
        "5/day,6/day",
        "5/day,",
        "5€/day",
        "9999999999/day",
    ],
)
def test_what_is_none_names_what_it_takes(text: str) -> None:
    with pytest.raises(BudgetError, match="US dollars or tokens a day or month, such as 20/day or 2000000tokens/month"):
        budgets.read(text, OF_KEYS)


def test_the_house_has_nights() -> None:
    assert budgets.read_house("20/night") == (Budget(20, "night"),)
    with pytest.raises(BudgetError, match="a night, day or month, such as 20/night"):
        budgets.read("20/week", OF_HOUSE)


def test_the_house_has_shares_of_usage_windows() -> None:
    both = budgets.read_house("40%five_hour,12.5 % seven_day,20/night")
    assert both[:2] == (
        Budget(0.4, "night", is_usd=False, window="five_hour"),
        Budget(0.125, "night", is_usd=False, window="seven_day"),
    )
    assert budgets.spell(both) == "40%five_hour,12.5%seven_day,20/night"
    assert both[0].in_words == "40% of the window five_hour a night"
    # A share counts no tokens: a cost that nobody knows is limited by nothing.
    found = budgets.standings(both[2:], lambda _: Sums(0, 5, 1), time.time())
    assert budgets.used_up(found) is not None


def test_a_batch_has_a_share_of_one_usage_window() -> None:
    share = budgets.read_share("30%five_hour")
    assert (share.window, share.amount, str(share)) == ("five_hour", 0.3, "30%five_hour")
    assert (
        Standing(share, Sums(), 0.0, share=0.31).in_words
        == "has used 31% of its 30% of the window five_hour since it was made"
    )
    for text in ("30", "30%", "0%five_hour", "30%ten_hour", "30%five_hour,20%seven_day", "20/night"):
        with pytest.raises(BudgetError, match="such as 30%five_hour"):
            budgets.read_share(text)


@pytest.mark.parametrize("text", ["0%five_hour", "101%five_hour", "40%", "40%ten_hour", "40%five_hour,30%five_hour"])
def test_a_share_that_is_none_names_what_it_takes(text: str) -> None:
    with pytest.raises(BudgetError, match="such as 40%five_hour"):
        budgets.read_house(text)
    with pytest.raises(BudgetError):
        budgets.read(text)


def standing(budget: str, sums: Sums, *, has_tokens: bool = False) -> Standing:
    return Standing(budgets.read(budget)[0], sums, at("2026-12-01"), has_tokens)


@pytest.mark.parametrize(
    ("budget", "sums", "is_used_up", "in_words"),
    [
        ("50/month", Sums(49_999_999), False, "has spent $50 of its $50 a month"),
        ("50/month", Sums(12_300_000, 5), False, "has spent $12.30 of its $50 a month"),
        ("50/month", Sums(50_000_000), True, "has spent $50 of its $50 a month"),
        ("1000tokens/day", Sums(10**9, 999, 7), False, "has used 999 tokens of its 1,000 tokens a day"),
        ("1000tokens/day", Sums(0, 1001), True, "has used 1,001 tokens of its 1,000 tokens a day"),
        (
            "50/month",
            Sums(0, 5, 1),
            True,
            "has had 1 answer whose cost nobody knows, so that its $50 a month can't be kept",
        ),
    ],
)
def test_what_is_left(budget: str, sums: Sums, is_used_up: bool, in_words: str) -> None:
    one = standing(budget, sums)
    assert (one.is_used_up, one.in_words, one.resets) == (is_used_up, in_words, "2026-12-01 00:00 UTC")


def test_a_cost_that_nobody_knows_is_counted_by_tokens_where_they_have_a_budget() -> None:
    both = budgets.standings(budgets.read("50/month,1000tokens/month"), lambda _: Sums(0, 900, 3), time.time())
    assert budgets.used_up(both) is None
    both = budgets.standings(budgets.read("50/month,1000tokens/month"), lambda _: Sums(0, 1000, 3), time.time())
    assert str(budgets.used_up(both).budget) == "1000tokens/month"  # type: ignore[union-attr]


def test_of_two_that_are_used_up_the_one_that_lasts_longer_is_named() -> None:
    now = at("2026-11-10")
    found = budgets.used_up(budgets.standings(budgets.read("5/day,50/month"), lambda _: Sums(60_000_000), now))
    assert found is not None
    assert (str(found.budget), found.until) == ("50/month", at("2026-12-01"))


@pytest.mark.parametrize(
    ("hours", "now", "begins", "ends"),
    [
        ("22:00-07:00", "2026-11-28 23:30", "2026-11-28 22:00", "2026-11-29 22:00"),
        ("22:00-07:00", "2026-11-29 06:59:59", "2026-11-28 22:00", "2026-11-29 22:00"),
        # After it has closed it is the same night, until it opens again.
        ("22:00-07:00", "2026-11-29 12:00", "2026-11-28 22:00", "2026-11-29 22:00"),
        ("22:00-07:00", "2026-11-29 22:00", "2026-11-29 22:00", "2026-11-30 22:00"),
        ("01:15-05:00 Europe/Berlin", "2026-11-29 02:00", "2026-11-29 00:15", "2026-11-30 00:15"),
    ],
)
def test_a_night_is_from_one_opening_to_the_next(hours: str, now: str, begins: str, ends: str) -> None:
    night = budgets.night_of(hours, at(now))
    assert (night.begins, night.ends) == (at(begins), at(ends))
    assert parse(hours).is_open(night.begins)


@pytest.mark.parametrize(("hour", "day"), [("11:59", 27), ("12:00", 28), ("23:00", 28)])
def test_without_a_window_a_night_is_from_noon_to_noon_here(
    hour: str, day: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TZ", "Asia/Tokyo")
    time.tzset()
    try:
        night = budgets.night_of("", datetime.fromisoformat(f"2026-11-28T{hour}:30+09:00").timestamp())
        assert night.begins == datetime.fromisoformat(f"2026-11-{day}T12:00+09:00").timestamp()
        assert night.ends - night.begins == 86400
    finally:
        monkeypatch.undo()
        time.tzset()
