from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from ops.supervisor import child

ROOT = Path(__file__).parents[3]
linux_only = pytest.mark.skipif(sys.platform != "linux", reason="PR_SET_PDEATHSIG is Linux's")


def _parent(code: str) -> subprocess.Popen[str]:
    """A Python that starts something and prints its pid; what it starts holds our pipe open while it lives."""
    return subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, text=True, env=os.environ | {"PYTHONPATH": str(ROOT)}
    )


@linux_only
def test_a_child_ends_with_a_killed_parent() -> None:
    """The kernel ends the child of a parent that was killed, whatever program it is."""
    code = "import subprocess, time; from ops.supervisor import child; subprocess.Popen(child.command(['sleep', '60'])); print(1, flush=True); time.sleep(60)"
    with _parent(code) as parent:
        assert parent.stdout
        assert parent.stdout.readline()
        parent.kill()
        assert parent.stdout.read() == ""  # the pipe is closed when nobody holds it


def test_a_python_that_watches_its_parent_ends_with_it() -> None:
    """The way of macOS: a thread sees that the parent has changed."""
    watching = "import os, time; from app import parent; parent.watch_parent(os.getppid(), 0.02); print(1, flush=True); time.sleep(60)"
    with _parent(
        f"import subprocess, sys, time; subprocess.Popen([sys.executable, '-c', {watching!r}]); time.sleep(60)"
    ) as parent:
        assert parent.stdout
        assert parent.stdout.readline()
        parent.kill()
        assert parent.stdout.read() == ""


def test_a_child_whose_parent_is_gone_does_not_start() -> None:
    """A launcher that comes to itself under another parent gives up."""
    command = child.command(["echo", "started"])
    command[command.index("--parent") + 1] = "1"
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (1, "")


def test_a_program_that_is_missing_is_named() -> None:
    """The launcher's last line says which program was not found."""
    done = subprocess.run(child.command(["/no/such"]), capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr.startswith("/no/such: No such file")


def test_a_lock_lasts_as_long_as_the_program(tmp_path: Path) -> None:
    """The second program starts when the first one, which says its pid in the file, has ended."""
    lock = tmp_path / "lock"
    with subprocess.Popen(child.command(["sh", "-c", "echo on; read x"], lock=str(lock)), stdin=-1, stdout=-1) as first:
        assert first.stdout
        assert first.stdin
        first.stdout.readline()
        assert lock.read_text() == str(first.pid)
        with subprocess.Popen(child.command(["echo", "done"], lock=str(lock)), stdout=-1) as second:
            with pytest.raises(subprocess.TimeoutExpired):
                second.wait(0.2)
            first.stdin.close()
            assert second.communicate(timeout=120)[0] == b"done\n"
