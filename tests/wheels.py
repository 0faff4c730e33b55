"""Wheels of this tree, built and installed as users do it, without an index: their dependencies are those of the tests."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import sysconfig
import venv
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

ROOT = Path(__file__).parents[1]
_PACKAGES = Path(sysconfig.get_path("purelib"))
_LEFT_OUT = shutil.ignore_patterns("__pycache__", "build", "*.egg-info")
_NAME = re.compile(r"[\w.-]+")


def build(project: Path, parts: Iterable[str], to: Path) -> Path:
    """The wheel of a project of which these files and folders are all that there is. Built of a copy: a build leaves things behind."""
    copy = to / "source"
    copy.mkdir(parents=True)
    for name in parts:
        part = project / name
        if part.is_dir():
            shutil.copytree(part, copy / name, ignore=_LEFT_OUT)
        else:
            shutil.copy(part, copy / name)
    _pip("wheel", "--no-deps", "--no-build-isolation", "--no-index", "--wheel-dir", str(to), str(copy))
    (wheel,) = to.glob("*.whl")
    return wheel


def environment(wheel: Path, to: Path, *, only: Iterable[str] = ()) -> Path:
    """The `bin` of an environment with this wheel and, with `only`, these distributions and what they need; else all that the tests have, but nothing of this tree."""
    venv.create(to, symlinks=True, with_pip=False)
    (packages,) = to.glob("lib/python*/site-packages")
    if names := list(only):
        for path in {path for name in names for path in _files(name, set())}:
            (packages / path.name).symlink_to(path)
    else:
        # What is in a folder that a .pth names is found, and further .pth in it are not read: this tree's is one.
        (packages / "tests.pth").write_text(f"{_PACKAGES}\n")
    _pip("--python", str(to / "bin/python"), "install", "--no-deps", "--no-index", str(wheel))
    return to / "bin"


def _files(name: str, seen: set[str]) -> Iterator[Path]:
    """What a distribution and all that it requires have directly in their folder."""
    found = metadata.distribution(name)
    if found.name in seen:
        return
    seen.add(found.name)
    for top in {file.parts[0] for file in found.files or ()} - {"..", "__pycache__"}:
        yield Path(str(found.locate_file(top)))
    for requirement in found.requires or ():
        required = _NAME.match(requirement)
        if required and "extra ==" not in requirement:
            try:
                yield from _files(required[0], seen)
            except metadata.PackageNotFoundError:  # for another Python
                continue


def _pip(*arguments: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "pip", "--disable-pip-version-check", *arguments],
        capture_output=True,
        text=True,
        check=False,
        timeout=180,
    )
    assert done.returncode == 0, done.stdout + done.stderr
