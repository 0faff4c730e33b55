"""The site of the docs: its pages, before zensical makes HTML of them."""

from __future__ import annotations

import importlib.machinery
import importlib.util
import tomllib
from pathlib import Path
from typing import Any

import pytest

from api import openapi
from api.app import create_app
from app.settings import Settings

PROGRAM = Path(__file__).parents[2] / "scripts/docs-pages"


@pytest.fixture(scope="module")
def pages() -> Any:
    loader = importlib.machinery.SourceFileLoader("docs_pages", str(PROGRAM))
    spec = importlib.util.spec_from_loader(loader.name, loader)
    assert spec
    module = importlib.util.module_from_spec(spec)
    loader.exec_module(module)
    return module


def test_every_link_leads_to_a_page(pages: Any) -> None:
    """From the README, from each page of docs/, and from what is beside them."""
    where = pages.places()
    for source in where:
        if source.endswith(".md"):
            assert pages.moved((PROGRAM.parents[1] / source).read_text(), source, where)[1] == []


def test_every_page_is_in_the_navigation(pages: Any) -> None:
    """Each page of docs/, and what is beside them, is in zensical.toml once."""
    nav = tomllib.loads((PROGRAM.parents[1] / "zensical.toml").read_text())["project"]["nav"]
    listed = [page for group in nav for entries in group.values() for entry in entries for page in entry.values()]
    assert sorted(listed) == sorted(
        [*(place for place in pages.places().values() if place.endswith(".md")), "reference.md"]
    )


def test_links_are_those_of_the_site(pages: Any) -> None:
    """A page that moves takes its links along; addresses, anchors and code stay as they are."""
    where = {"README.md": "index.md", "docs/keys.md": "keys.md", "findings/a.sh": "findings/a.sh"}
    text = "[k](docs/keys.md#shares) [f](findings/a.sh) [x](https://example.com) [h](#here)\n```python\nx[0](docs/keys.md)\n```\n"
    expected = text.replace("[k](docs/keys.md", "[k](keys.md")
    assert pages.moved(text, "README.md", where) == (expected, [])
    assert pages.moved("[r](../README.md#start) [no](none.md)", "docs/keys.md", where) == (
        "[r](index.md#start) [no](none.md)",
        ["docs/keys.md: none.md"],
    )


def test_the_reference_has_every_endpoint(pages: Any) -> None:
    """Each route of the API's description, with the fields of its body."""
    document = openapi.document(create_app(Settings(redis_url="redis://127.0.0.1:1")), needs_key=True)
    text = pages.reference(document)
    for path, methods in document["paths"].items():
        for method in methods:
            assert f"## `{method.upper()} {path}`" in text
    assert "| `messages` (required) | application/json |" in text
