"""Which login each way to Claude will use, without starting Claude or importing its SDK.

The order is the one that the CLI documents: a cloud provider, then a bearer token, then an API key, then a setup-token,
then the login that `claude` keeps under the user's home. A step of the ladder may name another of those that are there.
"""

from __future__ import annotations

import contextlib
import json
import platform
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import TYPE_CHECKING, Literal

from app import environment
from app.ways import TAKES, LoginName, Way

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from app.settings import Settings
    from app.ways import Step

LoginKind = Literal["bedrock", "vertex", "auth_token", "api_key", "oauth_token", "claude_home"]

#: Variables that choose a login, in the order in which the CLI looks at them.
_BY_VARIABLE: tuple[tuple[str, LoginKind, str], ...] = (
    ("CLAUDE_CODE_USE_BEDROCK", "bedrock", "Amazon Bedrock (CLAUDE_CODE_USE_BEDROCK)"),
    ("CLAUDE_CODE_USE_VERTEX", "vertex", "Google Vertex AI (CLAUDE_CODE_USE_VERTEX)"),
    ("ANTHROPIC_AUTH_TOKEN", "auth_token", "a bearer token (ANTHROPIC_AUTH_TOKEN)"),
    ("ANTHROPIC_API_KEY", "api_key", "an API key (ANTHROPIC_API_KEY)"),
    ("CLAUDE_CODE_OAUTH_TOKEN", "oauth_token", "a subscription's token (CLAUDE_CODE_OAUTH_TOKEN)"),
)

#: the variable that has the login, by its kind; of a cloud provider's, the switch for it
VARIABLE_OF: dict[str, str] = {kind: variable for variable, kind, _ in _BY_VARIABLE}

#: Kinds that are a subscription's.
SUBSCRIPTIONS = ("oauth_token", "claude_home")
#: Kinds that are a cloud provider's.
CLOUDS = ("bedrock", "vertex")

#: what to do for a login of that name
_NEEDS: dict[str, str] = {
    LoginName.SUBSCRIPTION: "set CLAUDE_CODE_OAUTH_TOKEN (made by `claude setup-token`), or log in once with `claude`",
    LoginName.API_KEY: "set ANTHROPIC_API_KEY",
    LoginName.AUTH_TOKEN: "set ANTHROPIC_AUTH_TOKEN (with ANTHROPIC_BASE_URL)",
    LoginName.BEDROCK: "set CLAUDE_CODE_USE_BEDROCK, and what Bedrock needs",
    LoginName.VERTEX: "set CLAUDE_CODE_USE_VERTEX, and what Vertex needs",
}

#: Values with which the CLI takes a switch for off.
_OFF = frozenset({"", "0", "false", "no", "off"})


@dataclass(frozen=True)
class Login:
    """A login; `description` is for people and holds no secret."""

    kind: LoginKind
    description: str

    @property
    def name(self) -> LoginName:
        """What `NIGHTSHIFT_WAYS` calls it."""
        return LoginName.SUBSCRIPTION if self.kind in SUBSCRIPTIONS else LoginName(self.kind)

    @property
    def allows_bare(self) -> bool:
        """Whether `--bare` works with it: the CLI reads no subscription's login in that mode."""
        return self.name is not LoginName.SUBSCRIPTION


def login_in_use(settings: Settings) -> Login | None:
    """The login of the first way that workers go, or None when there is none. Whether it is still good is not known."""
    step = settings.step(settings.way)
    return None if step is None else login_of(settings, step)


def login_of(settings: Settings, step: Step) -> Login | None:
    """The login that this step of the ladder takes, or None when it is not there."""
    return next((login for login in _logins(settings, step.way) if step.login in ("", login.name)), None)


def fault(settings: Settings, step: Step) -> str | None:
    """Why the step has no login, and what to do, as the rest of a sentence that begins with `NIGHTSHIFT_WAYS`; None: it has one."""
    found = list(dict.fromkeys(login.name for login in _logins(settings, step.way)))
    if step.login and step.login not in found:
        return f"names `{step}`, and that login is not there: {_NEEDS[step.login]}"
    if not found:
        needs = "; or ".join(_NEEDS[name] for name in TAKES[step.way])
        return f"names `{step.way}`, and there is no login for it: {needs}"
    if not step.login and step.way is Way.CLI and len(settings.ways) > 1 and len(found) > 1:
        # A key beside a subscription would be used first, and paid for, though it is meant for the next way.
        written = " or ".join(f"`{step.way}:{name}`" for name in found)
        return f"names `{step.way}` beside other ways, and there are several logins for it: write {written}"
    if step.cap is not None and found[0] is LoginName.SUBSCRIPTION:
        return f"caps `{step.way}`, whose login is a subscription here: its requests cost nothing; leave the cap out"
    return None


def engine_settings(settings: Settings, step: Step) -> Settings:
    """Settings with this way alone, and with no other login in what its engine sees of the environment."""
    login = login_of(settings, step)
    if login is None or (len(settings.ways) == 1 and not step.login):
        return settings.only(step)
    others = {variable for variable, kind, _ in _BY_VARIABLE if kind != login.kind}
    kept = {name: value for name, value in settings.claude_environment.items() if name not in others}
    return replace(settings.only(step), claude_environment=MappingProxyType(kept))


def _logins(settings: Settings, way: Way) -> Iterator[Login]:
    """Those that are there for it, the one that it would take by itself first."""
    for variable, kind, description in _BY_VARIABLE:
        value = settings.claude_environment.get(variable, "")
        is_on = bool(value) and not (kind in CLOUDS and value.lower() in _OFF)
        if is_on and (login := Login(kind, description)).name in TAKES[way]:
            yield login
    if LoginName.SUBSCRIPTION in TAKES[way] and _is_logged_in(settings.claude_home):
        yield Login("claude_home", f"the login of {settings.claude_home}")


def is_default_home(claude_home: Path) -> bool:
    """Whether `claude_home` is where the CLI keeps its login when CLAUDE_CONFIG_DIR is not set."""
    with contextlib.suppress(ValueError):  # without a home there is no such place
        return claude_home == environment.home_path("~/.claude")
    return False


def state_file(claude_home: Path) -> Path:
    """Where the CLI keeps what it knows of the account, beside the login."""
    return (claude_home.parent if is_default_home(claude_home) else claude_home) / ".claude.json"


def _is_logged_in(claude_home: Path) -> bool:
    if (claude_home / ".credentials.json").is_file():
        return True
    # On macOS the token is in the keychain; the account's name beside it is the only trace in a file.
    if platform.system() != "Darwin":
        return False
    try:
        return bool(json.loads(state_file(claude_home).read_text(encoding="utf-8")).get("oauthAccount"))
    except (OSError, ValueError, AttributeError):
        return False
