"""The secrets among this process's settings, and in the environment that it was started with: no log line and no error may have them.

A setting says that it is one in its metadata (`secret`). Of a URL it is the login and what its query and, for services that have their
tokens in it, its path hold; of everything else the whole, and each of several with commas or blanks between.
"""

from __future__ import annotations

import re
from dataclasses import fields
from typing import TYPE_CHECKING
from urllib.parse import unquote

from app import environment

if TYPE_CHECKING:
    from collections.abc import Iterator

    from app.settings import Settings

#: shorter ones would blot out words
MIN_LENGTH = 8
#: of the environment, Claude's login, a storage's and all else: what a name has that stands for secrets
_NAME = re.compile(r"KEY|TOKEN|SECRET|PASSWORD|_HEADERS")
#: whose host, path and options are no secret: people need them to find what is wrong
_PLAIN_SCHEMES = re.compile(r"(rediss?|unix|https?|rediss?\+sentinel|s3|gs|az|file)://", re.IGNORECASE)
_URL = re.compile(r"[a-z][a-z0-9+.-]*://", re.IGNORECASE)
#: an option of a URL that is a secret
_OPTION = re.compile(r"pass|key|token|secret|sig|auth|cred", re.IGNORECASE)


def secrets_of(settings: Settings) -> tuple[str, ...]:
    """All of them that are long enough, the longest first, so that none is left in part when each is struck out."""
    found = {part for f in fields(settings) if f.metadata.get("secret") for part in _parts(getattr(settings, f.name))}
    for name, value in {**environment.variables(), **settings.claude_environment}.items():
        if _PLAIN_SCHEMES.match(value):
            # Whatever it is for, an address may have a login: a proxy's, say.
            found.update(_of_url(value))
        elif _NAME.search(name):
            found.update((value, *re.split(r"[,=\s]+", value)))
    return tuple(sorted((one for one in found if len(one) >= MIN_LENGTH), key=len, reverse=True))


def without(secrets: tuple[str, ...], text: str) -> str:
    """The text with `***` for each of them."""
    for secret in secrets:
        text = text.replace(secret, "***")
    return text


def _parts(value: object) -> Iterator[str]:
    texts = value if isinstance(value, tuple) else (value,) if value is not None else ()
    for text in map(str, texts):
        for one in (text, *re.split(r"[,\s]+", text)):
            yield from _of_url(one) if _URL.match(one) else (one,)


def _of_url(url: str) -> Iterator[str]:
    """As they are written in it, and as they are meant."""
    rest = url.partition("://")[2]
    login, has_login, _ = rest.rpartition("@")
    found = [login.partition(":")[2]] if has_login else []
    if _PLAIN_SCHEMES.match(url):
        options = (option.partition("=") for option in re.split("[&;]", rest.partition("?")[2].partition("#")[0]))
        found += [value for name, _, value in options if _OPTION.search(name)]
    else:
        # Services of all kinds have their tokens anywhere in it.
        found += [url, rest, *re.split(r"[/?&=@:,]", rest)]
    for one in found:
        yield from (one, unquote(one))
