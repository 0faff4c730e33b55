"""The one place that reads the environment, and how a variable's text becomes a value and a value its text.

Which variables there are and what they mean is in `settings`.
"""

from __future__ import annotations

import json
import math
import os
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, TypeVar

#: What a Claude process may see of the host's environment: the login, the endpoint, the provider, the proxy and the
#: certificates. Everything else stays outside. A name that ends in `*` is a prefix.
CLAUDE_ENVIRONMENT = (
    "ANTHROPIC_API_KEY",
    "ANTHROPIC_AUTH_TOKEN",
    "ANTHROPIC_BASE_URL",
    "ANTHROPIC_BEDROCK_*",
    "ANTHROPIC_VERTEX_*",
    "ANTHROPIC_DEFAULT_*",
    "ANTHROPIC_SMALL_FAST_MODEL",
    "AWS_*",
    "CLAUDE_CODE_OAUTH_TOKEN",
    "CLAUDE_CODE_USE_BEDROCK",
    "CLAUDE_CODE_USE_VERTEX",
    "CLAUDE_CODE_SKIP_BEDROCK_AUTH",
    "CLAUDE_CODE_SKIP_VERTEX_AUTH",
    "CLOUD_ML_REGION",
    "GOOGLE_APPLICATION_CREDENTIALS",
    "GOOGLE_CLOUD_PROJECT",
    "VERTEX_REGION_*",
    "HTTP_PROXY",
    "HTTPS_PROXY",
    "NO_PROXY",
    "http_proxy",
    "https_proxy",
    "no_proxy",
    "NODE_EXTRA_CA_CERTS",
    "SSL_CERT_FILE",
    "LANG",
    "LC_ALL",
    "PATH",
    "TZ",
)

#: by the scheme of an object store: what its login's variables begin with, and what says that Claude is reached by the same cloud
_LOGINS_OF_STORAGE = MappingProxyType(
    {"s3": ("AWS_", "CLAUDE_CODE_USE_BEDROCK"), "gs": ("GOOGLE_", "CLAUDE_CODE_USE_VERTEX")}
)

Number = TypeVar("Number", int, float)


def variables() -> dict[str, str]:
    """What this process was started with: what `Settings` are read from, and what children are started with."""
    return dict(os.environ)


def for_claude(environ: Mapping[str, str]) -> dict[str, str]:
    """The part of it that a Claude process may see. The login of an object store is none of it, unless Claude is reached by the same cloud."""
    prefix, by_cloud = _LOGINS_OF_STORAGE.get(environ.get("NIGHTSHIFT_STORAGE", "").partition("://")[0], ("", ""))
    withheld = (prefix,) if prefix and not environ.get(by_cloud) else ()
    return {
        k: v
        for k, v in environ.items()
        if any(_matches(k, allowed) for allowed in CLAUDE_ENVIRONMENT) and not k.startswith(withheld)
    }


def parse(text: str, annotation: str) -> Any:
    """A variable's text as the type that its field is annotated with. Raises `ValueError`, which says what it takes."""
    if annotation.startswith("Path"):
        return home_path(text)
    if annotation.startswith("int"):
        return _not_negative(_read(int, text, "takes a whole number"))
    if annotation.startswith("float"):
        return _not_negative(_read(float, text, "takes a number"))
    if annotation == "bool":
        return _truth(text)
    if annotation.startswith("tuple"):
        return tuple(part.strip() for part in text.split(",") if part.strip())
    if annotation.startswith("Mapping"):
        return _string_map(text)
    return _one_of(annotation, text) if annotation.startswith("Literal") else text


_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}


def duration(text: str) -> float:
    """Seconds, of a number of them or of `90s`, `30m`, `12h`, `7d`. Raises `ValueError`."""
    number, unit = (text[:-1], text[-1:].lower()) if text[-1:].lower() in _UNITS else (text, "s")
    try:
        return _not_negative(float(number)) * _UNITS[unit]
    except ValueError:
        raise ValueError("takes a number of seconds, or one with s, m, h or d, such as 7d") from None


def home_path(text: str) -> Path:
    """A path, in which a leading `~` is the user's home. Raises `ValueError` when there is none."""
    try:
        return Path(text).expanduser()
    except RuntimeError as error:
        raise ValueError(f"there is no home directory for {text}; set HOME, or name the whole path") from error


def spell(value: Any) -> str:
    """The text that `parse` makes this value of."""
    if isinstance(value, Mapping):
        return json.dumps(dict(value))
    if isinstance(value, tuple):
        return ",".join(map(str, value))
    if isinstance(value, bool):
        return "1" if value else "0"
    return str(value)


def _one_of(annotation: str, text: str) -> str:
    """In either case: `DEBUG` is what logging calls its levels."""
    choices = re.findall(r"[\w-]+", annotation.removeprefix("Literal"))
    if text.lower() not in choices:
        raise ValueError(f"takes one of {', '.join(choices)}")
    return text.lower()


def _matches(name: str, allowed: str) -> bool:
    return name.startswith(allowed[:-1]) if allowed.endswith("*") else name == allowed


def _read(reader: Callable[[str], Any], text: str, takes: str) -> Any:
    """By the reader, whose own reason for a refusal is for programmers."""
    try:
        return reader(text)
    except ValueError:
        raise ValueError(takes) from None


def _not_negative(value: Number) -> Number:
    # No comparison with NaN is true, so it would pass every later check; no clock can be set to infinity.
    if not math.isfinite(value):
        raise ValueError("takes a number")
    if value < 0:
        raise ValueError("must not be negative")
    return value


_TRUTHS = dict.fromkeys(("1", "true", "yes", "on"), True) | dict.fromkeys(("0", "false", "no", "off"), False)


def _truth(text: str) -> bool:
    try:
        return _TRUTHS[text.lower()]
    except KeyError:
        raise ValueError("takes 1 or 0") from None


_TAKES_NAMES = 'takes a JSON object of names, such as {"gpt-4o": "sonnet"}'


def _string_map(text: str) -> Mapping[str, str]:
    value = _read(json.loads, text, _TAKES_NAMES)
    if not isinstance(value, dict) or not all(isinstance(v, str) for v in value.values()):
        raise ValueError(_TAKES_NAMES)
    return MappingProxyType(value)
