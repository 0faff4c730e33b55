"""Several answers to one request as one chat or text completion with as many choices."""

from __future__ import annotations

from functools import reduce
from typing import TYPE_CHECKING, Any

from app.outcome import COST_HEADER, IGNORED, WAY_HEADER, Outcome

if TYPE_CHECKING:
    from collections.abc import Sequence

_ATTEMPTS = "x-nightshift-attempts"


def merged(outcomes: Sequence[Outcome], completion_id: str) -> Outcome:
    """Of one completion each, in the choices' order: usage and cost are those of all, the attempts of the one that took most.

    Without a cost when that of any is not known. The first that is an error is the whole's.
    """
    if (error := next((one.error for one in outcomes if one.error is not None), None)) is not None:
        return Outcome(error=error)
    bodies = [one.body or {} for one in outcomes]
    body = {
        **bodies[0],
        "id": completion_id,
        "choices": [{**one["choices"][0], "index": index} for index, one in enumerate(bodies)],
        "usage": reduce(_add, (one["usage"] for one in bodies)),
    }
    headers = {_ATTEMPTS: str(max(int(one.headers[_ATTEMPTS]) for one in outcomes))}
    if ignored := sorted({name for one in outcomes for name in one.headers.get(IGNORED, "").split(", ") if name}):
        headers[IGNORED] = ", ".join(ignored)
    if ways := sorted({one.way for one in outcomes if one.way}):
        headers[WAY_HEADER] = ", ".join(ways)
    costs = [one.cost_usd for one in outcomes if one.cost_usd is not None]
    if len(costs) == len(outcomes):
        headers[COST_HEADER] = f"{sum(costs):.6f}"
    return Outcome(body=body, headers=headers)


def _add(one: dict[str, Any], two: dict[str, Any]) -> dict[str, Any]:
    """Two usages as one: numbers are added, objects by their fields; what only one has stays."""
    total = {**one, **two}
    for name in one.keys() & two.keys():
        total[name] = _add(one[name], two[name]) if isinstance(one[name], dict) else one[name] + two[name]
    return total
