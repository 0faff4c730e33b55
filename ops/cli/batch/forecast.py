"""What `nightshift batch` says of a batch whose first requests were tried: how they went, and what the rest will come to."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from app.money import money

if TYPE_CHECKING:
    from collections.abc import Iterator

_HOUR = 3600.0


def lines(batch: dict[str, Any], report: dict[str, Any]) -> Iterator[str]:
    """For people. `report`: what `/v1/batches/{id}/report` says."""
    found = report["forecast"]
    if found is None:
        return
    cost = "of unknown cost" if report["cost_usd"] is None else money(report["cost_usd"])
    yield f"Tried {found['tried']:,} of {report['total']:,} requests: {found['tried'] - found['failed']:,} answered, {found['failed']:,} failed; {cost}."
    for cause in report["causes"]:
        yield f"    {cause['count']:,} x {cause['code']}: {next((one['message'] for one in cause['examples']), '')}".rstrip(
            ": "
        )
    yield f"The other {found['requests']:,}:"
    for way, usd in found["cost_usd"].items():
        saved = found.get("cache_saved_usd", {}).get(way)  # older servers say nothing of it
        cache = f"; the prompt cache saves {money(saved['likely'])} of it" if saved else ""
        yield f"    cost by {way:<8}{money(usd['likely']):>10}   {money(usd['low'])} to {money(usd['high'])}{cache}"
    if not found["cost_usd"]:
        yield "    cost            unknown: no price is known for this model (NIGHTSHIFT_PRICES takes your own)"
    if (seconds := found["seconds"]) is not None:
        workers = f"{found['workers']} worker{'' if found['workers'] == 1 else 's'}"
        yield f"    time            {_time(seconds['likely']):>10}   {_time(seconds['low'])} to {_time(seconds['high'])}, with {workers}"
    read, written = found["input_tokens"], found["output_tokens"]
    yield f"    tokens          {read['likely'] + written['likely']:>10,.0f}   {read['likely']:,.0f} read, {written['likely']:,.0f} written"
    longest = f"{found['longest_bytes']:,} bytes, about {found['longest_tokens']:,} tokens"
    yield f"    longest request {longest}" + (
        f"; {found['too_long']:,} may be too long for the model" if found["too_long"] else ""
    )
    yield f"Continue it: nightshift batch continue {batch['id']}    Or end it: nightshift batch cancel {batch['id']}"


def _time(seconds: float) -> str:
    if seconds >= _HOUR:
        return f"{seconds / _HOUR:.1f} h"
    return f"{seconds / 60:.0f} min" if seconds >= 60 else f"{seconds:.0f} s"
