"""Why a batch waits, in the words of the command, the pages and the messages alike."""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping


class Why(NamedTuple):
    """What is said of one code."""

    #: goes after "waits: ", and before a time, as in "until 22:05"
    clause: str
    #: what to do, `{id}` being the batch's; empty: it goes on by itself
    advice: str = ""


#: by `nightshift.waiting_for` of a batch object: each `record.Hold` and each `gate.Cause`. Not by these themselves: with them the command would load Redis' client
WAITS: Mapping[str, Why] = MappingProxyType(
    {
        "batch_window": Why("its window is closed"),
        "reserve": Why("all workers are kept for other requests"),
        "pace": Why("its requests are spread over the usage window"),
        "no_workers": Why("no worker is running", "Start nightshift up, or nightshift worker."),
        "no_feeder": Why("no process does the batches' work", "Start nightshift up, or nightshift worker or api."),
        "no_lane": Why(
            "no process sends its parts to Message Batches",
            "Start nightshift up, or nightshift worker, where its files are.",
        ),
        "message_batches": Why("it is at Anthropic's Message Batches"),
        "files_elsewhere": Why("no running process has its files", "Start Nightshift where its data dir is."),
        "files_unusable": Why("its files can't be used", "nightshift doctor, or its page, says why."),
        "tried": Why(
            "its first requests were tried", "See its report, then: nightshift batch continue {id}, or cancel {id}"
        ),
        "budget": Why("its budget is used up", "nightshift batch continue {id} --max-cost USD, or cancel {id}"),
        "share": Why(
            "its share of the usage window is used up",
            "To go on sooner: nightshift batch continue {id} --max-share SHARE%WINDOW",
        ),
        "key_budget": Why(
            "its key's budget is used up", "To go on sooner: nightshift keys change NAME --budget AMOUNT/month"
        ),
        "house_budget": Why("the house's budget is used up", "To go on sooner, raise NIGHTSHIFT_BUDGET."),
        "usage_limit": Why("Claude's usage limit is reached"),
        "utilization": Why("the rest of Claude's usage window is left to you"),
        "spending_cap": Why("a cap on spending is reached"),
        "login": Why("Claude's login does not work", "Log in again: nightshift doctor says how."),
        "overload": Why("Claude is overloaded"),
        "rate_limit": Why("Claude takes no more requests for now"),
        "paused": Why("Nightshift is paused", "nightshift resume ends that."),
    }
)


def clause(code: str) -> str:
    """Of any code: one that a newer version wrote, too."""
    return WAITS[code].clause if code in WAITS else code.replace("_", " ")
