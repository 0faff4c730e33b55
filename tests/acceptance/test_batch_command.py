"""`nightshift batch` as a user types it, against the whole product."""

from __future__ import annotations

import csv
import json
import subprocess
import sys
from typing import TYPE_CHECKING

from tests.acceptance.stack import ROOT, Stack

if TYPE_CHECKING:
    from pathlib import Path


def nightshift(stack: Stack, *args: object) -> subprocess.CompletedProcess[str]:
    argv = [sys.executable, "-m", "app.cli.main", "batch", *map(str, args)]
    environ = {**stack._environment(), "NIGHTSHIFT_URL": stack.url}
    return subprocess.run(argv, cwd=ROOT, env=environ, capture_output=True, text=True, timeout=90, check=False)


def test_a_table_comes_back_with_answers(stack: Stack, tmp_path: Path) -> None:
    """A CSV and a template are submitted and watched; the results are the same table with an answer column."""
    stack.simulator.add_rule({"error": {"status": 400, "message": "too rude"}}, match={"contains": "rude"})
    stack.simulator.add_rule({"text": "Fine."}, match={"system_contains": "Be brief."})
    table = tmp_path / "reviews.csv"
    table.write_text('id,text\nb,"good, really"\na,rude\nc,nice\n')
    done = nightshift(
        stack, "submit", table, "--template", "Rate: {text}", "--system", "Be brief.", "--id-column", "id", "--watch"
    )
    assert done.returncode == 3, done.stderr
    batch_id = done.stdout.strip()
    assert "3/3" in done.stderr
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
    done = nightshift(stack, "submit", path, "--model", "haiku", "--watch")
    assert done.returncode == 0, done.stderr
    results = nightshift(stack, "results", done.stdout.strip())
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
