"""The OpenAPI document: it is one, and it tells of each route."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import pytest
from openapi_spec_validator import validate

from api import openapi
from api.app import create_app
from app.openai.fields import FIELDS
from app.settings import Settings

if TYPE_CHECKING:
    from flask import Flask


@pytest.fixture(scope="module")
def app() -> Flask:
    """An application that asks no Redis."""
    return create_app(Settings(redis_url="redis://127.0.0.1:1"))


@pytest.fixture(scope="module")
def document(app: Flask) -> dict[str, Any]:
    return openapi.document(app, needs_key=True)


def test_it_is_openapi(document: dict[str, Any]) -> None:
    """The document is valid, each operation's name is its own, and each says what it does."""
    validate(document)
    operations = [one for methods in document["paths"].values() for one in methods.values()]
    assert len({one["operationId"] for one in operations}) == len(operations)
    assert all(one["description"] for one in operations)


def test_every_route_is_in_it(app: Flask, document: dict[str, Any]) -> None:
    """Each route is described and each description has its route; only the dashboard's pages are left out."""
    told = {(path, method.upper()) for path, methods in document["paths"].items() for method in methods}
    routes = {
        (re.sub(r"<(?:\w+:)?(\w+)>", r"{\1}", rule.rule), method)
        for rule in app.url_map.iter_rules()
        if not rule.rule.startswith("/rq/")
        for method in (rule.methods or set()) - {"HEAD", "OPTIONS"}
    }
    assert told == routes


def test_fields_have_their_decisions(document: dict[str, Any]) -> None:
    """Every field that is decided on is a property, and its decision is what the table says."""
    properties = document["components"]["schemas"]["ChatRequest"]["properties"]
    assert {name for name, one in properties.items() if one.get("description")} == set(FIELDS)
    assert properties["seed"]["description"].startswith("Ignored")
    assert properties["audio"]["enum"] == [None, False, 0, "", [], {}]


def test_a_key_is_needed_where_it_is(document: dict[str, Any]) -> None:
    """Health may be seen without a key, nothing else that matters."""
    assert "security" not in document["paths"]["/health"]["get"]
    assert document["paths"]["/v1/models"]["get"]["security"] == [{"key": []}]
