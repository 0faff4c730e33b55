"""For tests that need a program of the system: skipped by its name where it is missing, failed in CI."""

from __future__ import annotations

import os
import shutil

import pytest


def needs(*names: str) -> str:
    """The path of the first of these programs that the PATH has. Call it in the test or in its fixture."""
    for name in names:
        if path := shutil.which(name):
            return path
    message = f"needs {' or '.join(names)}, which this machine lacks"
    if os.environ.get("CI") == "true":
        pytest.fail(f"{message}; add its package to .ci/run")
    pytest.skip(message)
