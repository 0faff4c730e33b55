"""`nightshift doctor`: looks at what must be right, and says how to mend what is not."""

from __future__ import annotations

import json
from dataclasses import asdict
from itertools import chain
from typing import TYPE_CHECKING

from app import environment
from app.settings import Settings, SettingsError
from ops.cli import misspelled, options

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator

    from ops.doctor.finding import Finding

HELP = (
    "Look at Python, Claude and its login (with one small request), Redis, disk, port and clock; say how to mend them."
)

_SIGNS = {"ok": "ok  ", "warn": "WARN", "fail": "FAIL"}


def arguments(parser: argparse.ArgumentParser) -> None:
    """As those of `up`, which it is to be run before."""
    options.address(parser)
    options.data_dir(parser)
    parser.add_argument(
        "--offline", action="store_const", const=True, help="with simulated answers: no login, no network"
    )
    parser.add_argument("--no-request", action="store_true", help="send Claude nothing: the login is not tried")
    parser.add_argument("--json", action="store_true", help="print JSON for scripts")


def run(args: argparse.Namespace) -> int:
    """0 when nothing fails, whatever is to be warned of; else 1."""
    findings: list[Finding] = []
    for finding in _findings(args):
        findings.append(finding)
        if not args.json:
            print(f"{_SIGNS[finding.level]}  {finding.subject:<14} {finding.text}", flush=True)
            if finding.mend:
                print(f"      {'':<14} -> {finding.mend}", flush=True)
    if args.json:
        print(json.dumps([asdict(finding) for finding in findings], ensure_ascii=False))
    return int(any(finding.level == "fail" for finding in findings))


def _findings(args: argparse.Namespace) -> Iterator[Finding]:
    from ops.doctor import claude, finding, machine, redis  # noqa: PLC0415 - heavy, and only this command's

    try:
        settings: Settings = options.settings(args)
        options.check_exposure(settings)
    except SettingsError as error:
        yield finding.fail("Settings", str(error), "Correct or unset it; the rest is looked at then.")
        return
    complaints = list(misspelled.complaints(environment.variables()))
    for complaint in complaints:
        yield finding.warn(
            "Settings", complaint, "Correct its name, or unset it. The README has a table of all settings."
        )
    if not complaints:
        yield finding.ok("Settings", "understood")
    yield from chain(
        machine.look(settings),
        redis.look(settings),
        claude.look(settings, environment.variables(), asks=not args.no_request),
    )
