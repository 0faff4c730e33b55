"""`nightshift keys`: keys with names, so that each user, program or team has what is its own, and limits."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Annotated, Any

from cyclopts import Parameter, Token

from app import budgets
from app.api_keys import MAX_PRIORITY
from ops.cli.batch.server import Server, say, show_json
from ops.cli.gate import moment
from ops.cli.options import AsJson, Url, fail, whole_number

_MOST = 1_000_000_000


#: on the command line: no such limit
_NONE = "none"


def _or_none(read: Callable[[type, Sequence[Token]], Any]) -> Callable[[type, Sequence[Token]], Any]:
    """What reads a limit, or that there is to be none, from the command line."""
    return lambda kind, tokens: _NONE if tokens[0].value == _NONE else read(kind, tokens)


def _moment(_: type, tokens: Sequence[Token]) -> float:
    return moment(tokens[0].value)


def _budget(_: type, tokens: Sequence[Token]) -> str:
    return budgets.spell(budgets.read(tokens[0].value))


_Number = Annotated[Any, Parameter(converter=_or_none(whole_number(1, _MOST)))]


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class Limits:
    """The options of `create` and `change`, by the names of the API's fields. None: not given."""

    requests_per_minute: Annotated[_Number, Parameter("--rpm", help="requests a minute")] = None
    tokens_per_minute: Annotated[
        _Number, Parameter("--tpm", help="tokens a minute, read and written, of interactive requests")
    ] = None
    max_queued: Annotated[_Number, Parameter(help="interactive requests that wait at once")] = None
    priority: Annotated[
        int | None,
        Parameter(
            converter=whole_number(1, MAX_PRIORITY),
            help="1 to 10 (default 1): of batch lines, 3 gets three times as many tokens as 1 while both have lines",
        ),
    ] = None
    budget: Annotated[
        Any,
        Parameter(
            converter=_or_none(_budget), help="US dollars or tokens a day or month, e.g. 50/month or 2000000tokens/day"
        ),
    ] = None
    models: Annotated[
        str | None, Parameter(help="comma-separated: of which a Claude model's name must have one, e.g. haiku,sonnet")
    ] = None
    expires_at: Annotated[
        Any,
        Parameter("--expires", converter=_or_none(_moment), help="2026-12-31T18:00 (this machine's time), or 18:00"),
    ] = None
    is_admin: Annotated[
        bool | None,
        Parameter(
            "--admin", negative="--no-admin", help="it sees what all keys made, and may pause, resume, and make keys"
        ),
    ] = None

    def body(self) -> dict[str, Any]:
        """Those that were given, as the API takes them."""
        given = {field: value for field, value in asdict(self).items() if value is not None}
        if self.models is not None and self.models != _NONE:
            given["models"] = [one.strip() for one in self.models.split(",") if one.strip()]
        return {field: None if value == _NONE else value for field, value in given.items()}


_UNLIMITED = Limits()


def create(name: str, /, *, limits: Limits = _UNLIMITED, url: Url = None, as_json: AsJson = False) -> int:
    """Print the key, alone on stdout. It can't be shown again."""
    with Server(url) as server:
        _show_new(server.create_key({"name": name, **limits.body()}), as_json)
    return 0


def change(name: str, /, *, limits: Limits = _UNLIMITED, url: Url = None, as_json: AsJson = False) -> int:
    """Print the key as `list` does. An option that is not there changes nothing; `none` takes a limit away."""
    wanted = limits.body()
    if not wanted:
        fail("Say what to change, for instance --rpm 60; --rpm none takes that limit away.")
    with Server(url) as server:
        found = server.limit_key(name, wanted)
    if as_json:
        show_json(found)
    else:
        print(_line(found))
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
        print(_line(key))
    return 0


def _show_new(key: dict[str, Any], as_json: bool) -> None:
    if as_json:
        show_json(key)
    else:
        print(key["key"])
        say("This key is shown only now. Clients send it as their OpenAI API key.")


def _line(key: dict[str, Any]) -> str:
    return f"{key['name']:<20}  {key['hint']:<9}  {_day(key['created_at'])}  {_what(key)}".rstrip()


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
    if key.get("priority", 1) != 1:  # an older server has none
        said.append(f"priority {key['priority']}")
    said += [_of_budget(one) for one in key.get("budget_used", ())]
    if key["models"]:
        said.append(f"models: {', '.join(key['models'])}")
    return "; ".join(said)


def _of_budget(found: dict[str, Any]) -> str:
    budget = budgets.read(found["budget"])[0]
    used = budgets.amount(found["used"], is_usd=budget.is_usd)
    unpriced = f" and {found['unpriced']} answers of unknown cost" if budget.is_usd and found["unpriced"] else ""
    return f"{used}{unpriced} of {budget.in_words}{': used up' if found['is_used_up'] else ''}"


def _day(seconds: float) -> str:
    return time.strftime("%Y-%m-%d", time.localtime(seconds))
