"""The README and the pages that teach do what they say: their examples run as they are, against the running stack."""

from __future__ import annotations

import csv
import json
import re
import subprocess
import sys
from typing import TYPE_CHECKING, Any

from openai import OpenAI

from tests.acceptance.pages import Page, sh
from tests.acceptance.stack import ROOT, SHARED_SETTINGS, Stack, stack_fixture
from tests.integration.webhooks import receiver

if TYPE_CHECKING:
    from pathlib import Path

    import pytest

PAGES = Page("README.md", *(f"docs/{name}.md" for name in ("start", "requests", "batches", "operating")))
section, python_in, shell_in = PAGES.section, PAGES.python_in, PAGES.shell_in
#: what is made here, keys among it, is for nobody else
shared_stack = stack_fixture("module", settings=SHARED_SETTINGS)
#: where somebody else's address is on a page
HOOK = "https://example.com/hook"
#: sections with blocks, each run by a test of this module, and what another test runs
RUN_HERE = (
    "Try it",
    "Start",
    "Ask and wait",
    "Ask and read along",
    "Ask for JSON, offer functions",
    "Complete a text",
    "Ask and poll",
    "Responses",
    "Ask and be called back",
    "Overnight in five minutes",
    "From Python",
    "Try before you pay",
    "Don't pay twice",
    "When Claude can't",
    "Get messages",
    "For several users",
    "Back up",
    "Without a queue",
)
RUN_ELSEWHERE = ("In containers",)  # test_compose.py


def test_every_block_is_run() -> None:
    """A section that has a command or an example is one that a test runs."""
    assert set(PAGES.sections_with_blocks()) - set(RUN_ELSEWHERE) == set(RUN_HERE)


def test_try_it(stack: Stack, tmp_path: Path) -> None:
    """The commands of the README's first screen, but for the start itself."""
    _run, _run_for_real, curl, *table = shell_in("Try it", stack)
    assert "Simulated answer" in sh(curl, stack, tmp_path).stdout
    done = sh("\n".join(line for line in table if not line.startswith("alias")), stack, tmp_path)
    assert (done.returncode, "batch_" in done.stdout) == (0, True), done


def test_start(stack: Stack, tmp_path: Path) -> None:
    """The options of `scripts/run` are those of `nightshift up`, and the commands to look after it work."""
    options = " ".join(shell_in("Start", stack))
    for option in re.findall(r"--[a-z-]+", next(one for one in shell_in("Start", stack) if "[--host" in one)):
        assert option in sh("nightshift up --help", stack, tmp_path).stdout
    assert "nightshift doctor" in options
    assert sh("nightshift doctor --offline --no-request", stack, tmp_path, NIGHTSHIFT_PORT="0").returncode == 0
    at_home = {"HOME": str(tmp_path), "SHELL": "/bin/bash"}
    assert sh("nightshift --install-completion", stack, tmp_path, **at_home).returncode == 0
    assert "complete" in sh("bash -c '. ~/.bashrc && complete -p nightshift'", stack, tmp_path, **at_home).stdout
    service = next(one for one in shell_in("Start", stack) if "service" in one).partition("#")[0]
    assert sh(f"{service} --offline --print", stack, tmp_path).returncode == 0
    shown = sh("nightshift status", stack, tmp_path)
    assert (shown.returncode, "SERVES" in shown.stdout) == (0, True), shown


def test_ask_and_wait(stack: Stack, capsys: Any, tmp_path: Path) -> None:
    """The first curl and the first Python example get an answer."""
    (curl,) = (one for one in shell_in("Ask and wait", stack) if one.startswith("curl"))
    assert "Simulated answer" in sh(curl, stack, tmp_path).stdout
    exec(python_in("Ask and wait", stack), {})
    assert capsys.readouterr().out.startswith("Simulated answer")


def test_ask_and_read_along(stack: Stack, capsys: Any) -> None:
    """The stream is printed."""
    exec(python_in("Ask and wait", stack) + python_in("Ask and read along", stack), {})
    assert "Simulated answer to: Count to ten" in capsys.readouterr().out


def test_ask_for_json(stack: Stack, capsys: Any) -> None:
    """The Python example prints a city."""
    exec(python_in("Ask and wait", stack) + python_in("Ask for JSON, offer functions", stack), {"__name__": "readme"})
    assert "population=" in capsys.readouterr().out


def test_complete_a_text(stack: Stack, capsys: Any) -> None:
    """The Python example prints an answer to each prompt."""
    exec(python_in("Ask and wait", stack) + python_in("Complete a text", stack), {})
    assert capsys.readouterr().out.count("Simulated answer") == 3


def test_ask_and_poll(stack: Stack, tmp_path: Path) -> None:
    """The curls find the job, cancel it, list and search; the Python example reads the job."""
    accept, *others = (one for one in shell_in("Ask and poll", stack) if one.startswith("curl"))
    answered = sh(accept, stack, tmp_path).stdout
    assert "202 ACCEPTED" in answered
    job = re.search(r"Location: /v1/jobs/(chatcmpl-\w+)", answered)
    assert job
    for curl in others:
        found = json.loads(sh(curl.replace("chatcmpl-…", job[1]), stack, tmp_path).stdout)
        assert found.get("id") == job[1] or found["object"] == "list"
    names: dict[str, Any] = {}
    exec(python_in("Ask and wait", stack) + python_in("Ask and poll", stack), names)
    assert names["job"]["object"] == "job"


def test_responses(stack: Stack, capsys: Any) -> None:
    """A background response is waited for and printed, and another one follows it."""
    names: dict[str, Any] = {}
    exec(python_in("Ask and wait", stack) + python_in("Responses", stack), names)
    assert "completed Simulated answer to: Say hello." in capsys.readouterr().out
    assert names["follow_up"].status == "completed"


def test_ask_and_be_called_back(stack: Stack, tmp_path: Path) -> None:
    """The callback of the curl is verified by OpenAI's client and leads to the job; an endpoint is registered and tested."""
    verify, register = python_in("Ask and be called back", stack).split("endpoint = ")
    with receiver.running() as hook:
        (curl,) = (one for one in shell_in("Ask and be called back", stack) if one.startswith("curl"))
        accepted = json.loads(sh(curl.replace(HOOK, hook.url()), stack, tmp_path).stdout)
        hook.wait_for(1)
        got = hook.received[0]
        secret = (stack.data_dir / "webhook-secret").read_text().strip()
        names = {"SECRET": secret, "body": got.body, "headers": got.headers}
        exec(python_in("Ask and wait", stack) + verify, names)
        job: Any = names["job"]
        assert (job["status"], job["id"]) == ("completed", accepted["id"])
        exec(f"endpoint = {register}".replace(HOOK, hook.url()), names)
        hook.wait_for(2)
        assert json.loads(hook.received[1].body)["type"] == "response.completed"
    names["client"].webhooks.delete(names["endpoint"].id)  # type: ignore[attr-defined]


def test_overnight(stack: Stack, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    """The table comes back with an answer to each row, and OpenAI's client runs the file that the page writes."""
    make, submit, *reading = (one for one in shell_in("Overnight in five minutes", stack) if "cat >" not in one)
    submitted = sh(f"{make}\n{submit}", stack, tmp_path)
    assert submitted.returncode == 0, submitted
    batch_id = submitted.stdout.split()[0]
    for command in reading:
        done = sh(command.replace("batch_…", batch_id), stack, tmp_path)
        assert done.returncode == 0, done
    with (tmp_path / "answers.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["id"] for row in rows] == ["1", "2"]
    assert all("Simulated answer to: Is this review kind?" in row["answer"] for row in rows)
    assert list(tmp_path.glob("*.html"))

    heredoc = re.search(r"    (cat > night\.jsonl .*?\n    END)\n", section("Overnight in five minutes"), re.DOTALL)
    assert heredoc
    assert sh(heredoc[1].replace("\n    ", "\n"), stack, tmp_path).returncode == 0
    monkeypatch.chdir(tmp_path)
    before = "import time\n" + python_in("Ask and wait", stack)
    exec(before + python_in("Overnight in five minutes", stack).replace("sleep(5)", "sleep(0.2)"), {})
    printed = [json.loads(line) for line in capsys.readouterr().out.splitlines() if line.startswith("{")]
    assert sorted(line["custom_id"] for line in printed) == ["1", "2"]


def test_from_python(stack: Stack, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    """Each row of the table that the last section has made is printed with its answer, and a list has one beside each row."""
    assert sh(shell_in("Overnight in five minutes", stack)[0], stack, tmp_path).returncode == 0
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("NIGHTSHIFT_URL", stack.url)
    names: dict[str, Any] = {}
    exec(python_in("From Python", stack), names)
    printed = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in printed] == ["1", "2"]
    assert all("Simulated answer to: Is this review kind?" in line and line.endswith(" None") for line in printed)
    assert [row["error"] for row in names["answered"]] == [None, None]
    names["night"].close()


def test_try_before_you_pay(stack: Stack, tmp_path: Path) -> None:
    """It stops after the tried ones with a forecast, and goes on when it is told to."""
    make, submit, go_on = shell_in("Try before you pay", stack)
    tried = sh(f"{make}\n{submit}", stack, tmp_path)
    assert tried.returncode == 4, tried
    batch_id = tried.stdout.split()[0]
    assert "Tried 20 of 100 requests: 20 answered, 0 failed" in tried.stderr
    assert re.search(r"cost by cli +\$\d", tried.stderr), tried.stderr
    assert re.search(r"time +\d.* with \d+ worker", tried.stderr), tried.stderr
    done = sh(go_on.replace("batch_…", batch_id), stack, tmp_path)
    assert done.returncode == 0, done
    assert "100/100" in done.stderr


def test_dont_pay_twice(stack: Stack, tmp_path: Path) -> None:
    """Only the row that is new runs, and the results have all."""
    make, submit, results = shell_in("Overnight in five minutes", stack)[:3]
    first = sh(f"{make}\n{submit}", stack, tmp_path).stdout.split()[0]
    grow, submit = shell_in("Don't pay twice", stack)
    done = sh(f"{grow}\n{submit.replace('batch_…', first)}", stack, tmp_path)
    assert done.returncode == 0, done
    assert f"2 of 3 requests are answered in {first}: copied, which saves $0" in done.stderr
    assert "3/3" in done.stderr and "2 copied" in done.stderr
    second = done.stdout.split()[0]
    assert sh(results.replace("batch_…", second), stack, tmp_path).returncode == 0
    with (tmp_path / "answers.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [(row["id"], row["error"]) for row in rows] == [("1", ""), ("2", ""), ("3", "")]
    assert all("Simulated answer" in row["answer"] for row in rows)


def test_when_claude_cant(stack: Stack, tmp_path: Path) -> None:
    """It is paused until a time and resumed."""
    pause, resume = shell_in("When Claude can't", stack)
    assert "Closed (paused" in sh(pause, stack, tmp_path).stdout
    assert "Open" in sh(resume, stack, tmp_path).stdout


def test_without_a_queue(stack: Stack) -> None:
    """The invoker's example prints Claude's answer."""
    simulator = f"http://127.0.0.1:{(stack.data_dir / 'simulator.port').read_text().strip()}"
    environment = {"HOME": str(stack.directory), "PATH": "/usr/bin:/bin", "PYTHONPATH": str(ROOT)}
    environment |= {"ANTHROPIC_API_KEY": "offline", "ANTHROPIC_BASE_URL": simulator}
    done = subprocess.run(
        [sys.executable, "-c", python_in("Without a queue", stack)],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=180,
    )
    assert done.stdout.startswith("Simulated answer"), done.stderr


def test_the_settings_table_is_up_to_date() -> None:
    """What `scripts/settings-table` would write is what the page has."""
    script = ROOT / "scripts" / "settings-table"
    assert subprocess.run([sys.executable, str(script), "--check"], cwd=ROOT, check=False).returncode == 0


def test_back_up(stack: Stack, tmp_path: Path) -> None:
    make, bring_back = shell_in("Back up", stack)
    assert sh(make, stack, tmp_path, NIGHTSHIFT_DATA_DIR=str(stack.data_dir)).returncode == 0
    assert sh(bring_back, stack, tmp_path, HOME=str(tmp_path)).returncode == 0
    assert (tmp_path / "nightshift-again/redis").is_dir()


def test_get_messages(stack: Stack, tmp_path: Path) -> None:
    """The trial message arrives."""
    export, trial = shell_in("Get messages", stack)
    with receiver.running() as hook:
        here = export.replace("ntfys://ntfy.sh/my-secret-topic", f"ntfy://127.0.0.1:{hook.port}/topic")
        done = sh(f"{here}\n{trial}", stack, tmp_path)
        assert (done.returncode, done.stdout) == (0, "ntfy://: sent\n"), done
        assert json.loads(hook.received[0].body)["topic"] == "topic"


def test_for_several_users(stack: Stack, tmp_path: Path) -> None:
    create, listing, change, usage = shell_in("For several users", stack)
    made = sh(create, stack, tmp_path)
    key = made.stdout.strip()
    assert key.startswith("nsk_")
    assert "60 requests/min; $0.00 of $50 a month; models: haiku, sonnet" in sh(listing, stack, tmp_path).stdout
    assert (
        "120 requests/min; priority 3; $0.00 of $50 a month; models: haiku, sonnet"
        in sh(change, stack, tmp_path).stdout
    )
    with OpenAI(base_url=f"{stack.url}/v1", api_key=key, max_retries=0) as client:
        hello: Any = {"role": "user", "content": "hi"}
        answer = client.chat.completions.with_raw_response.create(model="haiku", messages=[hello])
    assert answer.headers["x-ratelimit-limit-requests"] == "120"
    rows = list(csv.DictReader(sh(usage, stack, tmp_path).stdout.splitlines()))
    assert [row["requests"] for row in rows if row["key"] == "reports"] == ["1"]
