"""Why a batch is held, until when, and what to do: the words of the batch object, the page and the report."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from api import auth
from app import budgets, spending
from app.api_keys import ApiKeys
from app.batches.record import OF_ACCOUNTS, Hold

if TYPE_CHECKING:
    from collections.abc import Sequence

    from api.services import Services
    from app.batches.record import BatchRecord
    from app.budgets import Standing


def words(record: BatchRecord, services: Services) -> dict[str, Any]:
    """`waiting_for`, `waiting_until` (None: until somebody says so) and `waiting_reason` of a batch that is held."""
    found: dict[str, Any] = {"waiting_for": record.held, "waiting_until": None}
    if record.held not in OF_ACCOUNTS:
        return found | {"waiting_reason": _own_reason(record)}
    if record.held == Hold.HOUSE_BUDGET and not auth.is_trusted():
        return found | {"waiting_reason": "What may be spent on this server for now is used up. It goes on by itself."}
    standings, whose, how = _account(record, services)
    if not standings:
        return found | {"waiting_reason": "There is no budget any more that holds it: it goes on in a moment."}
    one = budgets.used_up(standings) or min(standings, key=lambda one: one.left / one.budget.amount)
    rest = "" if one.is_used_up else ", and what is left is too little for its next request"
    goes_on = f"It goes on by itself when the budget begins anew, or when it is raised: {how}."
    return found | {"waiting_reason": f"{whose} {one.in_words}{rest}. {goes_on}", "waiting_until": int(one.until)}


def _account(record: BatchRecord, services: Services) -> tuple[Sequence[Standing], str, str]:
    """The budgets that hold it, whose they are, and how they are raised."""
    if record.held == Hold.SHARE:
        share = budgets.read_share(record.max_share)
        one = spending.of_batch(services.connection, share, record.id, record.created_at, record.expires_at)
        return [one], "It", f"nightshift batch continue {record.id} --max-share SHARE%{share.window}"
    if record.held == Hold.HOUSE_BUDGET:
        settings = services.settings
        found = spending.House(services.connection, settings.budget, settings.batch_window).standings()
        return found, "The house", "start Nightshift with a higher NIGHTSHIFT_BUDGET"
    keys = ApiKeys(services.connection)
    key = keys.get(record.owner)
    found = [] if key is None else keys.standings([key])[0]
    return found, f"Its key {record.owner}", f"nightshift keys change {record.owner} --budget AMOUNT/month"


def _own_reason(record: BatchRecord) -> str:
    if record.held == Hold.TRIED:
        return f"{record.ended - record.copied:,} of its requests were tried. Look at its report, then continue or cancel it."
    if record.max_cost_usd and record.unpriced:
        return f"Nobody knows what {record.unpriced:,} of its answers cost: continue it with 'max_tokens' instead, or cancel it."
    return "Its budget is used up: continue it with a larger one, or cancel it."
