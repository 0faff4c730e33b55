"""What an answer costs, and what has no cost."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from app import price_file, prices
from app.prices import cost_usd
from app.settings import Settings, SettingsError

if TYPE_CHECKING:
    from pathlib import Path

MILLION = 1_000_000
OWN = """
["claude-haiku-4-5"]
input = 2
output = 3.0
cache_write_5m = 4
cache_write_1h = 5
cache_read = 6
"""
LONG = "long_above = 10\n[claude-haiku-4-5.long]\ninput = 20\noutput = 30\ncache_write_5m = 40\ncache_write_1h = 50\ncache_read = 60\n"


def usage(plain: int = 0, output: int = 0, **others: Any) -> dict[str, Any]:
    """As the Messages API reports it."""
    return {"input_tokens": plain, "output_tokens": output, **others}


@pytest.mark.parametrize(
    ("used", "usd"),
    [
        (usage(MILLION), 3.0),
        (usage(0, MILLION), 15.0),
        (usage(cache_read_input_tokens=MILLION), 0.3),
        (usage(cache_creation_input_tokens=MILLION), 3.75),
        (usage(cache_creation_input_tokens=MILLION, cache_creation={"ephemeral_1h_input_tokens": MILLION}), 6.0),
        (
            usage(
                cache_creation_input_tokens=MILLION,
                cache_creation={"ephemeral_1h_input_tokens": MILLION // 2, "ephemeral_5m_input_tokens": MILLION // 2},
            ),
            4.875,
        ),
        (usage(1000, 100, cache_read_input_tokens=None, cache_creation=None), 0.0045),
        (usage(MILLION, inference_geo="us"), 3.3),
        (usage(MILLION, inference_geo="global", service_tier="standard"), 3.0),
    ],
)
def test_each_kind_of_token_has_its_price(used: dict[str, Any], usd: float) -> None:
    """By the reported usage; a batch costs half of it, whoever says that it is one."""
    assert cost_usd("claude-sonnet-4-5", used) == pytest.approx(usd)
    assert cost_usd("claude-sonnet-4-5", used, half=True) == pytest.approx(usd / 2)
    assert cost_usd("claude-sonnet-4-5", {**used, "service_tier": "batch"}) == pytest.approx(usd / 2)
    assert cost_usd("claude-sonnet-4-5", {**used, "service_tier": "batch"}, half=True) == pytest.approx(usd / 2)


@pytest.mark.parametrize(
    ("model", "used"),
    [
        ("claude-other-9", usage(1)),
        ("claude-sonnet-4-55", usage(1)),
        ("haiku", usage(1)),
        ("claude-sonnet-4-5", {}),
        ("claude-sonnet-4-5", {"input_tokens": 1, "output_tokens": None}),
        ("claude-sonnet-4-5", usage(1, service_tier="priority")),
        ("claude-sonnet-4-5", usage(1, speed="fast")),
        ("claude-sonnet-4-5", usage(1, server_tool_use={"web_search_requests": 1})),
    ],
)
def test_what_is_not_known_has_no_cost(model: str, used: dict[str, Any]) -> None:
    """No price is made up for a model, a missing count, or a kind of use that the table has no price for."""
    assert cost_usd(model, used) is None


@pytest.mark.parametrize("suffix", ["", "-20250929", "-latest", "[1m]", "-20250929[1m]"])
def test_a_models_date_does_not_matter(suffix: str) -> None:
    """Nor does the size of its window."""
    assert cost_usd(f"claude-sonnet-4-5{suffix}", usage(MILLION)) == pytest.approx(3.0)


def test_a_long_prompt_has_its_own_price() -> None:
    """What is read from and written to the cache counts for its length, and all tokens of the request pay it."""
    assert cost_usd("claude-haiku-5-5", usage(100_000, MILLION)) == pytest.approx(0.51)
    assert cost_usd("claude-haiku-5-5", usage(100_001, MILLION)) == pytest.approx(2.55, rel=1e-4)
    read = usage(50_000, MILLION, cache_read_input_tokens=50_001)
    assert cost_usd("claude-haiku-5-5", read) == pytest.approx(2.5275, rel=1e-4)


def test_own_prices_go_before_the_list(tmp_path: Path) -> None:
    """For the models of the file, whatever their date; the others keep their list prices."""
    path = tmp_path / "prices.toml"
    path.write_text(OWN + LONG)
    table = price_file.in_use(path)
    assert cost_usd("claude-haiku-4-5-20251001", usage(10), prices=table) == pytest.approx(20 / MILLION)
    assert cost_usd("claude-haiku-4-5", usage(11, 1), prices=table) == pytest.approx(250 / MILLION)
    assert cost_usd("claude-sonnet-4-5", usage(MILLION), prices=table) == pytest.approx(3.0)
    assert price_file.in_use(None) is prices.LIST


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "names no model"),
        ("input = ", "is no TOML"),
        ("input = 3", "has `input`, which is no table of prices"),
        (OWN.replace("cache_read = 6", ""), "has no `cache_read` in `claude-haiku-4-5`"),
        (OWN + "cache_reads = 6", "has `cache_reads` in `claude-haiku-4-5`; it takes input, output"),
        (OWN.replace("3.0", "-1"), "has `output = -1` in `claude-haiku-4-5`; it takes USD per million tokens"),
        (OWN.replace("3.0", "nan"), "has `output = nan`"),
        (OWN.replace("3.0", '"3"'), "has `output = 3` in"),
        (OWN + "long_above = 10", "they belong together"),
        (OWN + LONG.replace("= 10", "= -1"), "it takes a number of tokens"),
        (OWN + LONG.replace("input = 20\n", ""), "has no `input` in `claude-haiku-4-5.long`"),
    ],
)
def test_a_bad_file_of_prices_is_refused_at_the_start(tmp_path: Path, text: str, said: str) -> None:
    """The message names the variable, the file and what is wrong."""
    path = tmp_path / "prices.toml"
    path.write_text(text)
    with pytest.raises(SettingsError) as refused:
        Settings.from_environment({"NIGHTSHIFT_PRICES": str(path)}, data_dir=tmp_path)
    assert str(refused.value).startswith(f"NIGHTSHIFT_PRICES='{path}' ")
    assert said in str(refused.value)


def test_a_file_of_prices_that_is_not_there_is_refused(tmp_path: Path) -> None:
    """So is a directory."""
    for path in (tmp_path / "none.toml", tmp_path):
        with pytest.raises(SettingsError, match="can't be read"):
            Settings.from_environment({"NIGHTSHIFT_PRICES": str(path)}, data_dir=tmp_path)
