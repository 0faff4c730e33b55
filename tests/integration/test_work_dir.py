"""Workers' directories: kept while the worker lives, removed with it, swept away after its death."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from workers.work_dir import work_dir

if TYPE_CHECKING:
    import pytest

ROOT = Path(__file__).parents[2]
HOLD = "import sys, time; from pathlib import Path; from workers.work_dir import work_dir\n"
HOLD += "with work_dir(Path(sys.argv[1]), 'other') as d: (d / 'prompt').write_text('x'); print('held', flush=True); time.sleep(60)"


def test_only_the_dead_are_swept_away(tmp_path: Path) -> None:
    """A living worker keeps its directory when another starts; after a kill -9 the next start removes it."""
    other = subprocess.Popen([sys.executable, "-c", HOLD, str(tmp_path)], stdout=subprocess.PIPE, cwd=ROOT)
    assert other.stdout is not None
    assert other.stdout.readline() == b"held\n"
    with work_dir(tmp_path, "first"):
        assert (tmp_path / "other" / "prompt").exists()
    other.kill()
    other.wait()
    other.stdout.close()
    with work_dir(tmp_path, "second") as own:
        assert own.is_dir()
        assert not (tmp_path / "other").exists()
    assert [path.name for path in tmp_path.iterdir() if path.is_dir()] == []


def test_a_removal_that_broke_off_is_finished(tmp_path: Path) -> None:
    """What is left of a directory that was being removed when its worker was killed goes with the next start."""
    (tmp_path / "half" / "process-1" / "config").mkdir(parents=True)
    with work_dir(tmp_path, "next"):
        assert not (tmp_path / "half").exists()


def test_what_is_written_meanwhile_goes_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A dying process that writes into the directory while it is being removed does not keep it there."""
    rmtree = shutil.rmtree
    late = [True]

    def interrupted(path: Path, **options: Any) -> None:
        rmtree(path, **options)
        if late and late.pop():
            path.mkdir()

    monkeypatch.setattr(shutil, "rmtree", interrupted)
    with work_dir(tmp_path, "own"):
        pass
    assert not (tmp_path / "own").exists()
