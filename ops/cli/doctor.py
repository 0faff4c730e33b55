"""`nightshift doctor`: looks at what must be right, and says how to mend what is not."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict, replace
from itertools import chain
from typing import Annotated, Any

from cyclopts import Parameter

from app import environment
from app.settings import Settings, SettingsError
from ops.cli import misspelled, options
from ops.cli.options import AsJson, DataDir, Host, Port
from ops.doctor import claude, finding, machine, messages, redis
from ops.doctor.finding import Finding

_SIGNS = {"ok": "ok  ", "warn": "WARN", "fail": "FAIL"}


def doctor(
    *,
    host: Host = None,
    port: Port = None,
    data_dir: DataDir = None,
    offline: Annotated[bool | None, Parameter(help="with simulated answers: no login, no network")] = None,
    no_request: Annotated[bool, Parameter(help="send Claude nothing: the login is not tried")] = False,
    as_json: AsJson = False,
) -> int:
    """0 when nothing fails, whatever is to be warned of; else 1. Its options are those of `up`, which it is to be run before."""
    given = {"host": host, "port": port, "data_dir": data_dir, "offline": offline}
    findings: list[Finding] = []
    for one in _findings(given, asks=not no_request):
        findings.append(one)
        if not as_json:
            print(f"{_SIGNS[one.level]}  {one.subject:<14} {one.text}", flush=True)
            if one.mend:
                print(f"      {'':<14} -> {one.mend}", flush=True)
    if as_json:
        print(json.dumps([asdict(one) for one in findings], ensure_ascii=False))
    return int(any(one.level == "fail" for one in findings))


def _findings(given: dict[str, Any], *, asks: bool) -> Iterator[Finding]:
    try:
        settings = Settings.from_environment(**given)
        options.check_exposure(settings)
    except SettingsError as error:
        yield finding.fail("Settings", str(error), "Correct or unset it; the rest is looked at then.")
        return
    complaints = list(misspelled.complaints(environment.variables()))
    for complaint in complaints:
        yield finding.warn(
            "Settings", complaint, "Correct its name, or unset it. docs/settings.md has a table of them all."
        )
    if not complaints:
        yield finding.ok("Settings", "understood")
    yield from chain(
        machine.look(settings),
        redis.look(settings),
        claude.look(_as_it_runs(settings, given), environment.variables(), asks=asks),
        messages.look(settings, environment.variables(), asks=asks),
    )


def _as_it_runs(settings: Settings, given: dict[str, Any]) -> Settings:
    """Offline if the server is that runs there and nobody said otherwise: it needs no login."""
    if given["offline"] is None and not settings.offline and machine.runs_offline(settings):
        return replace(settings, offline=True)
    return settings
