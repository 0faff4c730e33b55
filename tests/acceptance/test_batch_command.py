"""`nightshift batch` as a user types it, against the whole product."""

from __future__ import annotations

import csv
import fcntl
import gzip
import io
import json
import os
import pty
import re
import select
import signal
import struct
import subprocess
import sys
import termios
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import openpyxl

from chaos.until import PATIENCE_SECONDS
from tests.acceptance.stack import ROOT, Stack
from tests.acceptance.test_batches import done
from tests.redis_server import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


def nightshift(stack: Stack, *args: object) -> subprocess.CompletedProcess[str]:
    """Run where no terminal is."""
    argv = [sys.executable, "-m", "ops.cli.main", "batch", *map(str, args)]
    environ = {**stack._environment(), "NIGHTSHIFT_URL": stack.url}
    return subprocess.run(argv, cwd=ROOT, env=environ, capture_output=True, text=True, timeout=180, check=False)


class Terminal:
    """A terminal of 200 columns, and what was written to it."""

    def __init__(self) -> None:
        self._ours, self.theirs = pty.openpty()
        fcntl.ioctl(self.theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 200, 0, 0))
        self.text = ""

    def wait_for(self, pattern: str, timeout: float = PATIENCE_SECONDS) -> str:
        """All that was written, once the pattern is in it."""
        end = time.monotonic() + timeout
        while not re.search(pattern, self.text):
            ready, _, _ = select.select([self._ours], [], [], max(0.0, end - time.monotonic()))
            assert ready, f"no {pattern!r} in {self.text!r}"
            self.text += os.read(self._ours, 4096).decode()
        return self.text

    def write(self, text: str) -> None:
        """What somebody types."""
        os.write(self._ours, text.encode())

    def close(self) -> None:
        os.close(self._ours)
        os.close(self.theirs)


@contextmanager
def watching(stack: Stack, batch_id: str) -> Iterator[tuple[Terminal, subprocess.Popen[bytes]]]:
    terminal = Terminal()
    argv = [sys.executable, "-m", "ops.cli.main", "batch", "watch", batch_id, "--url", stack.url]
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
    stack.simulator.add_rule({}, times=2)
    stack.simulator.add_rule({"held": True})
    path = tmp_path / "lines.txt"
    path.write_text("rude\n" + "kind\n" * 11)
    batch_id = nightshift(stack, "submit", path, "--template", "{text}").stdout.strip()
    with watching(stack, batch_id) as (terminal, process):
        wait_until(lambda: done(stack, batch_id) == 3, "three lines")
        until = time.time() + 3600
        assert stack.http("POST", "/v1/gate/pause", {"until": until}).status == 200
        try:
            text = terminal.wait_for("Nightshift is paused until ")
            terminal.wait_for(re.escape(time.strftime("%a %H:%M", time.localtime(until))))
        finally:
            stack.http("POST", "/v1/gate/resume")
        line = text.rsplit("\r", 1)[-1]
        assert re.search(
            r"\d+%\|.+\| \d+/12 \[\d\d:\d\d<.+(requests/s|s/ requests), [\d,]+ tokens, \$\d+\.\d\d+, 1 failed, ", line
        )
        assert "\n" not in text
        stack.simulator.clear_rules()
        terminal.wait_for(rf"\n{batch_id} completed: 12/12|\n{batch_id} 12/12")
        assert process.wait(120) == 3


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
    assert "was submitted" not in again.stderr
    # Of the whole table, though only one row ran again.
    whole = nightshift(stack, "results", json.loads(again.stdout)["id"])
    rows = list(csv.DictReader(whole.stdout.splitlines()))
    assert [row["error"] for row in rows] == ["", "", ""]
    assert [row["answer"] == "Fine." for row in rows] == [True, False, True] and rows[1]["answer"]
    stack.http("DELETE", f"/v1/files/{stack.http('GET', f'/v1/batches/{batch_id}').body['output_file_id']}")
    alone = nightshift(stack, "results", json.loads(again.stdout)["id"])
    assert f"what {batch_id} had answered before the retry is not in the table: " in alone.stderr
    assert f"What failed in {batch_id} was submitted" in nightshift(stack, "retry", batch_id).stderr
    assert batch_id in nightshift(stack, "list").stdout


def test_a_part_of_a_workbook_comes_back_with_fields_and_costs(stack: Stack, tmp_path: Path) -> None:
    """A sheet, its rows of one kind, a schema: the fields of the answers are columns, with what each row used."""
    book = openpyxl.Workbook()
    sheet = book.create_sheet("Reviews")
    for row in (["id", "lang", "text"], ["007", "de", "Gut"], ["008", "en", "Good"], ["009", "de", "Na ja"]):
        sheet.append(row)
    book.save(tmp_path / "book.xlsx")
    schema = {"type": "object", "properties": {"stars": {"type": "integer"}, "word": {"type": "string"}}}
    (tmp_path / "schema.json").write_text(json.dumps({**schema, "required": ["stars", "word"]}))
    argv: list[object] = ["--template", "Rate: {text}", "--sheet", "Reviews", "--where", "lang=de", "--schema"]
    argv += [tmp_path / "schema.json", "--id-column", "id", "--watch"]
    watched = nightshift(stack, "submit", tmp_path / "book.xlsx", *argv)
    assert watched.returncode == 0, watched.stderr
    batch_id = watched.stdout.strip()
    for name in ("out.xlsx", "out.csv.gz"):
        done_ = nightshift(stack, "results", batch_id, "-o", tmp_path / name, "--expand", "--usage")
        assert done_.returncode == 0, done_.stderr
    cells: list[list[Any]] = [
        [cell.value for cell in row] for row in openpyxl.load_workbook(tmp_path / "out.xlsx")["Reviews"].iter_rows()
    ]
    used = ["input_tokens", "cached_tokens", "output_tokens", "cost_usd"]
    assert cells[0] == ["id", "lang", "text", "stars", "word", "error", *used]
    assert [row[:3] for row in cells[1:]] == [["007", "de", "Gut"], ["009", "de", "Na ja"]]
    assert [list(map(type, row[3:5])) for row in cells[1:]] == [[int, str]] * 2
    assert all(row[6] > 0 and row[9] > 0 for row in cells[1:])
    rows = list(csv.DictReader(io.StringIO(gzip.decompress((tmp_path / "out.csv.gz").read_bytes()).decode())))
    assert [(row["id"], row["stars"]) for row in rows] == [(row[0], str(row[3])) for row in cells[1:]]


def test_openais_lines(stack: Stack, tmp_path: Path) -> None:
    """OpenAI's own file is submitted as it is, with another model when asked; raw results are OpenAI's lines."""
    body = {"model": "gpt-none", "messages": [{"role": "user", "content": "hi"}]}
    line = {"custom_id": "x", "method": "POST", "url": "/v1/chat/completions", "body": body}
    path = tmp_path / "night.jsonl"
    path.write_text(json.dumps(line) + "\n")
    refused = nightshift(stack, "submit", path)
    assert refused.returncode == 1
    assert f"{path}:1: model_not_found" in refused.stderr
    mistyped = nightshift(stack, "submit", path, "--model", "haikku")
    assert (mistyped.returncode, mistyped.stdout, len(mistyped.stderr.splitlines())) == (1, "", 1)
    assert "The model 'haikku' does not exist" in mistyped.stderr
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


def lines_of(path: Path, *texts: str) -> Path:
    path.write_text("".join(f"{text}\n" for text in texts))
    return path


def test_results_before_the_end_are_asked_for(stack: Stack, tmp_path: Path) -> None:
    """Before the end nothing is written unless `--partial` asks for it, and no file is overwritten unasked."""
    stack.simulator.add_rule({}, match={"contains": "slow"}, latency_ms=60_000)
    path = lines_of(tmp_path / "lines.txt", "quick", "slow")
    batch_id = nightshift(stack, "submit", path, "--template", "{text}").stdout.strip()
    wait_until(lambda: done(stack, batch_id) == 1, "the quick one")
    output = tmp_path / "out.csv"
    early = nightshift(stack, "results", batch_id, "-o", output)
    assert (early.returncode, output.exists()) == (1, False)
    assert "1 of 2 requests have a result. --partial writes those" in early.stderr
    assert nightshift(stack, "results", batch_id, "-o", output, "--partial").returncode == 0
    assert [row["answer"] != "" for row in csv.DictReader(output.open())] == [True, False]
    stack.client().batches.cancel(batch_id)
    nightshift(stack, "watch", batch_id)
    before = output.read_text()
    refused = nightshift(stack, "results", batch_id, "-o", output)
    assert (refused.returncode, output.read_text()) == (1, before)
    assert "--force" in refused.stderr
    assert nightshift(stack, "results", batch_id, "-o", output, "--force").returncode == 1
    assert "batch_cancelled" in output.read_text()
    beside = lines_of(tmp_path / "raw.jsonl.errors.jsonl", "somebody's own")
    raw = nightshift(stack, "results", batch_id, "-o", tmp_path / "raw.jsonl", "--raw")
    assert (raw.returncode, beside.read_text()) == (1, "somebody's own\n")
    assert "--force" in raw.stderr
    assert f"{batch_id}  " in nightshift(stack, "list").stdout
    assert "1/2, 1 not run" in nightshift(stack, "list").stdout


def test_a_folder_that_is_missing_and_a_reader_that_leaves(stack: Stack, tmp_path: Path) -> None:
    """Both are told in a line or not at all, and never by a traceback."""
    path = lines_of(tmp_path / "lines.txt", *["one"] * 50)
    watched = nightshift(stack, "submit", path, "--template", "{text}", "--watch")
    batch_id = watched.stdout.strip()
    for command in ("results", "report"):
        missing = nightshift(stack, command, batch_id, "-o", tmp_path / "nowhere" / "out.csv")
        assert (missing.returncode, len(missing.stderr.splitlines())) == (1, 1)
        assert "There is no folder" in missing.stderr
    argv = [sys.executable, "-m", "ops.cli.main", "batch", "results", batch_id, "--raw", "--url", stack.url]
    process = subprocess.Popen(
        argv, cwd=ROOT, env=stack._environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stdout is not None and process.stderr is not None
    process.stdout.close()
    with process.stderr:
        assert process.stderr.read() == ""
    assert process.wait(120) == 141


def test_a_file_that_was_submitted_today_is_asked_about(stack: Stack, tmp_path: Path) -> None:
    """On a terminal the second time is asked about; a script is told beside the id, unless it says `--again`."""
    path = lines_of(tmp_path / "lines.txt", "today")
    first = nightshift(stack, "submit", path, "--template", "{text}")
    assert "was submitted" not in first.stderr
    second = nightshift(stack, "submit", path, "--template", "{text}")
    assert second.stdout.strip() not in ("", first.stdout.strip())
    assert "was submitted in the same way at " in second.stderr and first.stdout.strip() in second.stderr
    assert "was submitted" not in nightshift(stack, "submit", path, "--template", "{text}", "--again").stderr
    assert "was submitted" not in nightshift(stack, "submit", path, "--template", "Other: {text}").stderr
    terminal = Terminal()
    argv = [
        sys.executable,
        "-m",
        "ops.cli.main",
        "batch",
        "submit",
        str(path),
        "--template",
        "{text}",
        "--url",
        stack.url,
    ]
    process = subprocess.Popen(
        argv, cwd=ROOT, env=stack._environment(), stdin=terminal.theirs, stdout=subprocess.PIPE, stderr=terminal.theirs
    )
    try:
        terminal.wait_for(r"Submit it again\? \[y/N\]")
        terminal.write("n\n")
        assert process.communicate(timeout=120)[0] == b""
        assert process.returncode == 1
    finally:
        process.kill()
        process.wait()
        terminal.close()


def test_ctrl_c_says_that_the_batch_goes_on(stack: Stack, tmp_path: Path) -> None:
    """Whoever stops watching learns that the batch runs on, and how to see it again."""
    stack.simulator.add_rule({}, latency_ms=60_000)
    path = lines_of(tmp_path / "lines.txt", "slow")
    batch_id = nightshift(stack, "submit", path, "--template", "{text}", "--again").stdout.strip()
    with watching(stack, batch_id) as (terminal, process):
        terminal.wait_for(r"0/1")
        process.send_signal(signal.SIGINT)
        terminal.wait_for(rf"{batch_id} goes on without you")
        assert process.wait(120) == 130
    assert stack.client().batches.retrieve(batch_id).status == "in_progress"
    nightshift(stack, "cancel", batch_id)


def test_the_report_names_its_file_and_that_it_was_offline(stack: Stack, tmp_path: Path) -> None:
    """The page can be told from that of another file, and from a night with Claude."""
    path = lines_of(tmp_path / "reviews.txt", "one")
    batch_id = nightshift(stack, "submit", path, "--template", "{text}", "--watch", "--again").stdout.strip()
    assert nightshift(stack, "report", batch_id, "-o", tmp_path / "night.html").returncode == 0
    page = (tmp_path / "night.html").read_text()
    assert "reviews.txt" in page and "OFFLINE: answers are simulated" in page
    assert "nightshift_digest" not in page
    numbers = json.loads(nightshift(stack, "report", batch_id, "--json").stdout)
    assert (numbers["input_name"], numbers["offline"]) == ("reviews.txt", True)
