"""``GET /v1/models``: the models that the simulator names, in the shape of https://docs.claude.com/en/api/models-list."""

from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from simulator.errors import error_object

#: Model id to display name. Any other ``claude-...`` name is answered as well.
MODELS = {
    "claude-opus-4-5": "Claude Opus 4.5",
    "claude-sonnet-4-5": "Claude Sonnet 4.5",
    "claude-haiku-4-5": "Claude Haiku 4.5",
}

_CREATED_AT = "2025-01-01T00:00:00Z"


async def list_models(_request: Request) -> Response:
    """Answer with every model on one page."""
    names = list(MODELS)
    page = {
        "data": [_model(name) for name in names],
        "has_more": False,
        "first_id": names[0],
        "last_id": names[-1],
    }
    return JSONResponse(page)


async def get_model(request: Request) -> Response:
    """Answer with one model, or with Anthropic's 404."""
    name = request.path_params["model_id"]
    if name not in MODELS:
        return JSONResponse(error_object("not_found_error", f"model: {name}"), 404)
    return JSONResponse(_model(name))


def _model(name: str) -> dict[str, Any]:
    return {
        "type": "model",
        "id": name,
        "display_name": f"{MODELS[name]} (simulated)",
        "created_at": _CREATED_AT,
    }
