"""Workers' directories: kept while the worker lives, removed with it, swept away after its death."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from workers.work_dir import work_dir

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
