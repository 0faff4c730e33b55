"""`nightshift batch` as a user types it, against the whole product."""

from __future__ import annotations

import csv
import fcntl
import json
import os
import pty
import re
import select
import struct
import subprocess
import sys
import termios
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

from tests.acceptance.stack import ROOT, Stack
from tests.acceptance.test_batches import done
from tests.redis_server import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


def nightshift(stack: Stack, *args: object) -> subprocess.CompletedProcess[str]:
    argv = [sys.executable, "-m", "app.cli.main", "batch", *map(str, args)]
    environ = {**stack._environment(), "NIGHTSHIFT_URL": stack.url}
    return subprocess.run(argv, cwd=ROOT, env=environ, capture_output=True, text=True, timeout=90, check=False)


class Terminal:
    """A terminal of 200 columns, and what was written to it."""

    def __init__(self) -> None:
        self._ours, self.theirs = pty.openpty()
        fcntl.ioctl(self.theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 200, 0, 0))
        self.text = ""

    def wait_for(self, pattern: str, timeout: float = 30) -> str:
        """All that was written, once the pattern is in it."""
        end = time.monotonic() + timeout
        while not re.search(pattern, self.text):
            ready, _, _ = select.select([self._ours], [], [], max(0.0, end - time.monotonic()))
            assert ready, f"no {pattern!r} in {self.text!r}"
            self.text += os.read(self._ours, 4096).decode()
        return self.text

    def close(self) -> None:
        os.close(self._ours)
        os.close(self.theirs)


@contextmanager
def watching(stack: Stack, batch_id: str) -> Iterator[tuple[Terminal, subprocess.Popen[bytes]]]:
    terminal = Terminal()
    argv = [sys.executable, "-m", "app.cli.main", "batch", "watch", batch_id, "--url", stack.url]
    process = subprocess.Popen(argv, cwd=ROOT, env=stack._environment(), stderr=terminal.theirs)
    try:
        yield terminal, process
    finally:
        process.kill()
        process.wait()
        terminal.close()


def test_the_live_line(stack: Stack, tmp_path: Path) -> None:
    """In a terminal `watch` keeps one line: bar, rate, time left, tokens, cost, failures, why it waits and until when."""
    stack.simulator.add_rule({"error": {"status": 400}}, match={"contains": "rude"})
    stack.simulator.add_rule({}, latency_ms=500)
    path = tmp_path / "lines.txt"
    path.write_text("rude\n" + "kind\n" * 11)
    batch_id = nightshift(stack, "submit", path, "--template", "{text}").stdout.strip()
    with watching(stack, batch_id) as (terminal, process):
        wait_until(lambda: done(stack, batch_id) >= 3, "three lines", 30)
        until = time.time() + 3600
        assert stack.http("POST", "/v1/gate/pause", {"until": until}).status == 200
        text = terminal.wait_for("is paused by hand until ")
        terminal.wait_for(re.escape(time.strftime("%a %H:%M", time.localtime(until))))
        line = text.rsplit("\r", 1)[-1]
        assert re.search(
            r"\d+%\|.+\| \d+/12 \[\d\d:\d\d<.+(requests/s|s/ requests), [\d,]+ tokens, \$\d+\.\d\d, 1 failed, ", line
        )
        assert "\n" not in text
        stack.http("POST", "/v1/gate/resume")
        terminal.wait_for(rf"\n{batch_id} completed: 12/12|\n{batch_id} 12/12")
        assert process.wait(20) == 3


def test_a_table_comes_back_with_answers(stack: Stack, tmp_path: Path) -> None:
    """A CSV and a template are submitted and watched; the results are the same table with an answer column."""
    stack.simulator.add_rule({"error": {"status": 400, "message": "too rude"}}, match={"contains": "rude"})
    stack.simulator.add_rule({"text": "Fine."}, match={"system_contains": "Be brief."})
    table = tmp_path / "reviews.csv"
    table.write_text('id,text\nb,"good, really"\na,rude\nc,nice\n')
    watched = nightshift(
        stack, "submit", table, "--template", "Rate: {text}", "--system", "Be brief.", "--id-column", "id", "--watch"
    )
    assert watched.returncode == 3, watched.stderr
    batch_id = watched.stdout.strip()
    assert "3/3" in watched.stderr
    assert nightshift(stack, "results", batch_id, "-o", tmp_path / "out.csv").returncode == 3
    rows = list(csv.DictReader((tmp_path / "out.csv").open()))
    assert [(row["id"], row["answer"], row["error"]) for row in rows] == [
        ("b", "Fine.", ""),
        ("a", "", "invalid_request_error: too rude"),
        ("c", "Fine.", ""),
    ]
    report = nightshift(stack, "report", batch_id, "-o", tmp_path / "night.html")
    assert (report.returncode, report.stdout.strip()) == (3, str(tmp_path / "night.html")), report.stderr
    assert "2 of 3 requests answered, 1 failed" in (tmp_path / "night.html").read_text()
    numbers = json.loads(nightshift(stack, "report", batch_id, "--json").stdout)
    assert [(cause["code"], cause["examples"][0]["custom_id"]) for cause in numbers["causes"]] == [
        ("invalid_request_error", "a")
    ]
    assert sum(worker["requests"] for worker in numbers["workers"]) == 3
    stack.simulator.clear()
    again = nightshift(stack, "retry", batch_id, "--watch", "--json")
    assert again.returncode == 0, again.stderr
    assert json.loads(again.stdout)["request_counts"] == {"total": 1, "completed": 1, "failed": 0}
    assert batch_id in nightshift(stack, "list").stdout


def test_openais_lines(stack: Stack, tmp_path: Path) -> None:
    """OpenAI's own file is submitted as it is, with another model when asked; raw results are OpenAI's lines."""
    body = {"model": "gpt-none", "messages": [{"role": "user", "content": "hi"}]}
    line = {"custom_id": "x", "method": "POST", "url": "/v1/chat/completions", "body": body}
    path = tmp_path / "night.jsonl"
    path.write_text(json.dumps(line) + "\n")
    refused = nightshift(stack, "submit", path)
    assert (refused.returncode, refused.stdout) == (1, "")
    assert f"{path}:1: model_not_found" in refused.stderr
    watched = nightshift(stack, "submit", path, "--model", "haiku", "--watch")
    assert watched.returncode == 0, watched.stderr
    results = nightshift(stack, "results", watched.stdout.strip())
    assert [json.loads(one)["custom_id"] for one in results.stdout.splitlines()] == ["x"]


def test_cancel(stack: Stack, tmp_path: Path) -> None:
    """A batch is cancelled by its id; watching it ends with the status that says so."""
    stack.simulator.add_rule({}, latency_ms=30_000)
    path = tmp_path / "lines.txt"
    path.write_text("one\ntwo\nthree\n")
    batch_id = nightshift(stack, "submit", path, "--template", "{text}").stdout.strip()
    assert nightshift(stack, "cancel", batch_id).returncode == 0
    watched = nightshift(stack, "watch", batch_id, "--json")
    assert (watched.returncode, json.loads(watched.stdout)["status"]) == (1, "cancelled")
