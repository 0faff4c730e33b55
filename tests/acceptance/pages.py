"""The commands and examples of a page of the docs, run as a reader runs them: pasted, against a running stack."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from typing import TYPE_CHECKING

from tests.acceptance.stack import ROOT

if TYPE_CHECKING:
    from pathlib import Path

    from tests.acceptance.stack import Stack

#: where Nightshift is on every page
ADDRESS = "http://127.0.0.1:8204"


class Page:
    """A page by its path in the repository, or several as one; its sections are those of the second level."""

    def __init__(self, *paths: str) -> None:
        self.text = "\n".join((ROOT / path).read_text() for path in paths)

    def section(self, title: str) -> str:
        """The text under a heading."""
        return self.text.split(f"\n## {title}\n")[1].split("\n## ")[0]

    def sections_with_blocks(self) -> list[str]:
        """The titles of those that have a command or a Python example."""
        titles = re.findall(r"\n## (.*)\n", self.text)
        return [title for title in titles if re.search(r"```python|\n    [a-z]", self.section(title))]

    def python_in(self, title: str, stack: Stack) -> str:
        """A section's Python examples, on the address of this stack."""
        blocks = re.findall(r"```python\n(.*?)```", self.section(title), re.DOTALL)
        return "\n".join(blocks).replace(ADDRESS, stack.url)

    def shell_in(self, title: str, stack: Stack) -> list[str]:
        """A section's shell commands, each without its line breaks, on the address of this stack."""
        joined = re.sub(r"```python.*?```", "", self.section(title), flags=re.DOTALL).replace("\\\n", " ")
        found = [line.strip() for line in joined.splitlines() if re.match(r"    [a-z]", line)]
        return [line.replace(ADDRESS, stack.url) for line in found]

    def script_in(self, title: str, stack: Stack) -> str:
        """A section's blocks of shell commands as one script, here documents and all.

        `batch_…` is the batch that was submitted last in its directory. A batch that is tried first may have exit status 4.
        """
        text = re.sub(r"```python.*?```", "", self.section(title), flags=re.DOTALL)
        lines = [line[4:] for line in text.splitlines() if line.startswith("    ")]
        for number, line in enumerate(lines):
            if line.startswith("nightshift batch submit "):
                lines[number] += " > submitted" + " || test $? = 4" * ("--try" in line)
        script = "\n".join(["set -e", *lines]).replace("batch_…", "$(cat submitted)")
        return script.replace(ADDRESS, stack.url)


def sh(command: str, stack: Stack, cwd: Path, **environ: str) -> subprocess.CompletedProcess[str]:
    """As a user's shell runs it: `nightshift` is the alias of the docs."""
    alias = cwd / "bin" / "nightshift"
    alias.parent.mkdir(exist_ok=True)
    alias.write_text(f'#!/bin/sh\nexec {sys.executable} -P -m ops.cli.main "$@"\n')
    alias.chmod(0o755)
    env = {**stack._environment(), "NIGHTSHIFT_URL": stack.url, **environ}
    env["PATH"] = f"{alias.parent}{os.pathsep}{env['PATH']}"
    return subprocess.run(
        ["sh", "-c", command], cwd=cwd, env=env, capture_output=True, text=True, check=False, timeout=120
    )
