"""`nightshift keys`: keys with names, so that each user, program or team has what is its own, and limits."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Annotated, Any

from cyclopts import Parameter, Token

from ops.cli.batch.server import Server, say, show_json
from ops.cli.gate import moment
from ops.cli.options import AsJson, Url, whole_number

_MOST = 1_000_000_000


def _moment(_: type, tokens: Sequence[Token]) -> float:
    return moment(tokens[0].value)


Limit = Annotated[int | None, Parameter(converter=whole_number(1, _MOST))]


def create(
    name: str,
    /,
    *,
    rpm: Annotated[Limit, Parameter(help="requests a minute")] = None,
    tpm: Annotated[Limit, Parameter(help="tokens a minute, read and written, of interactive requests")] = None,
    max_queued: Annotated[Limit, Parameter(help="interactive requests that wait at once")] = None,
    models: Annotated[
        str | None, Parameter(help="comma-separated: of which a Claude model's name must have one, e.g. haiku,sonnet")
    ] = None,
    expires: Annotated[
        float | None, Parameter(converter=_moment, help="2026-12-31T18:00 (this machine's time), or 18:00")
    ] = None,
    admin: Annotated[bool, Parameter(help="it sees what all keys made, and may pause, resume, and make keys")] = False,
    url: Url = None,
    as_json: AsJson = False,
) -> int:
    """Print the key, alone on stdout. It can't be shown again."""
    wanted = {
        "name": name,
        "requests_per_minute": rpm,
        "tokens_per_minute": tpm,
        "max_queued": max_queued,
        "models": [one.strip() for one in models.split(",") if one.strip()] if models is not None else None,
        "expires_at": expires,
        "is_admin": admin,
    }
    with Server(url) as server:
        _show_new(server.create_key({field: value for field, value in wanted.items() if value is not None}), as_json)
    return 0


def rotate(name: str, /, *, url: Url = None, as_json: AsJson = False) -> int:
    """Print the new key, alone on stdout. It can't be shown again."""
    with Server(url) as server:
        _show_new(server.change_key(name, "rotate"), as_json)
    return 0


def revoke(name: str, /, *, url: Url = None, as_json: AsJson = False) -> int:
    """Say that it is done."""
    with Server(url) as server:
        found = server.change_key(name, "revoke")
    if as_json:
        show_json(found)
    else:
        print(f"{name} is revoked. What it has submitted goes on; `nightshift batch cancel` ends it.")
    return 0


def list_keys(*, url: Url = None, as_json: AsJson = False) -> int:
    """One line a key."""
    with Server(url) as server:
        found = server.keys()
    if as_json:
        show_json(found)
        return 0
    for key in found:
        print(f"{key['name']:<20}  {key['hint']:<9}  {_day(key['created_at'])}  {_what(key)}".rstrip())
    return 0


def _show_new(key: dict[str, Any], as_json: bool) -> None:
    if as_json:
        show_json(key)
    else:
        print(key["key"])
        say("This key is shown only now. Clients send it as their OpenAI API key.")


def _what(key: dict[str, Any]) -> str:
    now = time.time()  # noqa: TID251 - what a person reads off this machine
    if key["revoked_at"] is not None:
        return f"revoked {_day(key['revoked_at'])}"
    said = ["admin"] if key["is_admin"] else []
    if (end := key["expires_at"]) is not None:
        said.append(f"{'expired' if end <= now else 'expires'} {_day(end)}")
    for field, unit in (
        ("requests_per_minute", "requests/min"),
        ("tokens_per_minute", "tokens/min"),
        ("max_queued", "queued"),
    ):
        if key[field]:
            said.append(f"{key[field]} {unit}")
    if key["models"]:
        said.append(f"models: {', '.join(key['models'])}")
    return "; ".join(said)


def _day(seconds: float) -> str:
    return time.strftime("%Y-%m-%d", time.localtime(seconds))
