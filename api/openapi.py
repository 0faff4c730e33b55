"""`GET /openapi.json`: this API as OpenAPI 3.1, made of the routes, the models that check bodies and the fields' tables."""

from __future__ import annotations

import inspect
import re
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

from flask import Blueprint, Flask, Response, current_app, jsonify
from pydantic.json_schema import models_json_schema

from api import auth
from api.openapi_meta import JSON, Described, of
from api.services import current_services
from app.openai.fields import Decision

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from werkzeug.routing import Rule

blueprint = Blueprint("openapi", __name__)

#: pages for people, made by rq-dashboard
DASHBOARD = "rq_dashboard"
_CACHE = "nightshift-openapi"
_VARIABLE = re.compile(r"<(?:[^<>:]+:)?([^<>]+)>")
_SCHEMAS = "#/components/schemas/"
#: any request may be badly written, without a key, from elsewhere, too long in its head, or come when Redis is away
_ALWAYS = (400, 401, 403, 414, 431, 500, 503)
#: what those may get that come with a body
_WITH_BODY = (408, 413, 415, 499)
_ERROR = {
    "type": "object",
    "properties": {
        "error": {
            "type": "object",
            "properties": {
                "message": {"type": "string"},
                "type": {"type": "string"},
                "param": {"type": ["string", "null"]},
                "code": {"type": ["string", "null"]},
            },
            "required": ["message", "type", "param", "code"],
            "additionalProperties": False,
        }
    },
    "required": ["error"],
    "additionalProperties": False,
}
_ERROR_HEADERS = {
    "Retry-After": {"description": "Seconds until it is worth another try.", "schema": {"type": "integer"}},
    "x-should-retry": {
        "description": "Whether the same request may succeed later.",
        "schema": {"enum": ["true", "false"]},
    },
}


@blueprint.get("/openapi.json")
def openapi() -> Response:
    """This document."""
    found = current_app.extensions.get(_CACHE)
    if found is None:
        found = current_app.extensions[_CACHE] = document(
            current_app, needs_key=bool(current_services().settings.api_keys)
        )
    return jsonify(found)


def document(app: Flask, *, needs_key: bool) -> dict[str, Any]:
    """The whole document of the application's routes, the dashboard's left out."""
    operations = list(_operations(app))
    models = [(what.body, "validation") for _, _, what in operations if what.body is not None]
    names, defined = models_json_schema(list(dict.fromkeys(models)), ref_template=_SCHEMAS + "{model}")  # type: ignore[arg-type]
    schemas: dict[str, Any] = {"Error": _ERROR, **defined.get("$defs", {})}
    paths: dict[str, dict[str, Any]] = {}
    links = _links(operations)
    for rule, method, what in operations:
        view = app.view_functions[rule.endpoint]
        operation: dict[str, Any] = {
            "operationId": _name(rule),
            "tags": [rule.endpoint.partition(".")[0]],
            "description": inspect.getdoc(view) or "",
            "parameters": _parameters(rule, what),
            "responses": _answers(rule, what, links.get(path_of(rule), {}) if method == "POST" else {}),
        }
        if what.body is not None:
            operation["requestBody"] = _body(names[what.body, "validation"], what, schemas)
        elif what.form is not None:
            operation["requestBody"] = {"required": True, "content": {"multipart/form-data": {"schema": what.form}}}
        if needs_key and rule.rule not in auth.OPEN_PATHS:
            operation["security"] = [{"key": []}]
        paths.setdefault(path_of(rule), {})[method.lower()] = operation
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Nightshift",
            "version": version("claude-nightshift"),
            "description": "A queue-backed, OpenAI-compatible gateway to Claude.",
        },
        "paths": dict(sorted(paths.items())),
        "components": {
            "schemas": schemas,
            "responses": {
                "Error": {
                    "description": "What was wrong, and what to do.",
                    "headers": _ERROR_HEADERS,
                    "content": {JSON: {"schema": {"$ref": f"{_SCHEMAS}Error"}}},
                }
            },
            "securitySchemes": {"key": {"type": "http", "scheme": "bearer"}},
        },
    }


def path_of(rule: Rule) -> str:
    """The route's path as OpenAPI writes it."""
    return _VARIABLE.sub(r"{\1}", rule.rule)


def _operations(app: Flask) -> Iterator[tuple[Rule, str, Described]]:
    for rule in app.url_map.iter_rules():
        if rule.endpoint.partition(".")[0] == DASHBOARD:
            continue
        for method in sorted((rule.methods or set()) - {"HEAD", "OPTIONS"}):
            yield rule, method, of(app.view_functions[rule.endpoint])


def _parameters(rule: Rule, what: Described) -> list[dict[str, Any]]:
    found = [
        {"name": name, "in": "path", "required": True, "schema": {"type": "string", "minLength": 1}}
        for name in sorted(rule.arguments)
    ]
    for place, named in (("query", what.query), ("header", what.headers)):
        for name, schema in named.items():
            style = {"style": "deepObject", "explode": True} if schema.get("type") == "object" else {}
            found.append({"name": name, "in": place, "schema": schema, **style})
    return found


def _name(rule: Rule) -> str:
    return str(rule.endpoint).replace(".", "_")


def _links(operations: Iterable[tuple[Rule, str, Described]]) -> dict[str, dict[str, Any]]:
    """For each path that things are made at: the operations on what was made there, which take its id."""
    found: dict[str, dict[str, Any]] = {}
    for rule, _, _ in operations:
        made_at, brace, rest = path_of(rule).partition("/{")
        if brace:
            link = {"operationId": _name(rule), "parameters": {rest.partition("}")[0]: "$response.body#/id"}}
            found.setdefault(made_at, {})[_name(rule)] = link
    return found


def _answers(rule: Rule, what: Described, links: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = {
        str(status): {
            "description": "What was asked for.",
            "content": {media: {"schema": {"type": "object"} if media == JSON else {}} for media in medias},
            **({"links": links} if links else {}),
        }
        for status, medias in what.answers.items()
    }
    has_body = what.body is not None or what.form is not None
    statuses = {*_ALWAYS, *what.errors, *(_WITH_BODY if has_body else ()), *((404,) if rule.arguments else ())}
    return found | {str(status): {"$ref": "#/components/responses/Error"} for status in sorted(statuses)}


def _body(reference: dict[str, Any], what: Described, schemas: dict[str, Any]) -> dict[str, Any]:
    """The model's schema, each field with its decision, and those fields besides that the model never sees."""
    name = reference["$ref"].removeprefix(_SCHEMAS)
    properties = schemas[name]["properties"] = dict(schemas[name]["properties"])
    for field, row in what.fields.items():
        note = f"{row.decision.capitalize()}: {row.note}."
        if row.decision is Decision.REFUSED:
            # Written as what asks for nothing; anything else is a 400.
            harmless = [one for one in (None, False, 0, "", [], {}, *row.harmless) if row.asks_for_nothing(one)]
            properties[field] = {"enum": harmless, "description": note}
        else:
            properties[field] = {**properties.get(field, {}), "description": note}
    return {"required": not what.body_is_optional, "content": {JSON: {"schema": reference}}}
