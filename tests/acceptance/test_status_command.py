"""`nightshift status` as a user types it, in a terminal and in a script, and `nightshift doctor` beside it."""

from __future__ import annotations

import json
import os
import pty
import re
import select
import signal
import socket
import subprocess
import sys
import time
from importlib.metadata import version
from typing import TYPE_CHECKING

from tests.acceptance.stack import ROOT, Stack
from tests.redis_server import wait_until

if TYPE_CHECKING:
    from collections.abc import Mapping


HOST, VERSION = socket.gethostname(), version("claude-nightshift")
ARGV = [sys.executable, "-m", "ops.cli.main", "status"]


def environment(stack: Stack) -> Mapping[str, str]:
    return {**stack._environment(), "NIGHTSHIFT_URL": stack.url}


def status(stack: Stack, *args: str, **more: str) -> subprocess.CompletedProcess[str]:
    env = {**environment(stack), **more}
    return subprocess.run([*ARGV, *args], cwd=ROOT, env=env, capture_output=True, text=True, timeout=180, check=False)


def states(stack: Stack) -> list[str]:
    return [row["state"] for row in stack.http("GET", "/health").body["workers"]]


def test_once(stack: Stack) -> None:
    """Lines for people, JSON for scripts; a server that is not there is exit status 1."""
    stack.simulator.add_rule({"error": {"status": 400, "message": "too rude"}}, times=1)
    failed = stack.wait_for(stack.submit("fail"))["id"]
    wait_until(lambda: states(stack) == ["idle", "idle"], "workers at rest")
    shown = status(stack)
    assert shown.returncode == 0, shown.stderr
    assert "SERVES" in shown.stdout
    assert f"{failed}  sonnet  invalid_request_error: too rude" in shown.stdout
    found = json.loads(status(stack, "--json").stdout)
    rows = found["health"]["workers"]
    assert [(row["state"], row["host"], row["version"]) for row in rows] == [("idle", HOST, VERSION)] * 2
    # One login, whose label has nothing of it.
    (label,) = {row["login_label"] for row in rows}
    assert re.fullmatch(r"api_key [0-9a-f]{6}", label) and label in shown.stdout
    assert [(one["name"], one["workers"], one["logins"]) for one in found["health"]["hosts"]] == [(HOST, 2, [label])]
    away = status(stack, NIGHTSHIFT_URL="http://127.0.0.1:9")
    assert (away.returncode, away.stderr.count("No answer from http://127.0.0.1:9")) == (1, 1)


def test_doctor_of_a_stack_that_runs(stack: Stack) -> None:
    """It finds the embedded Redis and what it keeps, and knows the port's owner."""
    argv = [*ARGV[:-1], "doctor", "--json", "--offline", "--no-request"]
    argv += ["--data-dir", str(stack.data_dir), "--port", str(stack.port)]
    done = subprocess.run(
        argv, cwd=ROOT, env=environment(stack), capture_output=True, text=True, timeout=180, check=False
    )
    found = {one["subject"]: one for one in json.loads(done.stdout)}
    assert (done.returncode, {one["level"] for one in found.values()}) == (0, {"ok"}), done.stdout
    assert "Nightshift answers" in found["Port"]["text"]
    assert found["Redis"]["text"].startswith("embedded, ")
    assert "appendonly" in found["Redis' disk"]["text"]


def test_live_in_a_terminal(stack: Stack) -> None:
    """`--watch` follows what happens on a screen of its own, and leaves the terminal as it was."""
    outside, inside = pty.openpty()
    process = subprocess.Popen(
        [*ARGV, "--watch"],
        cwd=ROOT,
        env=environment(stack),
        stdin=inside,
        stdout=inside,
        stderr=inside,
    )
    os.close(inside)
    try:
        read_until(outside, b"Gate       open")
        stack.http("POST", "/v1/gate/pause", {"reason": "for the test"})
        seen = read_until(outside, b"paused: for the test")
        assert b"\x1b[?1049h" not in seen
        process.send_signal(signal.SIGINT)
        assert b"\x1b[?25h\x1b[?1049l" in read_until(outside, b"\x1b[?1049l")
        # Paused, no worker can serve.
        assert process.wait(120) == 1
    finally:
        stack.http("POST", "/v1/gate/resume")
        process.kill()
        process.wait()
        os.close(outside)


def read_until(terminal: int, wanted: bytes, seconds: float = 30) -> bytes:
    """All that comes until then."""
    seen, end = b"", time.monotonic() + seconds
    while wanted not in seen:
        assert time.monotonic() < end, seen
        if select.select([terminal], [], [], 0.5)[0]:
            seen += os.read(terminal, 65536)
    return seen
