"""The ways to Claude, and the ladder of them: what `NIGHTSHIFT_WAYS` may name, each with its login and how much it may spend.

The ladder is written `WAY[:LOGIN][:AMOUNTusd/PERIOD],...`, in the order in which the ways are used.
"""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping


class Way(StrEnum):
    """How a request gets to Claude."""

    #: Claude's command line, as long-lived processes: any login
    CLI = "cli"
    #: the Messages API itself: an API key, and no process
    API = "api"
    #: Anthropic's Message Batches, at half the price: an API key; for lines of batches only
    BATCHES = "batches"


class LoginName(StrEnum):
    """The kinds of login that a step of the ladder may name."""

    #: a subscription: `CLAUDE_CODE_OAUTH_TOKEN`, or the login that `claude` keeps under the user's home
    SUBSCRIPTION = "subscription"
    API_KEY = "api_key"
    #: a bearer token for a gateway
    AUTH_TOKEN = "auth_token"  # noqa: S105 - a name
    BEDROCK = "bedrock"
    VERTEX = "vertex"


_OF_THE_API = (LoginName.API_KEY, LoginName.AUTH_TOKEN)
#: which logins each way takes
TAKES: Mapping[Way, tuple[LoginName, ...]] = MappingProxyType(
    {Way.CLI: tuple(LoginName), Way.API: _OF_THE_API, Way.BATCHES: _OF_THE_API}
)
#: the ways that a worker goes, a request at a time
OF_WORKERS = (Way.CLI, Way.API)

_CAP = re.compile(r"(\d{1,9}(?:\.\d{1,6})?)usd/(day|month)")


class WaysError(ValueError):
    """The setting is wrong: the rest of a sentence that begins with its name."""


@dataclass(frozen=True)
class Cap:
    """How much a way may spend in each day or month of UTC."""

    usd: float
    #: `day` or `month`
    period: str

    def __str__(self) -> str:
        """As `NIGHTSHIFT_WAYS` spells it."""
        return f"{self.usd:.6f}".rstrip("0").rstrip(".") + f"usd/{self.period}"


@dataclass(frozen=True)
class Step:
    """One way of the ladder."""

    way: Way
    #: a `LoginName`; empty: what the way takes by itself (`app.login`)
    login: str = ""
    #: None: no limit
    cap: Cap | None = None

    def __str__(self) -> str:
        """As `NIGHTSHIFT_WAYS` spells it."""
        return ":".join(filter(None, (self.way, self.login, str(self.cap or ""))))


def ways_of_workers(ladder: Iterable[Step]) -> tuple[Way, ...]:
    """Those that workers go, in the ladder's order."""
    return tuple(step.way for step in ladder if step.way in OF_WORKERS)


def read(text: str) -> tuple[Step, ...]:
    """The ladder that the setting's value describes. Raises `WaysError`."""
    steps = tuple(_step(part.strip()) for part in text.split(",") if part.strip())
    if not steps:
        raise WaysError(f"names no way; it takes {_choice(Way)}")
    if twice := [way for way, count in Counter(step.way for step in steps).items() if count > 1]:
        raise WaysError(f"names `{twice[0]}` twice")
    if all(step.way not in OF_WORKERS for step in steps):
        raise WaysError("names `batches` alone, which takes lines of batches only; add `api` or `cli` behind it")
    return steps


def _step(text: str) -> Step:
    name, *parts = (part.strip() for part in text.split(":"))
    if name not in [*Way]:
        raise WaysError(f"names `{name}`, which is no way; it takes {_choice(Way)}")
    way, login, cap = Way(name), "", None
    for part in parts:
        if found := _CAP.fullmatch(part):
            if cap is not None:
                raise WaysError(f"gives `{way}` two caps")
            cap = Cap(float(found[1]), found[2])
        elif login:
            raise WaysError(f"gives `{way}` two logins, `{login}` and `{part}`; it takes one")
        elif part in TAKES[way]:
            login = part
        else:
            raise WaysError(
                f"says `{part}` of `{way}`, which is neither a login that it takes ({_choice(TAKES[way])})"
                " nor a cap such as 20usd/day or 300usd/month"
            )
    if cap is not None and cap.usd == 0:
        raise WaysError(f"caps `{way}` at nothing; leave it out")
    if cap is not None and login == LoginName.SUBSCRIPTION:
        raise WaysError(f"caps `{way}:{login}`, whose requests cost nothing; a cap is for what is paid by use")
    return Step(way, login, cap)


def _choice(names: type[StrEnum] | tuple[StrEnum, ...]) -> str:
    *first, last = names
    return f"{', '.join(first)} or {last}"
