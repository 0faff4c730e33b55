"""Options that several subcommands share, and the checks that come before anything is started."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated, NoReturn

from cyclopts import Parameter, Token

from app.login import Login, login_in_use
from app.login import fault as login_fault
from app.loopback import is_loopback
from app.settings import Settings, SettingsError
from app.ways import Way

NO_LOGIN = """\
There is no login for Claude. One of these is enough:
    export ANTHROPIC_API_KEY=...          a key from the Claude Console
    export ANTHROPIC_AUTH_TOKEN=...       a token for a gateway of your own (with ANTHROPIC_BASE_URL)
    export CLAUDE_CODE_OAUTH_TOKEN=...    a subscription's token, made by `claude setup-token`
    claude                                log in once with the Claude Code command; its login is found
To try Nightshift without any: `nightshift up --offline`. Answers are then simulated."""

NO_KEY = """\
NIGHTSHIFT_WAYS=api asks Claude's API with a key, and there is none. One of these is enough:
    export ANTHROPIC_API_KEY=...          a key from the Claude Console
    export ANTHROPIC_AUTH_TOKEN=...       a token for a gateway of your own (with ANTHROPIC_BASE_URL)
Any other login needs Claude's command line: leave NIGHTSHIFT_WAYS out, or set it to cli."""


def whole_number(least: int, most: int) -> Callable[[type, Sequence[Token]], int]:
    """What reads one in these bounds from the command line."""

    def read(_: type, tokens: Sequence[Token]) -> int:
        text = tokens[0].value
        if not text.isascii() or not text.isdigit() or not least <= int(text) <= most:
            raise ValueError(f"takes {least} to {most}, not '{text}'")
        return int(text)

    return read


def _dollars(_: type, tokens: Sequence[Token]) -> float:
    text = tokens[0].value
    try:
        found = float(text)
    except ValueError:
        found = 0.0
    if not 0 < found < math.inf:
        raise ValueError(f"takes an amount of US dollars above 0, such as 20, not '{text}'")
    return found


Dollars = Annotated[float | None, Parameter(converter=_dollars)]
Host = Annotated[
    str | None, Parameter(help="address to listen on (default 127.0.0.1); others need NIGHTSHIFT_API_KEYS")
]
Port = Annotated[
    int | None,
    Parameter(converter=whole_number(0, 65535), help="port to listen on (default 8204); 0: any that is free"),
]
DataDir = Annotated[Path | None, Parameter(help="where state lives (default ~/.nightshift)")]
Reserve = Annotated[
    int | None, Parameter(converter=whole_number(0, 256), help="workers that never take batch lines (default 0)")
]
Url = Annotated[
    str | None,
    Parameter(help="the server (default: NIGHTSHIFT_URL, or what runs on this machine); key: NIGHTSHIFT_API_KEY"),
]
AsJson = Annotated[bool, Parameter("--json", help="print JSON for scripts")]


def require_redis(found: Settings) -> None:
    """Parts that run alone meet in a Redis of the user's."""
    if not found.redis_url:
        fail("REDIS_URL is not set. Parts that run alone meet in one Redis; `nightshift up` brings its own.")


def check_exposure(found: Settings) -> None:
    """Without keys, nobody but this machine's users may reach the API."""
    if not found.api_keys and not is_loopback(found.host):
        fail(
            f"--host {found.host} would let others use your Claude login. Set NIGHTSHIFT_API_KEYS to one or more keys,"
            " comma-separated, which clients then send as 'Authorization: Bearer KEY'; or listen on 127.0.0.1."
        )


def check_reserve(found: Settings) -> None:
    """Where these workers are all that there are, one at least must be left for batches."""
    if found.workers == 0:
        fail("NIGHTSHIFT_WORKERS is 0: no request would ever be answered. Set it to 1 at least.")
    if found.reserve >= found.workers:
        fail(
            f"--reserve {found.reserve} of {found.workers} worker{'s' if found.workers > 1 else ''}: no batch line would"
            " ever run. Reserve fewer, or start more workers."
        )


def require_login(found: Settings) -> Login | None:
    """The login that the workers will use first; None when offline, which needs none. Raises `SettingsError`.

    Each way of the ladder has to have one.
    """
    if found.offline:
        return None
    login = login_in_use(found)
    if login is None and len(found.ways) == 1 and not found.ways[0].login:
        fail(NO_KEY if found.way is Way.API else NO_LOGIN)
    for step in found.ways:
        if fault := login_fault(found, step):
            fail(f"NIGHTSHIFT_WAYS {fault}.")
    return login


def fail(message: str) -> NoReturn:
    """Refuse what was asked for: exit status 2."""
    raise SettingsError(message)
