"""The direction of imports: `api -> app <- workers` and `ops -> app`, one module with the SDK, and no task path that leads nowhere."""

from __future__ import annotations

import ast
import importlib
import re
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from app.jobs.tickets import TASK_PATH
from app.webhooks.dispatch import DELIVER_TASK

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[2]


def imports(package: str) -> Iterator[tuple[Path, str]]:
    """(file, imported module) of every import in a package, those inside functions included."""
    for path in sorted((ROOT / package).rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                yield from ((path, alias.name) for alias in node.names)
            elif isinstance(node, ast.ImportFrom) and node.module:
                yield path, node.module


@pytest.mark.parametrize(
    ("package", "forbidden"),
    [
        ("app", {"api", "ops", "workers", "simulator", "flask", "claude_agent_sdk", "gunicorn"}),
        ("api", {"ops", "workers", "simulator", "claude_agent_sdk"}),
        ("ops", {"api", "workers", "simulator", "flask", "claude_agent_sdk"}),
        ("workers", {"api", "ops", "simulator", "flask"}),
        ("simulator", {"api", "app", "ops", "workers"}),
        ("nightshift_client", {"api", "app", "ops", "workers", "simulator", "openai", "pydantic"}),
    ],
)
def test_imports_run_one_way(package: str, forbidden: set[str]) -> None:
    """No package imports what it must know nothing of."""
    found = [(path.name, name) for path, name in imports(package) if name.partition(".")[0] in forbidden]
    assert found == []


#: the folders of `app`, the lowest first; a single module of `app` itself is below them all, but for these two
LAYERS = (
    "app",
    "schemas",
    "outbound",
    "webhooks",
    "messages",
    "openai",
    "jobs",
    "history",
    "batches",
    "notices",
    "health",
    "scale",
    "maintenance",
)
#: what imports upwards all the same: ARCHITECTURE.md says why
UPWARD = {
    ("openai", "jobs"),  # for types only
    ("messages", "jobs"),  # for types only
    ("app", "jobs"),  # for types only
    ("jobs", "batches"),  # a line's job has its batch in its id
}


def layer(name: str) -> str:
    """The folder of `app` that a module is in."""
    parts = name.split(".")
    return parts[1] if len(parts) > 1 and parts[1] in LAYERS else "app"


def test_app_has_no_upward_arrow_but_those_that_are_named() -> None:
    """Each folder of `app` knows those below it."""
    arrows = set()
    for path in sorted((ROOT / "app").rglob("*.py")):
        module = ".".join(path.relative_to(ROOT).with_suffix("").parts)
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ImportFrom) and (node.module or "").partition(".")[0] == "app":
                names = [f"app.{one.name}" for one in node.names] if node.module == "app" else [str(node.module)]
                arrows |= {(layer(module), layer(name)) for name in names}
    assert {(a, b) for a, b in arrows if LAYERS.index(b) > LAYERS.index(a)} <= UPWARD


def test_the_translation_is_pure() -> None:
    """Whoever has a request can translate it: no process, no Redis, no queue is needed for it."""
    code = "import sys, app.messages; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout.split()
    assert {"redis", "rq", "flask", "claude_agent_sdk", "workers"}.isdisjoint(loaded)


def test_a_worker_of_the_api_imports_no_engine_but_its_own() -> None:
    """Each of these would cost it megabytes; what only some requests need is imported for them."""
    code = "import sys, workers.chat_worker, workers.messages_api, workers.tasks; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    unwanted = {
        "claude_agent_sdk",
        "mcp",
        "jsonschema_rs",
        "httpcore",
        "httpx",
        "anthropic",
        "flask",
        "workers.claude.invoker",
    }
    assert unwanted.isdisjoint(done.stdout.split())


def test_the_translation_knows_no_way_to_claude() -> None:
    """How Claude is asked is the engine's: no word of the command line is in what all engines get."""
    words = re.compile(
        r"StructuredOutput|mcp__|\bprofile\b|(?<!Way\.)\bCLI\b|command line|claude_agent_sdk", re.IGNORECASE
    )
    found = [
        (path.name, word) for path in (ROOT / "app/messages").glob("*.py") for word in words.findall(path.read_text())
    ]
    assert found == []


def test_two_modules_import_the_sdk() -> None:
    """The Claude SDK's client is known in one place, its transport in another."""
    users = {path.name for path, name in imports("workers") if name.partition(".")[0] == "claude_agent_sdk"}
    assert users == {"cli.py", "transport.py"}


@pytest.mark.parametrize(
    ("engine", "users"),
    [("claude", {"engine_by_way.py", "check.py", "work_dir.py"}), ("messages_api", {"engine_by_way.py", "check.py"})],
)
def test_a_worker_does_not_know_its_engine(engine: str, users: set[str]) -> None:
    """Which engine asks Claude is decided where a process starts; jobs, gate and beat work with any."""
    package = f"workers.{engine}"
    found = {
        path.name
        for path, name in imports("workers")
        if name.startswith(f"{package}.") or name == package
        # The lane is no worker: it speaks to the same API.
        if path.parent.name not in (engine, "lane")
    }
    assert found == users


def test_one_module_reads_the_environment() -> None:
    """`os.environ` is read in `app/environment.py` (and by the launchers, which make a child's environment) alone."""
    readers = {
        str(path.relative_to(ROOT))
        for package in ("app", "api", "ops", "workers")
        for path in (ROOT / package).rglob("*.py")
        if "os.environ" in path.read_text() or "os.getenv" in path.read_text()
    }
    assert readers <= {"app/environment.py", "ops/supervisor/child.py", "workers/claude/launcher.py"}


@pytest.mark.parametrize("path", [TASK_PATH, DELIVER_TASK])
def test_every_task_path_resolves(path: str) -> None:
    """What the API enqueues by its path exists in the worker's code."""
    module, _, name = path.rpartition(".")
    assert callable(getattr(importlib.import_module(module), name))


def test_the_report_only_reads() -> None:
    """What the morning report is made of knows of the storage what can't write to it."""
    nodes = [
        node
        for path in (ROOT / "app" / "batches" / "report").glob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.ImportFrom)
    ]
    known = {alias.name for node in nodes if node.module == "app.batches.storage" for alias in node.names}
    assert known == {"Readable", "counted_lines", "names"}
    assert not {node.module for node in nodes} & {"app.connection", "app.batches.steps", "app.batches.storage.protocol"}


def test_no_path_leaves_the_storage() -> None:
    """What batches are stored on is known in one room: nobody else there opens, moves or locks a file."""
    users = {
        str(path.relative_to(ROOT / "app" / "batches"))
        for path, name in imports("app/batches")
        if name.partition(".")[0] in {"pathlib", "shutil", "tempfile", "fcntl"}
    }
    # Tables are read where a person has them.
    assert {name for name in users if not name.startswith("formats/")} == {"storage/local_disk.py"}
