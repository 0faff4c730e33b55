"""What a login is called where people and programs look: its kind, and a few letters that differ from one to the next.

The letters are an HMAC by a key that all processes on one Redis share: the same login has the same ones on each machine, and nobody
without that Redis can find out whether a login that he guesses is this one.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import secrets
from typing import TYPE_CHECKING, Any

from app.login import CLOUDS, VARIABLE_OF, login_of, state_file

if TYPE_CHECKING:
    from redis import Redis

    from app.login import Login
    from app.settings import Settings
    from app.ways import Step

#: the key, 32 bytes as hexadecimal digits; it is made once and stays
KEY = "nightshift:login_labels:key"
_LETTERS = 6
#: what tells one account at a cloud from another
_OF_A_CLOUD = {
    "bedrock": ("AWS_BEARER_TOKEN_BEDROCK", "AWS_ACCESS_KEY_ID", "AWS_PROFILE", "AWS_REGION"),
    "vertex": ("ANTHROPIC_VERTEX_PROJECT_ID", "GOOGLE_CLOUD_PROJECT", "CLOUD_ML_REGION"),
}


def read_key(connection: Redis) -> bytes:
    """The key that all share, made by whoever is first."""
    connection.set(KEY, secrets.token_hex(32), nx=True)
    found: Any = connection.get(KEY)
    return bytes(found or b"")


def label(settings: Settings, step: Step, key: bytes) -> str:
    """E.g. `subscription 3fa09c`; the kind alone where nothing tells one login from another, empty without any login."""
    login = login_of(settings, step)
    if login is None:
        return ""
    secret = _secret(settings, login)
    if not secret:
        return str(login.name)
    digest = hmac.new(key, f"{login.name}\0{secret}".encode(), hashlib.sha256).hexdigest()
    return f"{login.name} {digest[:_LETTERS]}"


def _secret(settings: Settings, login: Login) -> str:
    environ = settings.claude_environment
    if login.kind in CLOUDS:
        return "\0".join(filter(None, (environ.get(name, "") for name in _OF_A_CLOUD[login.kind])))
    if login.kind in VARIABLE_OF:
        return environ.get(VARIABLE_OF[login.kind], "")
    # The tokens of a login that `claude` keeps are others on each machine, and change; its account is one.
    try:
        account = json.loads(state_file(settings.claude_home).read_text(encoding="utf-8"))["oauthAccount"]
        return f"{account['accountUuid']}\0{account.get('organizationUuid', '')}"
    except (OSError, ValueError, LookupError, TypeError, AttributeError):
        return ""
