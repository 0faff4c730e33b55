"""`/v1/keys`: keys with names, for the operator. A key is shown when it is made and when it is rotated, and never again."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Annotated, Any

from flask import Blueprint
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints

from api import auth, params
from api.openapi_meta import described
from api.services import current_services
from app import api_keys, budgets, clock, errors
from app.api_keys import MAX_KEYS, MAX_PRIORITY, ApiKey, ApiKeys, KeyExistsError, TooManyKeysError
from app.error_codes import ErrorCode

if TYPE_CHECKING:
    from collections.abc import Sequence

    from app.budgets import Standing

blueprint = Blueprint("keys", __name__)

_Limit = Annotated[int, Field(ge=1, le=1_000_000_000)]
_Budget = Annotated[str, AfterValidator(lambda text: budgets.spell(budgets.read(text)))]
_Model = Annotated[str, StringConstraints(min_length=1, max_length=128)]
#: how `ApiKey` has a limit that is none
_NO_LIMIT = {one.name: one.default for one in dataclasses.fields(ApiKey)}


class KeyLimits(BaseModel):
    """`POST /v1/keys/{name}`; what is left out stays, and null is without a limit."""

    model_config = ConfigDict(strict=True, extra="forbid")

    #: seconds since the epoch
    expires_at: Annotated[float, Field(le=params.LAST_SECOND)] | None = None
    models: Annotated[list[_Model], Field(min_length=1, max_length=50)] | None = None
    requests_per_minute: _Limit | None = None
    tokens_per_minute: _Limit | None = None
    max_queued: _Limit | None = None
    priority: Annotated[int, Field(ge=1, le=MAX_PRIORITY)] = 1
    #: `50/month`, `2000000tokens/day`: US dollars, or tokens
    budget: _Budget | None = None
    is_admin: bool = False


class CreateKey(KeyLimits):
    """`POST /v1/keys`; what is left out is without a limit."""

    name: str


@blueprint.post("/v1/keys")
@described(body=CreateKey, errors=(409,))
def create() -> dict[str, Any]:
    """The key, with its secret in `key`. 409 `key_exists` for a name that is, or was, another's."""
    sent = params.checked(CreateKey, params.read_body())
    if (fault := api_keys.name_fault(sent.name)) is not None:
        raise errors.invalid_request(f"'name' {fault}.", param="name", code=ErrorCode.INVALID_VALUE)
    try:
        made, secret = _keys().create(sent.name, **_limits(sent))
    except KeyExistsError as error:
        raise errors.conflict(
            f"There is, or was, a key '{sent.name}': choose another name, or rotate it.", ErrorCode.KEY_EXISTS
        ) from error
    except TooManyKeysError as error:
        raise errors.invalid_request(
            f"There are {MAX_KEYS} keys, revoked ones included: no more are made.", code=ErrorCode.TOO_MANY_KEYS
        ) from error
    return {**_as_object(made), "key": secret}


@blueprint.get("/v1/keys")
def list_keys() -> dict[str, Any]:
    """All keys, the oldest first, also those that were revoked."""
    return {"object": "list", "data": _as_objects(_keys().all())}


@blueprint.get("/v1/keys/<name>")
def get(name: str) -> dict[str, Any]:
    """One key; 404 `key_not_found`."""
    return _as_object(_found(name, _keys().get(name)))


@blueprint.post("/v1/keys/<name>")
@described(body=KeyLimits)
def change(name: str) -> dict[str, Any]:
    """The key with other limits, which hold within a second. 404 `key_not_found`, also for one that was revoked."""
    limits = _limits(params.checked(KeyLimits, params.read_body()))
    if not limits:
        raise errors.invalid_request(
            f"Say what to change, one at least of: {', '.join(KeyLimits.model_fields)}.",
            code=ErrorCode.MISSING_REQUIRED_PARAMETER,
        )
    return _as_object(_found(name, _keys().change(name, **limits)))


@blueprint.post("/v1/keys/<name>/rotate")
def rotate(name: str) -> dict[str, Any]:
    """The key with a new secret in `key`; the old one is refused within a second. 404 for one that was revoked."""
    after = _keys().rotate(name)
    if after is None:
        raise _not_found(name)
    return {**_as_object(after[0]), "key": after[1]}


@blueprint.post("/v1/keys/<name>/revoke")
def revoke(name: str) -> dict[str, Any]:
    """The key, which is refused within a second, for good. What it has submitted goes on."""
    return _as_object(_found(name, _keys().revoke(name)))


def _as_object(key: ApiKey) -> dict[str, Any]:
    return _as_objects([key])[0]


def _as_objects(keys: Sequence[ApiKey]) -> list[dict[str, Any]]:
    found = ApiKeys(current_services().connection).standings(keys)
    return [key_object(key, standings) for key, standings in zip(keys, found, strict=True)]


def key_object(key: ApiKey, standings: Sequence[Standing]) -> dict[str, Any]:
    """The key without its secret. Times are seconds since the epoch; null: no limit. `standings`: of its budgets."""
    return {
        "object": "key",
        "name": key.name,
        "hint": f"{key.hint}…",
        "created_at": key.created_at,
        "expires_at": key.expires_at,
        "revoked_at": key.revoked_at,
        "models": list(key.models) or None,
        "requests_per_minute": key.requests_per_minute or None,
        "tokens_per_minute": key.tokens_per_minute or None,
        "max_queued": key.max_queued or None,
        "priority": key.priority,
        "budget": key.budget or None,
        "budget_used": [
            {
                "budget": str(one.budget),
                "used": round(one.used, 6) if one.budget.is_usd else int(one.used),
                "unpriced": one.sums.unpriced,
                "is_used_up": one.is_used_up,
                "resets_at": one.until,
            }
            for one in standings
        ],
        "is_admin": key.is_admin,
    }


def _limits(sent: KeyLimits) -> dict[str, Any]:
    """The fields of `ApiKey` that were sent."""
    if sent.expires_at is not None and sent.expires_at <= clock.now():
        raise errors.invalid_request(
            "'expires_at' takes a time to come, in seconds since the epoch.", "expires_at", ErrorCode.INVALID_VALUE
        )
    limits = sent.model_dump(exclude={"name"}, exclude_unset=True)
    if sent.models is not None:
        limits["models"] = tuple(dict.fromkeys(sent.models))
    return {name: _NO_LIMIT[name] if value is None else value for name, value in limits.items()}


def _keys() -> ApiKeys:
    auth.require_operator()
    return ApiKeys(current_services().connection)


def _found(name: str, key: ApiKey | None) -> ApiKey:
    if key is None:
        raise _not_found(name)
    return key


def _not_found(name: str) -> errors.ErrorReply:
    return errors.not_found(
        f"There is no key '{name[:40]}', or it was revoked.", code=ErrorCode.KEY_NOT_FOUND, param="name"
    )
