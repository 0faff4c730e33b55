"""The AI SDK by its three ways, and LangChain JS by its two: two user turns, streams, functions, objects."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.clients.test_node import run
from tests.needs import needs

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.acceptance.stack import Stack

SOURCE = Path(__file__).parent / "node"
CLIENTS = ["responses", "chat", "compatible", "langchain", "langchainResponses"]


@pytest.fixture(scope="session")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The script with its packages as the lock pins them, outside the tree."""
    needs("node")
    directory = tmp_path_factory.mktemp("clients") / "node"
    shutil.copytree(SOURCE, directory, ignore=shutil.ignore_patterns("node_modules"))
    run([needs("npm"), "ci", "--ignore-scripts", "--no-audit", "--no-fund"], directory, 300)
    return directory


@pytest.fixture
def check(installed: Path, stack: Stack) -> Callable[[str], Any]:
    """Run a check by its name; what it printed."""
    return lambda name: json.loads(run([needs("node"), "check.mjs", f"{stack.url}/v1", name], installed, 120))


@pytest.mark.parametrize("client", CLIENTS)
def test_a_second_user_turn(check: Callable[[str], Any], client: str) -> None:
    """The first answer goes back as each client sends it: whole, or as a reference to what is stored."""
    assert check(f"{client}.turns") == ["Simulated answer to: hello", "Simulated answer to: and now"]


@pytest.mark.parametrize("client", CLIENTS)
def test_a_stream(check: Callable[[str], Any], client: str) -> None:
    """Its pieces are the answer."""
    assert check(f"{client}.stream") == "Simulated answer to: hello"


@pytest.mark.parametrize("client", CLIENTS)
def test_a_function(check: Callable[[str], Any], client: str) -> None:
    """The AI SDK runs it and goes on; LangChain hands the call out."""
    assert "weather" in check(f"{client}.tools")


@pytest.mark.parametrize("client", CLIENTS)
def test_an_object(check: Callable[[str], Any], client: str) -> None:
    """A zod schema."""
    assert set(check(f"{client}.object")) == {"name"}


def test_a_completion(check: Callable[[str], Any]) -> None:
    """LangChain's model for text without roles, and without a name of its own."""
    assert check("langchain.completion").startswith("Simulated answer to: hello")
