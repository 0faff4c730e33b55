"""`GET /v1/models` and `GET /v1/models/{id}`."""

from __future__ import annotations

from typing import Any

from flask import Blueprint

from api import auth
from api.services import current_services
from app.openai.model_names import LISTED_SINCE, listed, resolve

blueprint = Blueprint("models", __name__)


@blueprint.get("/v1/models")
def list_models() -> dict[str, Any]:
    """OpenAI's list: `{object: "list", data: [...]}`."""
    return {
        "object": "list",
        "data": [model for name in listed(current_services().settings) if (model := _allowed(name))],
    }


@blueprint.get("/v1/models/<path:name>")
def get_model(name: str) -> dict[str, Any]:
    """One model, listed or not. 404 `model_not_found` for a name that a request could not use either, 403 for one that the key may not use."""
    auth.require_model(resolve(name, current_services().settings))
    return _model(name)


def _allowed(name: str) -> dict[str, Any] | None:
    """The model, if the request's key may use it."""
    key = auth.key()
    allowed = key is None or key.may_use(resolve(name, current_services().settings))
    return _model(name) if allowed else None


def _model(name: str) -> dict[str, Any]:
    owner = "anthropic" if resolve(name, current_services().settings) == name else "nightshift"
    return {"id": name, "object": "model", "created": LISTED_SINCE, "owned_by": owner}
