"""Claude: the command line that comes with the SDK, the login, and the clock of the API."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager
from dataclasses import replace
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx

from app.login import CLOUDS, login_of
from app.login import fault as login_fault
from app.ways import OF_WORKERS, Way
from ops.doctor.finding import Finding, fail, ok, warn
from ops.supervisor import process_specs
from ops.supervisor.child import command
from ops.supervisor.errors import StackError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from app.login import Login
    from app.settings import Settings
    from app.ways import Step

CHECK_MODULE = "workers.check"
#: for starting Claude and one short answer
_SECONDS = 120.0
_API = "https://api.anthropic.com"
#: logins whose clock is not the API's
_APART, _FAR_APART = 60.0, 300.0

_MENDS = {
    "login": "Log in anew (`claude`), make a token (`claude setup-token`), or set ANTHROPIC_API_KEY to a valid key.",
    "usage_limit": "Nothing: work waits, and goes on at the reset.",
    "overloaded": "Nothing: Claude is overloaded; work is tried again.",
    "rate_limited": "Nothing: too much at once; work is tried again.",
    "unavailable": "Install anew: remove .venv, and start scripts/run.",
}
_PASSING = ("usage_limit", "overloaded", "rate_limited")


def look(settings: Settings, environ: Mapping[str, str], *, asks: bool) -> Iterator[Finding]:
    """`asks`: send one real request, a few tokens of the smallest model."""
    logins = {step: None if settings.offline else login_of(settings, step) for step in settings.ways}
    with _endpoint(settings, environ) as env:
        for step, login in logins.items():
            # Of several ways each finding says of which it is.
            of_way = f" ({step.way})" if len(logins) > 1 else ""
            for one in _of_step(settings, env, step, login, asks=asks):
                yield replace(one, subject=f"{one.subject}{of_way}")
    if asks and any(login is not None and login.kind not in CLOUDS for login in logins.values()):
        yield from _clock(settings.claude_environment.get("ANTHROPIC_BASE_URL") or _API)


def _of_step(
    settings: Settings, env: Mapping[str, str], step: Step, login: Login | None, *, asks: bool
) -> Iterator[Finding]:
    """`login`: None when offline, or when there is none."""
    fault = None if settings.offline else login_fault(settings, step)
    if step.way in OF_WORKERS:
        tried = _check(env, step.way, asks=asks and not fault)
        yield from _told(tried, settings, step.way, None if fault else login)
    else:
        yield ok("Way", "batches: lines of batches go to Anthropic's Message Batches, at half the price")
    if fault:
        said = "there is none" if login is None and len(settings.ways) == 1 else f"NIGHTSHIFT_WAYS {fault}"
        yield fail("Login", said, "Set ANTHROPIC_API_KEY, or see docs/start.md for other logins.")


@contextmanager
def _endpoint(settings: Settings, environ: Mapping[str, str]) -> Iterator[dict[str, str]]:
    """The environment of a worker; offline with a simulator behind it for as long as this lasts."""
    if not settings.offline or environ.get("ANTHROPIC_BASE_URL"):
        yield process_specs.environment(settings, environ)
        return
    with tempfile.TemporaryDirectory(prefix="nightshift-doctor-") as directory:
        spec = process_specs.simulator(Path(directory) / "port", environ)
        argv = command(list(spec.argv)) if sys.platform == "linux" else list(spec.argv)
        simulator = subprocess.Popen(argv, env=dict(spec.env), stdout=subprocess.DEVNULL)
        try:
            end = time.monotonic() + _SECONDS
            while not (spec.ready and spec.ready()):
                if simulator.poll() is not None or time.monotonic() > end:
                    raise StackError("The simulator does not start; the lines above say why.")
                time.sleep(0.05)
            port = (Path(directory) / "port").read_text().strip()
            yield process_specs.environment(settings, environ, f"http://127.0.0.1:{port}")
        finally:
            simulator.terminate()
            simulator.wait()


def _check(env: Mapping[str, str], way: Way, *, asks: bool) -> dict[str, Any]:
    """What `workers.check` found, in a process of its own: only workers know Claude."""
    argv = [sys.executable, "-P", "-m", CHECK_MODULE, "--way", way, *([] if asks else ["--no-request"])]
    try:
        done = subprocess.run(argv, env=dict(env), capture_output=True, text=True, timeout=_SECONDS, check=False)
        found: dict[str, Any] = json.loads(done.stdout)
    except subprocess.TimeoutExpired:
        return {"failure": "unavailable", "message": f"it has not started within {_SECONDS:.0f} s"}
    except ValueError:
        return {
            "failure": "unavailable",
            "message": (done.stderr.strip().splitlines() or ["it ended without a word"])[-1],
        }
    return found


def _told(found: Mapping[str, Any], settings: Settings, way: Way, login: Login | None) -> Iterator[Finding]:
    failure = found.get("failure", "")
    version = found.get("cli_version")
    if way is Way.API:
        yield ok("Way", "api: the workers ask Claude's API themselves; no Claude process is needed")
    elif version is None:
        yield fail("Claude CLI", f"does not start: {found.get('message', '')}", _MENDS["unavailable"])
        return
    else:
        yield ok("Claude CLI", f"{version}, of claude-agent-sdk {found['sdk_version']}; it starts (way: cli)")
        yield from _memory(found)
    if login is None and not settings.offline:
        return
    which = "simulated (offline)" if login is None else login.description
    if failure == "unavailable":
        yield fail(
            "Login", f"{which}: {found['message']}", "Set the variable that is named to a value that can be used."
        )
    elif failure:
        mend = _MENDS.get(
            failure, "Look at the message; the network, a proxy (HTTPS_PROXY) or ANTHROPIC_BASE_URL may be wrong."
        )
        level = warn if failure in _PASSING else fail
        yield level("Login", f"{which}: {failure}: {found['message']}", mend)
    elif "seconds" in found:
        yield ok("Login", f"{which}: {found['model']} answered within {found['seconds']:.1f} s")
    else:
        yield ok("Login", f"{which}; not tried")


def _memory(found: Mapping[str, Any]) -> Iterator[Finding]:
    """Of `NIGHTSHIFT_MEMORY=frugal`."""
    fault = found.get("frugal_fault")
    if fault:
        mend = "Set NIGHTSHIFT_MEMORY=speed, or update Nightshift: workers take the memory of `speed` meanwhile."
        yield warn("Memory mode", f"frugal has no effect: {fault}", mend)
    elif fault is not None:
        yield ok("Memory mode", "frugal: Claude's processes run without their just-in-time compiler")


def _clock(url: str) -> Iterator[Finding]:
    """By the API's own word. Nothing when it can't be reached so: the request has told whether it can."""
    try:
        before = time.time()  # noqa: TID251 - this machine's clock is looked at
        said = httpx.head(url, timeout=5.0).headers.get("date", "")
        theirs = parsedate_to_datetime(said).timestamp()
    except (httpx.HTTPError, ValueError, TypeError):
        return
    apart = max(before - theirs - 1, theirs - time.time(), 0.0)  # noqa: TID251 - the same
    mend = "Set this machine's clock by NTP (timedatectl set-ntp true): resets of limits are times of day."
    if apart > _FAR_APART:
        yield fail("Clock", f"{apart:.0f} s from the API's", mend)
    elif apart > _APART:
        yield warn("Clock", f"{apart:.0f} s from the API's", mend)
    else:
        yield ok("Clock", "as the API's")
