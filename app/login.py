"""Which login Claude will use, told without starting Claude or importing its SDK.

The order is the one that the CLI documents: a cloud provider, then a bearer token, then an API key, then a setup-token,
then the login that `claude` keeps under the user's home.
"""

from __future__ import annotations

import contextlib
import json
import platform
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from app import environment
from app.ways import Way

if TYPE_CHECKING:
    from pathlib import Path

    from app.settings import Settings

LoginKind = Literal["bedrock", "vertex", "auth_token", "api_key", "oauth_token", "claude_home"]

#: Variables that choose a login, in the order in which the CLI looks at them.
_BY_VARIABLE: tuple[tuple[str, LoginKind, str], ...] = (
    ("CLAUDE_CODE_USE_BEDROCK", "bedrock", "Amazon Bedrock (CLAUDE_CODE_USE_BEDROCK)"),
    ("CLAUDE_CODE_USE_VERTEX", "vertex", "Google Vertex AI (CLAUDE_CODE_USE_VERTEX)"),
    ("ANTHROPIC_AUTH_TOKEN", "auth_token", "a bearer token (ANTHROPIC_AUTH_TOKEN)"),
    ("ANTHROPIC_API_KEY", "api_key", "an API key (ANTHROPIC_API_KEY)"),
    ("CLAUDE_CODE_OAUTH_TOKEN", "oauth_token", "a subscription's token (CLAUDE_CODE_OAUTH_TOKEN)"),
)

#: The variables of the Messages API's own logins.
_OF_THE_API = ("ANTHROPIC_AUTH_TOKEN", "ANTHROPIC_API_KEY")

#: Values with which the CLI takes a switch for off.
_OFF = frozenset({"", "0", "false", "no", "off"})


@dataclass(frozen=True)
class Login:
    """A login; `description` is for people and holds no secret."""

    kind: LoginKind
    description: str

    @property
    def allows_bare(self) -> bool:
        """Whether `--bare` works with it: the CLI reads no subscription's login in that mode."""
        return self.kind not in ("oauth_token", "claude_home")


def login_in_use(settings: Settings) -> Login | None:
    """The login that the way in use would take, or None when there is none. Whether it is still good is not known."""
    is_api = settings.way is Way.API
    for variable, kind, description in _BY_VARIABLE:
        if is_api and variable not in _OF_THE_API:
            continue
        value = settings.claude_environment.get(variable, "")
        is_switch = kind in ("bedrock", "vertex")
        if value and not (is_switch and value.lower() in _OFF):
            return Login(kind, description)
    if not is_api and _is_logged_in(settings.claude_home):
        return Login("claude_home", f"the login of {settings.claude_home}")
    return None


def is_default_home(claude_home: Path) -> bool:
    """Whether `claude_home` is where the CLI keeps its login when CLAUDE_CONFIG_DIR is not set."""
    with contextlib.suppress(ValueError):  # without a home there is no such place
        return claude_home == environment.home_path("~/.claude")
    return False


def _is_logged_in(claude_home: Path) -> bool:
    if (claude_home / ".credentials.json").is_file():
        return True
    # On macOS the token is in the keychain; the account's name beside it is the only trace in a file.
    if platform.system() != "Darwin":
        return False
    state = claude_home.parent / ".claude.json" if is_default_home(claude_home) else claude_home / ".claude.json"
    try:
        return bool(json.loads(state.read_text(encoding="utf-8")).get("oauthAccount"))
    except (OSError, ValueError, AttributeError):
        return False
