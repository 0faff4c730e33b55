"""The user's own prices: a TOML file with a table for each model, USD per million tokens.

    ["claude-haiku-4-5"]
    input = 0.90
    output = 4.50
    cache_write_5m = 1.125
    cache_write_1h = 1.80
    cache_read = 0.09

`long_above` (tokens) and a table `long` of the same five are for models whose longer prompts have another price.
"""

from __future__ import annotations

import tomllib
from dataclasses import fields, replace
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from app.prices import LIST, Price

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

#: bytes of a file of prices
_MAX_BYTES = 1024 * 1024
_LONG = ("long_above", "long")
_NUMBERS = tuple(f.name for f in fields(Price) if f.name not in _LONG)


class PriceFileError(ValueError):
    """The file can't be used: the rest of a sentence that begins with its name."""


def read(path: Path) -> Mapping[str, Price]:
    """The prices that the file has. Raises `PriceFileError`."""
    try:
        with path.open("rb") as file:
            data = file.read(_MAX_BYTES + 1)
    except OSError as error:
        raise PriceFileError(f"can't be read: {error.strerror}") from error
    if len(data) > _MAX_BYTES:
        raise PriceFileError(f"has more than {_MAX_BYTES} bytes")
    try:
        tables = tomllib.loads(data.decode())
    except ValueError as error:
        raise PriceFileError(f"is no TOML: {error}") from error
    if not tables:
        raise PriceFileError('names no model; a model is a table such as ["claude-haiku-4-5"]')
    return MappingProxyType({model: _price(model, table) for model, table in tables.items()})


def in_use(path: Path | None) -> Mapping[str, Price]:
    """The list, and the user's own prices before it. Raises `PriceFileError`."""
    return LIST if path is None else MappingProxyType({**LIST, **read(path)})


def _price(where: str, table: Any, *, is_long: bool = False) -> Price:
    takes = _NUMBERS if is_long else (*_NUMBERS, *_LONG)
    if not isinstance(table, dict):
        raise PriceFileError(f"has `{where}`, which is no table of prices ({', '.join(_NUMBERS)})")
    if unknown := [name for name in table if name not in takes]:
        raise PriceFileError(f"has `{unknown[0]}` in `{where}`; it takes {', '.join(takes)}")
    if missing := [name for name in _NUMBERS if name not in table]:
        raise PriceFileError(f"has no `{missing[0]}` in `{where}`")
    for name in _NUMBERS:
        if not _is_number(table[name]):
            raise PriceFileError(
                f"has `{name} = {table[name]}` in `{where}`; it takes USD per million tokens, 0 or more"
            )
    if ("long" in table) != ("long_above" in table):
        raise PriceFileError(f"has `long` or `long_above` in `{where}`; they belong together")
    plain, output, write_5m, write_1h, read_again = (float(table[name]) for name in _NUMBERS)
    price = Price(plain, output, write_5m, write_1h, read_again)
    if "long" not in table:
        return price
    above = table["long_above"]
    if not isinstance(above, int) or isinstance(above, bool) or above < 0:
        raise PriceFileError(f"has `long_above = {above}` in `{where}`; it takes a number of tokens")
    long = _price(f"{where}.long", table["long"], is_long=True)
    return replace(price, long_above=above, long=long)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < float("inf")
