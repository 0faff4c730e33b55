"""`nightshift pause`: no worker takes a further job. `nightshift resume`: ends that, and tries what else holds work back."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Annotated, Any

from cyclopts import Parameter, Token

from ops.cli.batch.server import Server
from ops.cli.options import AsJson, Url


def _moment(_: type, tokens: Sequence[Token]) -> float:
    return moment(tokens[0].value)


def pause(
    *,
    until: Annotated[
        float | None,
        Parameter(converter=_moment, help="07:00, or 2026-11-23T07:00 (this machine's time)"),
    ] = None,
    reason: Annotated[
        str, Parameter(allow_leading_hyphen=True, help="shown in /health and to clients")
    ] = "paused by hand",
    url: Url = None,
    as_json: AsJson = False,
) -> int:
    """Pause, and say until when."""
    with Server(url) as found:
        show(found.pause(until, reason), as_json=as_json)
    return 0


def resume(*, url: Url = None, as_json: AsJson = False) -> int:
    """Resume, and say how things stand."""
    with Server(url) as found:
        show(found.resume(), as_json=as_json)
    return 0


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
        raise ValueError("takes 07:00 or 2026-11-23T07:00") from error
    if found <= now:
        raise ValueError("takes a time to come")
    return found.timestamp()


def show(gate: dict[str, Any], *, as_json: bool) -> None:
    """One line on stdout, and one for each scope that is closed besides."""
    if as_json:
        print(json.dumps(gate))
        return
    print("Open: jobs are taken." if gate["open"] else f"Closed {_why(gate)}.")
    for one in gate["scopes"]:
        print(f"Closed for {one['family'] or 'all models'} by {one['way']} {_why(one)}.")


def _why(closed: dict[str, Any]) -> str:
    until = closed["until"]
    end = (
        "until it is resumed" if until is None else f"until {datetime.fromtimestamp(until).astimezone():%Y-%m-%d %H:%M}"
    )
    return f"({closed['cause']}: {closed['reason']}) {end}"
