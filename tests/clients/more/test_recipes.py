"""The recipes of docs/recipes.md that need programs of others' run as they are on the page."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.acceptance.pages import Page

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.acceptance.stack import Stack

RECIPES = Page("docs/recipes.md")
OLLAMA = "http://127.0.0.1:11434"


class _Embeddings(BaseHTTPRequestHandler):
    """As Ollama answers: vectors of 768 numbers, here made of the text's letters."""

    def do_POST(self) -> None:
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        texts = [asked["input"]] if isinstance(asked["input"], str) else asked["input"]
        vectors = [[1.0 + text.count(chr(97 + i % 26)) + i / 1024 for i in range(768)] for text in texts]
        data = [{"object": "embedding", "index": i, "embedding": vector} for i, vector in enumerate(vectors)]
        body = json.dumps({"object": "list", "model": asked["model"], "data": data}).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        """Nothing."""


@contextmanager
def embeddings() -> Iterator[str]:
    """The address of a server of them."""
    with ThreadingHTTPServer(("127.0.0.1", 0), _Embeddings) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


def run(argv: list[str], directory: Path, **environ: str) -> str:
    """What a program prints that ends well."""
    env = {**os.environ, "GRAPHITI_TELEMETRY_ENABLED": "false", **environ}
    done = subprocess.run(argv, cwd=directory, env=env, capture_output=True, text=True, check=False, timeout=180)
    assert done.returncode == 0, done
    return done.stdout


def test_a_knowledge_graph_with_graphiti(stack: Stack, tmp_path: Path) -> None:
    """It prints what each document adds, and the graph is on the disk."""
    pytest.importorskip("kuzu")
    with embeddings() as address:
        program = RECIPES.python_in("Extract a knowledge graph with Graphiti", stack).replace(OLLAMA, address)
        printed = run([sys.executable, "-c", program], tmp_path).splitlines()
    assert len(printed) == 2 and all(re.fullmatch(r"\['.+'\] \['.+'\]", line) for line in printed), printed
    assert (tmp_path / "graph.kuzu").exists()


def test_an_evaluation_with_inspect(stack: Stack, tmp_path: Path) -> None:
    """Both samples are answered and judged right, one by one and in a batch."""
    pytest.importorskip("inspect_ai")
    stack.simulator.add_rule({"text": "It is right.\n\nGRADE: C"}, match={"contains": "GRADE"})
    (tmp_path / "capitals.py").write_text(RECIPES.python_in("Evaluate with Inspect", stack))
    (tmp_path / "soon.json").write_text('{"send_delay": 1, "tick": 1}')  # it would wait for half a minute
    script = RECIPES.script_in("Evaluate with Inspect", stack).replace("--batch 1000", "--batch soon.json")
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    printed = run(["sh", "-c", script], tmp_path, PATH=path)
    assert len(re.findall(r"accuracy\s+1\.0", printed)) == 2, printed
    assert {body["model"].split("-")[1] for body in stack.asked()} == {"haiku", "opus"}
    (batch,) = stack.client().batches.list().data
    assert batch.request_counts and batch.request_counts.completed == 2
