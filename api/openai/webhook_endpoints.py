"""`/v1/webhook_endpoints`: where events go, managed by OpenAI's own client (`client.webhooks`)."""

from __future__ import annotations

from functools import cache
from typing import Annotated, Any, Literal, TypeVar

from flask import Blueprint
from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from api import auth, headers, params
from api.openapi_meta import PAGING, described
from api.services import current_services
from app import clock, errors
from app.error_codes import ErrorCode
from app.outbound import ForbiddenTarget, OutboundClient, OutboundError, check_url
from app.webhooks import sending
from app.webhooks.endpoints import EVENT_TYPES, MAX_ENDPOINTS, Endpoint, Endpoints, TooManyEndpoints
from app.webhooks.events import Event

blueprint = Blueprint("webhook_endpoints", __name__)

_PATH = "/v1/webhook_endpoints"
_Type = Literal[EVENT_TYPES]  # type: ignore[valid-type]
_Name = Annotated[str, StringConstraints(min_length=1, max_length=256)]
_Url = Annotated[str, StringConstraints(min_length=1, max_length=2048)]
_Types = Annotated[list[_Type], Field(min_length=1)]


class _Body(BaseModel):
    model_config = ConfigDict(strict=True, extra="ignore")


_B = TypeVar("_B", bound=_Body)


class Create(_Body):
    """`POST /v1/webhook_endpoints`."""

    name: _Name
    url: _Url
    event_types: _Types


class Update(_Body):
    """`POST /v1/webhook_endpoints/{id}`; what is left out stays."""

    name: _Name | None = None
    url: _Url | None = None
    event_types: _Types | None = None


class Rotate(_Body):
    """`POST /v1/webhook_endpoints/{id}/rotate_secret`."""

    keep_old_secret_active_for_24_hours: bool = False


class Test(_Body):
    """`POST /v1/webhook_endpoints/{id}/test`."""

    event_type: _Type


@blueprint.post(_PATH)
@described(body=Create, headers=headers.IDEMPOTENCY, errors=(409,))
def create() -> dict[str, Any]:
    """The endpoint with its secret, which is shown here and after a rotation only."""
    sent = params.read_body()
    body = params.checked(Create, sent)
    _check_url(body.url)
    try:
        made = _endpoints().create(body.name, body.url, body.event_types, owner=auth.owner(), fence=headers.fence(sent))
    except TooManyEndpoints as error:
        raise errors.invalid_request(
            f"There are {MAX_ENDPOINTS} endpoints already: delete one.", code=ErrorCode.TOO_MANY_ENDPOINTS
        ) from error
    return _shown(made, with_secret=True)


@blueprint.get(_PATH)
@described(query=PAGING)
def list_endpoints() -> dict[str, Any]:
    """OpenAI's list, newest first: `?limit=&after=`."""
    size = params.limit()
    return params.page(
        [_shown(one) for one in params.after(_endpoints().newest(auth.seen_owner()), lambda one: one.id)], size
    )


@blueprint.get(f"{_PATH}/<endpoint_id>")
def get(endpoint_id: str) -> dict[str, Any]:
    """One endpoint; 404 `webhook_endpoint_not_found`."""
    return _shown(_found(endpoint_id))


@blueprint.post(f"{_PATH}/<endpoint_id>")
@described(body=Update)
def update(endpoint_id: str) -> dict[str, Any]:
    """Another name, address or list of events. Events that wait already are sent to the new address."""
    body = _read(Update)
    _found(endpoint_id)
    if body.url is not None:
        _check_url(body.url)
    fields = {name: value for name, value in body.model_dump().items() if value is not None}
    if "event_types" in fields:
        fields["event_types"] = tuple(dict.fromkeys(fields["event_types"]))
    return _shown(_still(endpoint_id, _endpoints().update(endpoint_id, **fields)))


@blueprint.delete(f"{_PATH}/<endpoint_id>")
def delete(endpoint_id: str) -> dict[str, Any]:
    """It gets nothing any more, what waits already included."""
    _found(endpoint_id)
    if not _endpoints().delete(endpoint_id):
        raise _not_found(endpoint_id)
    return {"id": endpoint_id, "object": "webhook_endpoint.deleted", "deleted": True}


@blueprint.post(f"{_PATH}/<endpoint_id>/rotate_secret")
@described(body=Rotate, body_is_optional=True, headers=headers.IDEMPOTENCY, errors=(409,))
def rotate_secret(endpoint_id: str) -> dict[str, Any]:
    """A new secret; for a day the old one signs beside it, if that is asked for."""
    sent = params.read_body() or b"{}"
    _found(endpoint_id)
    keep_old = params.checked(Rotate, sent).keep_old_secret_active_for_24_hours
    after = _endpoints().rotate(endpoint_id, keep_old=keep_old, fence=headers.fence(sent))
    return _shown(_still(endpoint_id, after), with_secret=True)


@blueprint.post(f"{_PATH}/<endpoint_id>/test")
@described(body=Test, errors=(502,))
def test(endpoint_id: str) -> dict[str, Any]:
    """Send a sample now, once, and report what was answered. 502 when there was no answer."""
    event_type = _read(Test).event_type
    endpoint = _found(endpoint_id)
    event = Event.new(event_type, {"id": f"{event_type.partition('.')[0]}_test"})
    now, settings = clock.now(), current_services().settings
    try:
        reply = sending.send(
            _client(),
            endpoint.url,
            event.id,
            event.body,
            secrets=endpoint.secrets(now),
            settings=settings,
            now=now,
        )
    except ForbiddenTarget as error:
        raise errors.invalid_request(str(error), param="url", code=ErrorCode.INVALID_URL) from error
    except OutboundError as error:
        raise errors.upstream_failed(
            f"The endpoint did not answer: {error}.", code=ErrorCode.WEBHOOK_TEST_FAILED
        ) from error
    return {
        "object": "webhook_endpoint.test",
        "webhook_endpoint_id": endpoint_id,
        "event_type": event_type,
        "status_code": reply.status,
        "success": True,
    }


@blueprint.get("/v1/webhook_event_types")
def event_types() -> dict[str, Any]:
    """The events that can be subscribed to."""
    return {"object": "list", "data": list(EVENT_TYPES)}


def _read(kind: type[_B]) -> _B:
    return params.checked(kind, params.read_body() or b"{}")


def _check_url(url: str) -> None:
    try:
        check_url(url, current_services().settings.callback_allowed_hosts)
    except ForbiddenTarget as error:
        raise errors.invalid_request(str(error), param="url", code=ErrorCode.INVALID_URL) from error


def _shown(endpoint: Endpoint, *, with_secret: bool = False) -> dict[str, Any]:
    found = {
        "id": endpoint.id,
        "object": "webhook_endpoint",
        "created_at": int(endpoint.created_at),
        "updated_at": int(endpoint.updated_at),
        "name": endpoint.name,
        "url": endpoint.url,
        "event_types": list(endpoint.event_types),
        "signing_secret_hint": f"whsec_…{endpoint.secret[-4:]}",
    }
    return found | ({"signing_secret": endpoint.secret} if with_secret else {})


def _found(endpoint_id: str) -> Endpoint:
    """Raises `ErrorReply` (404)."""
    endpoint = _endpoints().get(endpoint_id)
    if endpoint is None or not auth.may_see(endpoint.owner):
        raise _not_found(endpoint_id)
    return endpoint


def _still(endpoint_id: str, endpoint: Endpoint | None) -> Endpoint:
    """It was there a moment ago. Raises `ErrorReply` (404)."""
    if endpoint is None:
        raise _not_found(endpoint_id)
    return endpoint


def _not_found(endpoint_id: str) -> errors.ErrorReply:
    return errors.not_found(
        f"There is no webhook endpoint '{endpoint_id[:100]}' (any more).", code=ErrorCode.WEBHOOK_ENDPOINT_NOT_FOUND
    )


def _endpoints() -> Endpoints:
    return Endpoints(current_services().connection)


@cache
def _client() -> OutboundClient:
    return OutboundClient()
