"""What takes a minute: thousands of lines through the real CLI, and the benchmark of a batch, small."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import TYPE_CHECKING

from tests.acceptance.stack import ROOT, Stack
from tests.acceptance.test_batches import line, read, start, wait

if TYPE_CHECKING:
    from pathlib import Path

LINES = 2000


def test_two_thousand_lines(stack: Stack) -> None:
    """Each comes back once, with the answer to its own question."""
    stack.simulator.add_rule({"echo": True})
    batch = wait(stack, start(stack, [line(f"line-{n}") for n in range(LINES)]).id, timeout=300)
    assert (batch.status, batch.error_file_id) == ("completed", None)
    answers = {
        one["custom_id"]: one["response"]["body"]["choices"][0]["message"]["content"]
        for one in read(stack, batch.output_file_id)
    }
    assert len(read(stack, batch.output_file_id)) == LINES
    assert answers == {f"line-{n}": f"Say line-{n}." for n in range(LINES)}
    assert stack.redis.keys("*batch_req_*") == []


def test_the_benchmark_of_a_batch(tmp_path: Path) -> None:
    """It goes through, and says what was measured."""
    python = os.environ.get("NIGHTSHIFT_TEST_PYTHON", sys.executable)
    argv = [python, "-P", "-m", "bench", "--batch", "--lines", "200", "--json", str(tmp_path / "found.json")]
    environ = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(argv, cwd=tmp_path, env=environ, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    assert "Against RQ's enqueue_many" in done.stdout
    found = json.loads((tmp_path / "found.json").read_text())
    assert found["lines"] == 200
    assert found["memory_mb"]["peak"]["redis data"] > found["memory_mb"]["before"]["redis data"]
