"""The README does what it says: its examples run as they stand, against the running stack."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tests.acceptance.stack import Stack

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()


def section(title: str) -> str:
    """The text under a heading of the second level."""
    return README.split(f"\n## {title}\n")[1].split("\n## ")[0]


def python_in(title: str, stack: Stack) -> str:
    """A section's Python examples, on the address of this stack."""
    blocks = re.findall(r"```python\n(.*?)```", section(title), re.DOTALL)
    return "\n".join(blocks).replace("http://127.0.0.1:8204", stack.url)


def curls_in(title: str, stack: Stack) -> list[str]:
    """A section's curl commands, each as one shell line, on the address of this stack."""
    joined = section(title).replace("\\\n", " ")
    found = [line.strip() for line in joined.splitlines() if line.startswith("    curl ")]
    return [line.replace("http://127.0.0.1:8204", stack.url) for line in found]


def test_ask_and_wait(stack: Stack, capsys: Any) -> None:
    """The first curl and the first Python example get an answer."""
    (curl,) = curls_in("Ask and wait", stack)
    assert "Simulated answer" in subprocess.run(curl, shell=True, capture_output=True, text=True, check=True).stdout
    exec(python_in("Ask and wait", stack), {})
    assert capsys.readouterr().out.startswith("Simulated answer")


def test_ask_for_json(stack: Stack, capsys: Any) -> None:
    """The Python example prints a city."""
    exec(python_in("Ask and wait", stack) + python_in("Ask for JSON, offer functions", stack), {"__name__": "readme"})
    assert "population=" in capsys.readouterr().out


def test_complete_a_text(stack: Stack, capsys: Any) -> None:
    """The Python example prints an answer to each prompt."""
    exec(python_in("Ask and wait", stack) + python_in("Complete a text", stack), {})
    assert capsys.readouterr().out.count("Simulated answer") == 3


def test_ask_and_poll(stack: Stack) -> None:
    """The curl is accepted and the Python example reads the job."""
    curl = curls_in("Ask and poll", stack)[0]
    answered = subprocess.run(curl, shell=True, capture_output=True, text=True, check=True).stdout
    assert "202 ACCEPTED" in answered
    assert "Location: /v1/jobs/chatcmpl-" in answered
    names: dict[str, Any] = {}
    exec(python_in("Ask and wait", stack) + python_in("Ask and poll", stack), names)
    assert names["job"]["object"] == "job"


def test_without_a_queue(stack: Stack) -> None:
    """The invoker's example prints Claude's answer."""
    simulator = f"http://127.0.0.1:{(stack.data_dir / 'simulator.port').read_text().strip()}"
    environment = {"HOME": str(stack.directory), "PATH": "/usr/bin:/bin", "PYTHONPATH": str(ROOT)}
    environment |= {"ANTHROPIC_API_KEY": "offline", "ANTHROPIC_BASE_URL": simulator}
    done = subprocess.run(
        [sys.executable, "-c", python_in("Without a queue", stack)],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.stdout.startswith("Simulated answer"), done.stderr


def test_the_settings_table_is_up_to_date() -> None:
    """What `scripts/settings-table` would write is what the README has."""
    script = ROOT / "scripts" / "settings-table"
    assert subprocess.run([sys.executable, str(script), "--check"], cwd=ROOT, check=False).returncode == 0
