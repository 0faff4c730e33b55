"""The morning report in a real browser: true, quiet, escaped, and fit for a phone."""

from __future__ import annotations

import base64
import json
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Any

import pytest
from redis import Redis

from app import errors
from app.batches.endpoints import CHAT_COMPLETIONS
from app.batches.feeder import Feeder
from app.batches.record import BatchStatus
from app.batches.storage import names
from app.batches.store import Batches, NewBatch
from app.error_codes import ErrorCode
from app.gate import Cause, Gate
from app.outcome import Outcome
from app.settings import Settings
from tests.browser import DESK, PHONE
from tests.integration.api.running import ROOT, RunningApi, api
from tests.integration.batches.conftest import USAGE, Night, line

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from app.batches.record import BatchRecord
    from tests.browser import Browser
    from tests.redis_server import RedisForTests

KEY = "the-key"
EVIL = "</pre><script>document.title='evil'</script><img src=http://evil.example/x onerror=\"document.title='evil'\">"

#: whether no table or picture sticks out of its section
INSIDE = """return [...document.querySelectorAll('section table, section svg, section pre')].every(
    e => e.getBoundingClientRect().right < e.closest('section').getBoundingClientRect().right)"""


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("data")


@pytest.fixture(scope="module")
def server(_redis_for_session: RedisForTests, data_dir: Path) -> Iterator[RunningApi]:
    """An API that wants a key."""
    with api(_redis_for_session.url, NIGHTSHIFT_DATA_DIR=str(data_dir), NIGHTSHIFT_API_KEYS=KEY) as running:
        yield running


@pytest.fixture
def night(redis_url: str, data_dir: Path) -> Iterator[Night]:
    """A feeder and worker on that API's Redis and directory."""
    settings = Settings(data_dir=data_dir, redis_url=redis_url)
    with Redis.from_url(redis_url) as connection:
        feeder = Feeder(connection, settings)
        yield Night(connection, settings, Batches(connection, settings), feeder)
        feeder.close()


def answer(night: Night, text: str) -> None:
    message = {"role": "assistant", "content": text}
    body = {"object": "chat.completion", "choices": [{"message": message}], "usage": USAGE}
    night.answer(Outcome(body=body, headers={"x-nightshift-cost-usd": "0.25"}))


def ended_batch(night: Night) -> BatchRecord:
    """Six requests of which two fail, a pause and a usage limit in between; whoever speaks, speaks HTML."""
    batch = night.start([line(f"id-{n} {EVIL}") for n in range(6)])
    gate = Gate(night.connection)
    gate.pause(reason=f"lunch {EVIL}")
    night.answer(Outcome(error=errors.invalid_request(f"too rude {EVIL}", code=ErrorCode.UNSUPPORTED_VALUE)))
    night.answer(Outcome(error=errors.upstream_failed("no luck")))
    gate.resume()
    gate.close(Cause.USAGE_LIMIT, time.time() + 60, "You have hit your limit", "five_hour")
    answer(night, f"my opinion {EVIL}")
    gate.open()
    night.look(batch)
    for _ in range(3):
        answer(night, "fine")
    batch = night.look(batch)
    assert batch.status is BatchStatus.COMPLETED
    return batch


def with_key(server: RunningApi) -> str:
    """The address, as a browser has it whose user typed the key as the password."""
    return f"http://me:{KEY}@127.0.0.1:{server.port}"


def nightshift(server: RunningApi, *args: object) -> subprocess.CompletedProcess[str]:
    argv = [sys.executable, "-m", "ops.cli.main", "batch", *map(str, args)]
    environ = {"NIGHTSHIFT_URL": server.url, "NIGHTSHIFT_API_KEY": KEY}
    return subprocess.run(argv, cwd=ROOT, env=environ, capture_output=True, text=True, timeout=180, check=False)


def numbers(server: RunningApi, batch: BatchRecord) -> Any:
    return server.ask("GET", f"/v1/batches/{batch.id}/report", headers={"Authorization": f"Bearer {KEY}"}).json


@pytest.mark.parametrize(("size", "dark"), [(DESK, False), (PHONE, True)])
def test_a_page_to_read_in_the_morning(
    night: Night, server: RunningApi, browser: Browser, size: tuple[int, int], *, dark: bool
) -> None:
    """It shows the batch's numbers, what failed and why, and the waits by name; nothing is run, nobody else is asked."""
    batch = ended_batch(night)
    browser.view(size, dark=dark)
    browser.open(f"{with_key(server)}/batches/{batch.id}")
    assert browser.text("h1") == "4 of 6 requests answered, 2 failed"
    shown = [browser.text(f"#{name}").split("\n")[0] for name in ("completed", "failed", "tokens", "cost")]
    assert shown == ["4", "2", "32", "$1.00"]
    failures = browser.text("#failures")
    assert f"too rude {EVIL}" in failures
    assert "1 request: upstream_error" in failures
    assert browser.texts("#waits .name") == ["A pause", "B usage limit"]
    assert f"lunch {EVIL}" in browser.text("#waits")
    assert "my opinion" not in browser.text()
    assert browser.run("return [...document.querySelectorAll('figure svg[role=img]')].map(e => e.clientWidth > 0)") in (
        [True, False],
        [False, True],
    )
    assert browser.run(INSIDE) is True
    ground = browser.run("return getComputedStyle(document.body).backgroundColor")
    assert (ground == "rgb(16, 20, 27)") is dark
    assert "evil" not in browser.driver.title
    assert (browser.problems(), browser.outside()) == ([], [])
    assert browser.overflow() <= 0


def test_answers_on_request(night: Night, server: RunningApi, browser: Browser) -> None:
    """A click shows questions and answers, folded and as text; the files are there to be saved."""
    batch = ended_batch(night)
    browser.view(PHONE)
    browser.open(f"{with_key(server)}/batches/{batch.id}")
    browser.driver.find_element("css selector", "#answers a").click()
    assert browser.texts("#answers summary")[0] == f"id-2 {EVIL}"
    assert "my opinion" not in browser.text("#answers")
    browser.driver.find_element("css selector", "#answers summary").click()
    assert browser.texts("#answers pre")[:2] == [f"id-2 {EVIL}", f"my opinion {EVIL}"]
    assert "evil" not in browser.driver.title
    assert (browser.problems(), browser.outside()) == ([], [])
    assert browser.overflow() <= 0
    links = browser.run("return [...document.querySelectorAll('#files a')].map(e => e.pathname)")
    assert [path.rpartition("/")[2] for path in links] == ["output", "errors", "input"]
    password = base64.b64encode(f"me:{KEY}".encode()).decode()
    for path, count in zip(links, (4, 2, 6), strict=True):
        assert server.ask("GET", path).headers["www-authenticate"].startswith("Basic")
        file = server.ask("GET", path, headers={"Authorization": f"Basic {password}"})
        assert len([json.loads(one) for one in file.body.splitlines()]) == count
        assert file.headers["content-disposition"].startswith("attachment")
    browser.open(f"{with_key(server)}/batches/{batch.id}?answers=2&skip=2")
    assert "3 to 4 of 4" in browser.text("#answers")
    assert browser.texts("#answers a") == []


def test_a_file_of_its_own(night: Night, server: RunningApi, browser: Browser, tmp_path: Path) -> None:
    """`nightshift batch report` writes the same page to a file that needs no server; `--json` prints the numbers."""
    batch = ended_batch(night)
    done = nightshift(server, "report", batch.id, "-o", tmp_path / "night.html", "--answers", 1)
    assert (done.returncode, done.stdout.strip()) == (3, str(tmp_path / "night.html")), done.stderr
    browser.view(PHONE)
    browser.open((tmp_path / "night.html").as_uri())
    assert browser.text("h1") == "4 of 6 requests answered, 2 failed"
    assert len(browser.texts("#answers summary")) == 1
    links = browser.run("return [...document.querySelectorAll('#files a')].map(e => e.href)")
    assert links[0] == f"http://127.0.0.1:{server.port}/batches/{batch.id}/output"
    assert (browser.problems(), browser.asked()) == ([], [])
    printed = json.loads(nightshift(server, "report", batch.id, "--json").stdout)
    assert printed | {"made_at": 0} == numbers(server, batch) | {"made_at": 0}
    assert (printed["completed"], printed["failed"], printed["input_tokens"], printed["cost_usd"]) == (4, 2, 12, 1.0)


def test_while_it_runs(night: Night, server: RunningApi, browser: Browser) -> None:
    """A report before the end says so, how far it is, when it will be done, and for what it waits."""
    batch = night.start([line(f"id-{n}") for n in range(6)])
    for _ in range(3):
        answer(night, "fine")
    night.look(batch)
    browser.open(f"{with_key(server)}/batches/{batch.id}")
    assert browser.text("h1") == "3 of 6 requests done so far"
    assert "Done about" in browser.text("header")
    Gate(night.connection).pause()
    browser.open(f"{with_key(server)}/batches/{batch.id}")
    assert "It waits: Nightshift is paused" in browser.text("header")
    assert browser.text("#left").startswith("3")
    assert "now" in browser.text("#waits")
    found = numbers(server, batch)
    assert (found["status"], found["completed"], found["left"], found["ended_at"]) == ("in_progress", 3, 3, None)
    assert (browser.problems(), browser.outside()) == ([], [])


def test_a_file_with_faults(night: Night, server: RunningApi, browser: Browser) -> None:
    """A batch that never ran names the faults of its file, which can be had back to the last byte."""
    data = "\n".join(map(json.dumps, [line("a"), line(EVIL, model="gpt-none")])).encode()
    batch = night.look(night.batches.create(NewBatch(input_file_id=night.upload(data), endpoint=CHAT_COMPLETIONS)))
    assert batch.status is BatchStatus.FAILED
    browser.open(f"{with_key(server)}/batches/{batch.id}")
    assert browser.text("h1") == "The file has 1 fault: nothing was run"
    assert "gpt-none" in browser.text("main")
    key = {"Authorization": f"Bearer {KEY}"}
    assert server.ask("GET", f"/batches/{batch.id}/input", headers=key).body == data
    assert (browser.problems(), browser.outside()) == ([], [])


def test_what_is_gone_is_told(night: Night, server: RunningApi, browser: Browser) -> None:
    """Without its files a batch still has its numbers, and the page says what it has no more."""
    batch = ended_batch(night)
    for file_id in (batch.output_file, batch.error_file):
        assert night.batches.files.delete(file_id)
    browser.open(f"{with_key(server)}/batches/{batch.id}?answers=5")
    assert browser.text("#failures").count("no example (any more)") == 2
    assert "the output was deleted" in browser.text("#answers")
    assert browser.texts("#files li") == [browser.text("#files li")]
    night.batches.storage.remove(names.line_stats(batch.id))
    browser.open(f"{with_key(server)}/batches/{batch.id}")
    assert browser.text("h1") == "4 of 6 requests answered, 2 failed"
    assert "are those of 0 of 6 requests" in browser.text("footer")
    assert (browser.problems(), browser.outside()) == ([], [])


def test_what_is_asked_for_is_checked(night: Night, server: RunningApi) -> None:
    """No page without a key, of no batch, or with more answers than a page takes; and no script, whatever gets in."""
    batch = ended_batch(night)
    key = {"Authorization": f"Bearer {KEY}"}
    refused = server.ask("GET", f"/batches/{batch.id}")
    assert (refused.status, refused.headers["www-authenticate"]) == (401, 'Basic realm="Nightshift"')
    assert server.ask("GET", "/batches/batch_none", headers=key).error["code"] == "batch_not_found"
    assert server.ask("GET", f"/batches/{batch.id}/lines", headers=key).error["code"] == "file_not_found"
    for query in ("answers=101", "answers=-1", "skip=x", "links=javascript:"):
        assert server.ask("GET", f"/batches/{batch.id}?{query}", headers=key).status == 400
    policy = server.ask("GET", f"/batches/{batch.id}", headers=key).headers["content-security-policy"]
    assert policy.startswith("default-src 'none'; style-src 'sha256-")
    assert "unsafe" not in policy
    assert "script" not in policy
