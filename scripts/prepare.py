"""Makes `.venv` and installs what a lock pins, when that is not done yet. Needs nothing but Python's standard library.

Usage: prepare.py requirements.lock|requirements-test.lock|requirements-NAME.lock [VENV]

The last are for environments of their own, `.venv-NAME`, in which other people's programs live without Nightshift.
VENV: a name for the environment, beside `.venv`, for another Python.
"""

import fcntl
import hashlib
import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
#: their versions of shared packages differ, so each of these sets has an environment of its own
APART = tuple(
    f"requirements-{name}.lock" for name in ("clients", "clients-openai-2", "clients-openai-3", "docs", "audit", "s3")
)
CLIENTS_PIP = "requirements-clients-pip.lock"
IS_APART = sys.argv[1:] in ([name] for name in APART)
VENV = ROOT / (
    f".venv-{sys.argv[1].removeprefix('requirements-').removesuffix('.lock')}"
    if IS_APART
    else "".join(sys.argv[2:]) or ".venv"
)
PYTHON = VENV / "bin" / "python"
LOCKS = tuple(sys.argv[1:]) if IS_APART else ("requirements.lock", "requirements-test.lock")


def main() -> int:
    """Install, or find that nothing is to do. Two at once wait for each other."""
    lock = sys.argv[1]
    if lock not in LOCKS:
        print(f"prepare: {lock} is none of {', '.join((*LOCKS, *APART))}", file=sys.stderr)
        return 2
    if done(lock):
        return 0
    with Path(__file__).open() as guard:
        fcntl.flock(guard, fcntl.LOCK_EX)
        return 0 if done(lock) else install(lock)


def done(lock: str) -> bool:
    """Whether `.venv` has what this lock or a larger one pins, for the tree at this place."""
    if is_another_python():
        return False
    return any(stamp(name).is_file() and stamp(name).read_text() == wanted(name) for name in LOCKS[LOCKS.index(lock) :])


def is_another_python() -> bool:
    """Whether `NIGHTSHIFT_PYTHON` names another than the one that `.venv` was made with."""
    if not os.environ.get("NIGHTSHIFT_PYTHON"):
        return False
    try:
        lines = (VENV / "pyvenv.cfg").read_text().splitlines()
    except OSError:
        return False  # there is none
    made_with = dict(line.split(" = ", 1) for line in lines if " = " in line).get("executable", "")
    return os.path.realpath(made_with) != os.path.realpath(sys.executable)


def stamp(lock: str) -> Path:
    """The file that says which lock was installed."""
    return VENV / f".installed-{lock}"


def wanted(lock: str) -> str:
    """What a stamp must say: an environment has its path inside, so a tree that was moved needs a new one."""
    content = b"\0".join((ROOT / name).read_bytes() for name in (lock, "pyproject.toml"))
    return f"{hashlib.sha256(content).hexdigest()} {VENV}\n"


def install(lock: str) -> int:
    """Make the environment and install into it. The stamp is written last, so that an interrupted run starts over."""
    if not os.access(ROOT if not VENV.exists() else VENV, os.W_OK):
        return fail(
            f"{VENV} can't be written by this user. Clone Nightshift to a directory of your own, and run it there."
        )
    for name in LOCKS:
        stamp(name).unlink(missing_ok=True)
    environ = {k: v for k, v in os.environ.items() if k not in ("PYTHONHOME", "PYTHONPATH", "PIP_TARGET", "PIP_PREFIX")}
    environ |= {
        "PIP_USER": "0",
        "PIP_REQUIRE_VIRTUALENV": "0",
        "PIP_DISABLE_PIP_VERSION_CHECK": "1",
        "PIP_NO_INPUT": "1",
    }
    pip = [str(PYTHON), "-I", "-m", "pip", "install"]
    if not usable():
        say(f"Making {VENV.name} with Python {sys.version.split()[0]} ...")
        if subprocess.call([sys.executable, "-I", "-m", "venv", "--clear", str(VENV)], env=environ):
            return fail("The virtual environment could not be made; the reason is above.")
    count = sum("==" in line and not line.startswith((" ", "#")) for line in (ROOT / lock).read_text().splitlines())
    say(f"Installing {count} pinned packages into {VENV.name}; this is needed once, and takes a minute or two ...")
    # An older pip, such as came with Python 3.11, takes a package that is also wanted with an extra for one without a pin.
    first = [CLIENTS_PIP] if IS_APART else []
    if any(subprocess.call([*pip, "--require-hashes", "-r", str(ROOT / n)], env=environ) for n in (*first, lock)):
        return fail("Installing failed; the reason is above. Nothing is broken: run the same command again.")
    if not IS_APART and subprocess.call(
        [*pip, "--quiet", "--no-deps", "--no-build-isolation", "-e", str(ROOT)], env=environ
    ):
        return fail("Installing Nightshift itself failed; the reason is above.")
    stamp(lock).write_text(wanted(lock))
    say("Installed.")
    return 0


def usable() -> bool:
    """Whether `.venv` has a Python that runs, is new enough, belongs to this place, and is the one that is wanted."""
    if is_another_python():
        return False
    check = "import sys; assert sys.version_info >= (3, 11) and sys.prefix == sys.argv[1]; import pip"
    try:
        return (
            subprocess.run([str(PYTHON), "-I", "-c", check, str(VENV)], capture_output=True, check=False).returncode
            == 0
        )
    except OSError:
        return False


def say(line: str) -> None:
    """Progress goes where errors go: output is the command's."""
    print(line, file=sys.stderr, flush=True)


def fail(line: str) -> int:
    """Say why, and give the exit status."""
    say(f"nightshift: {line}")
    return 1


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(fail("Interrupted. Run the same command again."))
