"""API keys with names: whose a request is, and what its key may do.

One Redis hash, `nightshift:api_keys`: name to JSON. A key itself is not stored, only its SHA-256: it is 256 random bits, so that no slow
hash is needed. A key that was revoked stays listed, and its name is not given again: what it made would be another's.
"""

from __future__ import annotations

import hashlib
import json
import re
import secrets
import threading
import time
from contextlib import suppress
from dataclasses import asdict, dataclass, field, replace
from typing import TYPE_CHECKING, Any

from pydantic import TypeAdapter

from app import budgets, clock, rates, spending
from app.connection import AWAY, transaction
from app.ids import OWNER

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from redis import Redis

    from app.budgets import Budget, Standing

KEY = "nightshift:api_keys"
MAX_KEYS = 500
MAX_PRIORITY = 10
#: what a key begins with, for people and for scanners of leaked secrets
PREFIX = "nsk_"
#: how much of a key is shown in lists, characters
_HINT = len(PREFIX) + 4
#: how long a process works by what it has read: a revoked key ends after this at the latest, seconds
FRESH_SECONDS = 1.0
NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,39}")


class KeyExistsError(Exception):
    """A key of that name is there, or was."""


class TooManyKeysError(Exception):
    """There are `MAX_KEYS` already."""


@dataclass(frozen=True, kw_only=True)
class ApiKey:
    """One key. Times are seconds since the epoch; of limits, 0 is none."""

    name: str
    #: SHA-256 of the key, hexadecimal
    digest: str = field(repr=False)
    #: how the key begins
    hint: str
    created_at: float
    expires_at: float | None = None
    revoked_at: float | None = None
    #: of which a Claude model's name must contain one; empty: any model
    models: tuple[str, ...] = ()
    requests_per_minute: int = 0
    #: read and written by interactive answers
    tokens_per_minute: int = 0
    #: interactive requests that wait at once
    max_queued: int = 0
    #: what a key with 3 gets of workers for batch lines is three times what one with 1 gets, in tokens, while both have lines
    priority: int = 1
    #: what it may use in each day or month (`app.budgets`); empty: any amount
    budget: str = ""
    #: whether it sees what others' keys made, and may pause, resume, and make keys
    is_admin: bool = False

    @property
    def budgets(self) -> tuple[Budget, ...]:
        """Those that `budget` names."""
        return budgets.read(self.budget) if self.budget else ()

    def may_use(self, model: str) -> bool:
        """Whether it may ask this Claude model."""
        return not self.models or any(name in model for name in self.models)

    def is_valid(self, now: float) -> bool:
        """Whether it is neither revoked nor expired."""
        return self.revoked_at is None and (self.expires_at is None or now < self.expires_at)


_ADAPTER = TypeAdapter(ApiKey)


class ApiKeys:
    """The keys with names. Methods raise redis-py's errors when Redis is away."""

    def __init__(self, connection: Redis) -> None:
        self._connection = connection

    def create(self, name: str, **limits: Any) -> tuple[ApiKey, str]:
        """A new key and its secret, which nobody can read again. `limits`: fields of `ApiKey`.

        Raises `KeyExistsError` and `TooManyKeysError`.
        """
        secret = _new_secret()
        made = ApiKey(name=name, created_at=clock.now(), **_of_secret(secret), **limits)

        def change(pipe: Any) -> ApiKey:
            found = pipe.hget(KEY, name)
            # By an earlier try of this step, whose reply was lost.
            is_mine = found is not None and _read(found).digest == made.digest
            if found is not None and not is_mine:
                raise KeyExistsError(name)
            if not is_mine and pipe.hlen(KEY) >= MAX_KEYS:
                raise TooManyKeysError
            pipe.multi()
            pipe.hset(KEY, name, _write(made))
            return made

        return transaction(self._connection, KEY, change), secret

    def get(self, name: str) -> ApiKey | None:
        """One, None when there is no such."""
        found = self._connection.hget(KEY, name)
        return None if found is None else _read(found)

    def all(self) -> list[ApiKey]:
        """All, also those that were revoked, the oldest first."""
        found = [_read(text) for text in self._connection.hvals(KEY)]
        return sorted(found, key=lambda one: (one.created_at, one.name))

    def change(self, name: str, **limits: Any) -> ApiKey | None:
        """The key with other limits, fields of `ApiKey`; those that are not named stay. None when there is no such, or it was revoked."""
        return self._change(name, lambda found: replace(found, **limits))

    def standings(self, keys: Sequence[ApiKey]) -> list[list[Standing]]:
        """Of each of these, its budgets in their present periods, in one round trip."""
        now, pipe = clock.now(), self._connection.pipeline(transaction=False)
        for key in keys:
            for command in spending.readings(key.name, key.budgets, now):
                pipe.execute_command(*command)  # type: ignore[no-untyped-call]
        replies = iter(pipe.execute())
        return [spending.of_key(key.budgets, [next(replies) for _ in key.budgets], now) for key in keys]

    def rotate(self, name: str) -> tuple[ApiKey, str] | None:
        """The key with another secret; the old one ends now. None when there is no such, or it was revoked."""
        secret = _new_secret()
        after = self._change(name, lambda found: replace(found, **_of_secret(secret)))
        return None if after is None else (after, secret)

    def revoke(self, name: str) -> ApiKey | None:
        """The key, which is refused from now on; None when there is no such. One that was revoked before stays as it is."""
        now = clock.now()
        return self._change(name, lambda found: replace(found, revoked_at=now)) or self.get(name)

    def _change(self, name: str, changed: Callable[[ApiKey], ApiKey]) -> ApiKey | None:
        """The key afterwards; None when there is none that is not revoked."""
        made: ApiKey | None = None

        def change(pipe: Any) -> ApiKey | None:
            nonlocal made
            text = pipe.hget(KEY, name)
            found = None if text is None else _read(text)
            pipe.multi()
            if found is None or (found.revoked_at is not None and found != made):
                return None
            made = changed(found)
            pipe.hset(KEY, name, _write(made))
            if _rates(made) != _rates(found):
                # It has counted what had no limit, too.
                rates.fill(pipe, name)
            return made

        return transaction(self._connection, KEY, change)


class KnownKeys:
    """The keys as one process knows them, read once a second at most. Safe to share between threads."""

    def __init__(self, connection: Redis) -> None:
        self._connection = connection
        self._lock = threading.Lock()
        self._by_digest: Mapping[str, ApiKey] = {}
        self._read_at = float("-inf")

    def find(self, secret: str) -> ApiKey | None:
        """The key, valid or not; None when no key is, or was, this one. Raises redis-py's errors."""
        if not secret.startswith(PREFIX):
            return None
        self._refresh(FRESH_SECONDS)
        digest = hashlib.sha256(secret.encode()).hexdigest()
        if digest not in self._by_digest:
            # It may be new.
            self._refresh(0.0)
        return self._by_digest.get(digest)

    def still_holds(self, key: ApiKey) -> bool:
        """Whether a key that was found earlier has neither ended nor another secret; as far as is known while Redis is away."""
        with suppress(*AWAY):
            self._refresh(FRESH_SECONDS)
        found = self._by_digest.get(key.digest)
        return found is not None and found.is_valid(clock.now())

    def are_there(self) -> bool:
        """Whether there is a key with a name, or was; as far as is known while Redis is away."""
        with suppress(*AWAY):
            self._refresh(FRESH_SECONDS)
        return bool(self._by_digest)

    def priorities(self) -> Mapping[str, int]:
        """By name; as far as is known while Redis is away."""
        with suppress(*AWAY):
            self._refresh(FRESH_SECONDS)
        return {one.name: one.priority for one in self._by_digest.values()}

    def _refresh(self, seconds: float) -> None:
        with self._lock:
            if time.monotonic() - self._read_at < seconds:
                return
            found = ApiKeys(self._connection).all()
            self._by_digest = {one.digest: one for one in found}
            self._read_at = time.monotonic()


def name_fault(name: str) -> str | None:
    """What is wrong with a key's name, as the rest of a sentence; None: nothing."""
    if not NAME.fullmatch(name):
        return "takes 1 to 40 small letters, digits, `-` and `_`, the first of them a letter or a digit"
    if name == OWNER:
        return f"can't be `{OWNER}`: that is what NIGHTSHIFT_API_KEYS' requests belong to"
    return None


def _rates(key: ApiKey) -> tuple[int, int]:
    return key.requests_per_minute, key.tokens_per_minute


def _new_secret() -> str:
    return PREFIX + secrets.token_urlsafe(32)


def _of_secret(secret: str) -> dict[str, Any]:
    return {"digest": hashlib.sha256(secret.encode()).hexdigest(), "hint": secret[:_HINT]}


def _read(text: bytes | str) -> ApiKey:
    return _ADAPTER.validate_json(text)


def _write(key: ApiKey) -> str:
    return json.dumps(asdict(key))
