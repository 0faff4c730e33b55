"""`GET /`: what this is, for people and for programs."""

from __future__ import annotations

from typing import Any

from flask import Blueprint, Response, jsonify, request

from api import auth
from api.openapi_meta import JSON, described
from api.overview import views
from api.services import current_services

blueprint = Blueprint("home", __name__)

NAME = "Nightshift"
WHAT = "A queue-backed, OpenAI-compatible gateway to Claude."
SIMULATED = "Offline mode: answers are simulated, no Claude is asked."
ENDPOINTS = {
    "POST /v1/chat/completions": "OpenAI's chat completions; waits, or answers 202 with 'Prefer: respond-async'",
    "POST /v1/completions": "OpenAI's text completions; waits, or answers 202 with 'Prefer: respond-async'",
    "POST /v1/files": "OpenAI's files, for batches; GET /v1/files, /v1/files/{id}, /v1/files/{id}/content, DELETE",
    "POST /v1/batches": "OpenAI's batches; GET, /v1/batches/{id}, /output, /report, POST /cancel, /retry_failed",
    "GET /batches/new": "a batch from a table, in a browser; /batches/{id}, /batches/{id}/table",
    "POST /v1/responses": "OpenAI's responses; 'background': true to poll; GET, DELETE /v1/responses/{id}, /input_items, POST /cancel",
    "POST /v1/webhook_endpoints": "OpenAI's webhook endpoints; GET, DELETE /{id}, POST /{id}, /rotate_secret, /test",
    "GET /v1/models": "the models that may be named",
    "GET /v1/jobs": "requests and their state; /v1/jobs/{id}, POST /v1/jobs/{id}/cancel",
    "GET /v1/events": "callbacks; /v1/events/{id}, POST /v1/events/{id}/resend",
    "GET /v1/usage": "what each key used, by day and model",
    "GET /v1/scale": "how many workers there should be, for what starts and stops them",
    "POST /v1/keys": "keys with names, for the operator; GET, GET and POST /v1/keys/{name}, /rotate, /revoke",
    "GET /health": "processes, queue, memory",
    "GET /health/ready": "200 when a worker can serve",
    "GET /openapi.json": "all of this as OpenAPI 3.1",
    "GET /rq/": "the queue in a browser",
}


@blueprint.get("/")
@described(answers={200: (JSON, "text/html")})
def home() -> Response:
    """For browsers the live page; for everybody else a list of the endpoints, in JSON."""
    if request.accept_mimetypes.best_match(["application/json", "text/html"]) == "text/html":
        auth.require_operator()
        return views.page()
    offline = current_services().settings.offline
    found: dict[str, Any] = {"name": NAME, "description": WHAT, "endpoints": ENDPOINTS, "offline": offline}
    if offline:
        found["notice"] = SIMULATED
    return jsonify(found)
