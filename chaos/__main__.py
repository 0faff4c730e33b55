"""`python -m chaos`: breaks a stack, prints one table. 0: nothing was lost or doubled; 1: something was."""

from __future__ import annotations

import argparse
import shutil
import signal
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, NoReturn

from app import environment
from chaos import table
from chaos.run import WAYS, run


def main() -> int:
    """A run that found something leaves its directory, with the log of the stack and the story of the faults."""
    given = _arguments()
    signal.signal(signal.SIGTERM, _leave)
    seed = given.seed if given.seed is not None else int(time.time()) % 1_000_000
    directory = Path(tempfile.mkdtemp(prefix="nightshift-chaos-"))
    sys.stderr.write(f"chaos: seed {seed}, {given.minutes:g} minutes\n")
    report = run(
        directory,
        seconds=60 * given.minutes,
        seed=seed,
        workers=given.workers,
        ways=given.ways,
        storage=_storage(given.storage),
    )
    sys.stdout.write(f"seed {seed}, {given.minutes:g} minutes\n" + table.text(report))
    if report.findings.are_clean and not given.keep:
        shutil.rmtree(directory, ignore_errors=True)
        return 0
    (directory / "story").write_text("\n".join(report.ledger.history) + "\n")
    sys.stderr.write(f"chaos: the log and the story are in {directory}\n")
    return 0 if report.findings.are_clean else 1


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="scripts/chaos", description=__doc__)
    parser.add_argument("--minutes", type=float, default=5.0, metavar="M", help="how long faults come (default 5)")
    parser.add_argument("--seed", type=int, metavar="S", help="the same seed gives the same faults in the same order")
    parser.add_argument("--workers", type=int, default=2, metavar="N", help="default 2")
    parser.add_argument("--ways", default=WAYS, metavar="LADDER", help="NIGHTSHIFT_WAYS, e.g. cli:subscription,api")
    parser.add_argument(
        "--storage", default="", metavar="URL", help="NIGHTSHIFT_STORAGE of both machines; AWS_... name its login"
    )
    parser.add_argument("--keep", action="store_true", help="leave the directory of a clean run too")
    return parser.parse_args()


def _storage(url: str) -> dict[str, str]:
    login = {name: value for name, value in environment.variables().items() if name.startswith("AWS_")}
    return {"NIGHTSHIFT_STORAGE": url, **login} if url else {}


def _leave(_number: int, _frame: Any) -> NoReturn:
    sys.exit(128 + signal.SIGTERM)


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
