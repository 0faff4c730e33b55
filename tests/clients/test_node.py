"""OpenAI's client for Node: answers, streams, functions, an error, and a batch from a file uploaded in chunks."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.needs import needs

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.acceptance.stack import Stack

SOURCE = Path(__file__).parent / "node"


def run(argv: list[str], directory: Path, seconds: float) -> str:
    """A command's output; what it complained of where it failed."""
    done = subprocess.run(argv, cwd=directory, capture_output=True, text=True, check=False, timeout=seconds)
    assert done.returncode == 0, f"{argv}: {done.stdout}{done.stderr}"
    return done.stdout


@pytest.fixture(scope="session")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The script with its packages as the lock pins them, outside the tree."""
    needs("node")
    npm = needs("npm")
    directory = tmp_path_factory.mktemp("clients") / "node"
    shutil.copytree(SOURCE, directory, ignore=shutil.ignore_patterns("node_modules"))
    run([npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund"], directory, 300)
    return directory


@pytest.fixture
def check(installed: Path, stack: Stack) -> Callable[[str], Any]:
    """Run a check by its name; what it printed."""
    return lambda name: json.loads(run([needs("node"), "check.mjs", f"{stack.url}/v1", name], installed, 120))


def chat(found: Any) -> None:
    (choice,) = found["choices"]
    assert choice["message"]["content"] == "Simulated answer to: hello"
    assert choice["finish_reason"] == "stop"
    assert found["usage"]["completion_tokens"] > 0


def stream(found: Any) -> None:
    assert (
        "".join(c["delta"].get("content") or "" for chunk in found for c in chunk["choices"])
        == "Simulated answer to: hello"
    )
    assert found[-1]["choices"] == []
    assert found[-1]["usage"]["completion_tokens"] > 0
    assert [c["finish_reason"] for chunk in found for c in chunk["choices"] if c["finish_reason"]] == ["stop"]


def stream_helper(found: Any) -> None:
    assert "".join(found["deltas"]) == "Simulated answer to: hello"
    chat(found["completion"])


def tool(found: Any) -> None:
    (choice,) = found["choices"]
    (call,) = choice["message"]["tool_calls"]
    assert call["function"]["name"] == "weather"
    assert json.loads(call["function"]["arguments"])["city"]
    assert choice["finish_reason"] == "tool_calls"


def run_tools(found: Any) -> None:
    assert "sunny in" in found


def parse(found: Any) -> None:
    assert set(found) == {"name", "age", "pets"}


def responses(found: Any) -> None:
    assert found["first"]["output_text"] == "Simulated answer to: hello"
    assert "again" in found["text"]
    assert found["read"]["status"] == "completed"
    assert found["read"]["output_text"] == found["first"]["output_text"]


def responses_stream(found: Any) -> None:
    events = found["events"]
    assert [event["sequence_number"] for event in events] == list(range(len(events)))
    assert (
        "".join(e["delta"] for e in events if e["type"] == "response.output_text.delta") == "Simulated answer to: hello"
    )
    assert events[-1]["type"] == "response.completed"
    assert found["final"] == "Simulated answer to: hello"


def error(found: Any) -> None:
    assert (found["is"], found["status"], found["code"]) == (True, 404, "model_not_found")
    assert "no-such-model" in found["message"]
    assert found["request"]


def batch(found: Any) -> None:
    assert [(file["filename"], file["bytes"]) for file in found["files"]] == [("night.jsonl", found["bytes"])] * 2
    assert found["bytes"] > 200_000
    assert found["stored"] == [True, True]
    assert found["batch"]["status"] == "completed"
    assert found["batch"]["request_counts"] == {"total": 100, "completed": 100, "failed": 0}
    lines = [json.loads(line) for line in found["output"].splitlines()]
    assert {line["custom_id"] for line in lines} == {str(n) for n in range(100)}


@pytest.mark.parametrize(
    "holds",
    [chat, stream, stream_helper, tool, run_tools, parse, responses, responses_stream, error, batch],
    ids=lambda holds: str(holds.__name__),
)
def test_node(check: Callable[[str], Any], holds: Callable[[Any], None]) -> None:
    """What the client makes of the server's answer is what was asked for."""
    holds(check(holds.__name__))
