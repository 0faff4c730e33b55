"""Which Python the scripts take."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from pathlib import Path

SCRIPTS = Path(__file__).parents[2] / "scripts"


def run(script: str, **environ: str) -> subprocess.CompletedProcess[str]:
    """With a PATH that has this Python first."""
    path = f"{Path(sys.base_prefix) / 'bin'}{os.pathsep}/usr/bin{os.pathsep}/bin"
    return subprocess.run(
        [SCRIPTS / script], env={"PATH": path, **environ}, capture_output=True, text=True, check=False, timeout=180
    )


def version_of(python: str) -> str:
    asked = [python, "-I", "-c", "import platform; print(platform.python_version())"]
    return subprocess.run(asked, capture_output=True, text=True, check=True, timeout=180).stdout.strip()


def test_the_named_one_is_taken() -> None:
    """`NIGHTSHIFT_PYTHON` wins over all that the PATH has."""
    done = run("find-python", NIGHTSHIFT_PYTHON=sys.executable)
    assert done.stdout.strip() == sys.executable


def test_a_named_one_that_is_none_is_refused(tmp_path: Path) -> None:
    """Another one in its place would be a surprise: the message names the variable."""
    done = run("find-python", NIGHTSHIFT_PYTHON=str(tmp_path / "python3"))
    assert (done.returncode, done.stdout) == (1, "")
    assert f"NIGHTSHIFT_PYTHON is '{tmp_path}/python3', which is no Python 3.11 or newer" in done.stderr


def test_each_version_is_found_once() -> None:
    """Of this machine's Pythons, this one among them, each version that is claimed has one line."""
    versions = [version_of(path) for path in run("pythons").stdout.splitlines()]
    assert platform.python_version() in versions
    assert len(versions) == len(set(versions))
