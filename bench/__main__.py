"""`python -m bench`: measures, and prints what it measured. The exit status tells nothing of the numbers."""

from __future__ import annotations

import argparse
import json
import signal
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from bench import (
    admission,
    batch,
    batch_table,
    fleet,
    forecast,
    lane,
    litellm,
    memory,
    memory_table,
    scale,
    switching,
    table,
    timeline,
    ways,
)
from bench.children import BenchError
from bench.run import run
from bench.sizes import FULL, QUICK

if TYPE_CHECKING:
    from collections.abc import Callable

    from bench.sizes import Sizes


def _sizes(given: argparse.Namespace) -> Sizes:
    return QUICK if given.quick else FULL


#: what is printed of what one option measures
_MEASURED: dict[str, Callable[[Path, argparse.Namespace], str]] = {
    "fleet": lambda where, given: fleet.text(fleet.run(where, given.workers, given.turns, given.against)),
    "ways": lambda where, given: ways.text(ways.run(where, _sizes(given))) + lane.text(lane.run(where)),
    "against_litellm": lambda where, given: litellm.text(litellm.run(where, _sizes(given), given.venv)),
    "forecast": lambda where, _: forecast.text(forecast.run(where)),
    "admission": lambda where, _: admission.text(admission.run(where)),
    "scale": lambda where, _: scale.text(*scale.run(where)),
    "timeline": lambda where, given: timeline.text(*timeline.run(where, given.way, given.against)),
    "switching": lambda where, _: switching.text(switching.run(where)),
}


def main() -> int:
    """0 when everything could be measured, 1 when not."""
    given = _arguments()
    # So that everything that was started is ended, as after Ctrl-C.
    signal.signal(signal.SIGTERM, _leave)
    with tempfile.TemporaryDirectory(prefix="nightshift-bench-", ignore_cleanup_errors=True) as directory:
        try:
            if given.batch:
                return _batch(Path(directory), given)
            if given.memory:
                return _memory(Path(directory), given)
            for name, measured in _MEASURED.items():
                if getattr(given, name):
                    sys.stdout.write(measured(Path(directory), given))
                    return 0
            figures, described = run(Path(directory), _sizes(given), given.workers)
        except BenchError as error:
            sys.stderr.write(f"bench: {error}\n")
            return 1
    sys.stdout.write(table.text(figures, described, given.workers))
    if given.json:
        found = table.as_json(figures, described, given.workers, is_quick=given.quick)
        given.json.write_text(json.dumps(found, indent=1) + "\n")
    return 0


def _batch(directory: Path, given: argparse.Namespace) -> int:
    found = batch.run(directory, given.lines)
    sys.stdout.write(batch_table.text(found))
    if given.json:
        given.json.write_text(json.dumps(found, indent=1) + "\n")
    return 0


def _memory(directory: Path, given: argparse.Namespace) -> int:
    looks = memory.run(directory, given.requests, given.requests // memory.TURNS)
    sys.stdout.write(memory_table.text(looks))
    if given.chart:
        given.chart.write_text(memory_table.svg(looks))
    return 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="scripts/bench", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="under two minutes instead of about ten")
    parser.add_argument(
        "--workers", type=int, default=2, metavar="N", help="workers, and bare loops beside them (default 2)"
    )
    parser.add_argument("--batch", action="store_true", help="measure a large batch instead, in some minutes")
    parser.add_argument("--lines", type=int, default=50_000, metavar="N", help="the batch's lines (default 50000)")
    parser.add_argument("--memory", action="store_true", help="measure what is left of many requests and recycles")
    parser.add_argument("--requests", type=int, default=2000, metavar="N", help="how many (default 2000)")
    parser.add_argument("--chart", type=Path, metavar="FILE", help="plot the memory there, as an SVG")
    parser.add_argument(
        "--fleet", action="store_true", help="measure what each of several workers holds, and its start"
    )
    parser.add_argument("--turns", type=int, default=500, metavar="N", help="of each of them (default 500)")
    parser.add_argument(
        "--against", type=Path, metavar="DIR", help="beside another checkout, run with what is installed here"
    )
    parser.add_argument("--switching", action="store_true", help="measure requests that alternate between two models")
    parser.add_argument(
        "--timeline", action="store_true", help="show where the time and the round trips of a request go"
    )
    parser.add_argument("--scale", action="store_true", help="measure what Redis has to do for a job and a worker")
    parser.add_argument("--way", default="api", choices=["api", "cli"], help="of those requests (default api)")
    parser.add_argument("--admission", action="store_true", help="measure what a key's limits and budget cost")
    parser.add_argument("--ways", action="store_true", help="measure the ways to Claude against each other")
    parser.add_argument("--against-litellm", action="store_true", help=f"measure {litellm.NAME}'s proxy beside it")
    parser.add_argument(
        "--forecast", action="store_true", help="hold forecasts of batches against what these then take"
    )
    parser.add_argument("--venv", type=Path, metavar="DIR", help="keep it installed there")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write everything there, each sample included")
    return parser.parse_args()


def _leave(_number: int, _frame: Any) -> NoReturn:
    sys.exit(128 + signal.SIGTERM)


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
