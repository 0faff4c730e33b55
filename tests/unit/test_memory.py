"""What several processes hold together is the sum of what each says."""

from __future__ import annotations

import subprocess
import sys

import pytest

SHARED_MB = 64
PROGRAM = f"""
import os, psutil, signal
from app.memory import held_mb
block = bytearray(os.urandom(1)) * ({SHARED_MB} * 1024 * 1024)
before = held_mb(psutil.Process())
children = []
for _ in range(3):
    pid = os.fork()
    if pid == 0:
        signal.pause()
    children.append(psutil.Process(pid))
print(before, sum(held_mb(one) for one in [psutil.Process(), *children]))
for one in children:
    one.kill()
"""


@pytest.mark.skipif(sys.platform != "linux", reason="other systems do not tell what is shared")
def test_what_is_shared_counts_once() -> None:
    """Four processes that share a large block hold it once."""
    said = subprocess.run(
        [sys.executable, "-c", PROGRAM], check=True, capture_output=True, text=True, timeout=60
    ).stdout
    before, together = map(float, said.split())
    assert before > SHARED_MB
    assert before * 0.9 < together < before + SHARED_MB / 2
