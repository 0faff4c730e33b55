"""What `pause` and `resume` share: reading a time of day, and saying how the gate stands."""

from __future__ import annotations

import argparse
import json
from datetime import datetime, timedelta
from typing import Any


def moment(text: str) -> float:
    """`07:00` (the next one) or an ISO date and time, as seconds since the epoch."""
    now = datetime.now().astimezone()  # noqa: TID251 - what a person reads off this machine
    try:
        if "T" in text or "-" in text:
            found = datetime.fromisoformat(text).astimezone()
        else:
            clock = datetime.strptime(text, "%H:%M").time()  # noqa: DTZ007 - a time of this machine's day
            found = datetime.combine(now.date(), clock).astimezone()
            if found <= now:
                found = datetime.combine(now.date() + timedelta(days=1), clock).astimezone()
    except ValueError as error:
        raise argparse.ArgumentTypeError("takes 07:00 or 2026-11-23T07:00") from error
    if found <= now:
        raise argparse.ArgumentTypeError("takes a time to come")
    return found.timestamp()


def show(gate: dict[str, Any], *, as_json: bool) -> None:
    """One line on stdout."""
    if as_json:
        print(json.dumps(gate))
    elif gate["open"]:
        print("Open: jobs are taken.")
    else:
        until = gate["until"]
        end = (
            "until it is resumed"
            if until is None
            else f"until {datetime.fromtimestamp(until).astimezone():%Y-%m-%d %H:%M}"
        )
        print(f"Closed ({gate['cause']}: {gate['reason']}) {end}.")
