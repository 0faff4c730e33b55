"""rq-dashboard's pages in a real browser: what they show of jobs with scripts in them, and that nothing can be pressed."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from rq import SimpleWorker
from rq.job import Job
from rq.results import Result
from rq.serializers import JSONSerializer

from app import errors
from app.jobs import tickets
from tests.integration.api.running import chat_body
from tests.redis_server import wait_until

if TYPE_CHECKING:
    from redis import Redis

    from tests.browser import Browser
    from tests.fake_worker import FakeWorker
    from tests.integration.api.running import RunningApi

EVIL = "<img src=x onerror='window.pwned=1'><script>window.pwned=2</script>"
BUTTONS = "[id$=-btn], [data-role$=-btn]"


@pytest.fixture
def jobs(server: RunningApi, worker: FakeWorker) -> dict[str, str]:
    """Jobs by RQ's word for their state, each with a script in prompt, metadata, and answer or error."""
    sent = chat_body(EVIL, metadata={"evil": EVIL})
    names = ("finished", "failed", "started", "queued")
    asked = [server.ask("POST", "/v1/chat/completions", sent, {"Prefer": "respond-async"}).json["id"] for _ in names]
    worker.answer(worker.take()[0], EVIL)
    worker.fail(worker.take()[0], errors.invalid_request(EVIL))
    worker.take()
    return dict(zip(names, asked, strict=True))


def look(browser: Browser, server: RunningApi, path: str, until: str) -> str:
    """Open a page, wait for what its own script puts there; all that is to be read on it."""
    browser.open(f"http://127.0.0.1:{server.port}/rq/{path}")
    wait_until(lambda: until in browser.text(), f"{until} on {path}")
    assert browser.run("return window.pwned") is None
    return browser.text()


def test_scripts_are_not_run_and_jobs_are_told_apart(
    server: RunningApi, browser: Browser, jobs: dict[str, str], connection: Redis
) -> None:
    """Each page says which job it is and why it failed, shows nothing of requests and answers, and no button."""
    worker = SimpleWorker([tickets.queue(connection)], connection=connection, name="w1", serializer=JSONSerializer)
    worker.register_birth()  # type: ignore[no-untyped-call]
    look(browser, server, "", "claude")
    look(browser, server, "0/view/workers", jobs["started"])
    for state, job_id in jobs.items():
        attempt = "" if state == "queued" else ", attempt 1"
        for path in (f"0/view/jobs/claude/{state}/8/asc/1", f"0/view/job/{job_id}"):
            seen = look(browser, server, path, f"chat.completion {job_id}, sonnet{attempt}")
            assert ("invalid_request_error (HTTP 400)" in seen) == (state == "failed")
            assert "pwned" not in seen
            assert not browser.run(
                f"return [...document.querySelectorAll('{BUTTONS}')].some(one => one.checkVisibility())"
            )
            assert "For looking only" in seen
    assert (browser.problems(), browser.outside()) == ([], [])


def test_a_script_in_a_ticket_is_text(
    server: RunningApi, browser: Browser, jobs: dict[str, str], connection: Redis
) -> None:
    """Even where somebody else has put one into RQ's own job: description, metadata, exception."""
    job = Job.fetch(jobs["failed"], connection=connection, serializer=JSONSerializer)
    job.description, job.meta = EVIL, {"evil": EVIL}
    job.save()
    Result.create_failure(job, 60, exc_string=EVIL)
    for path in ("0/view/jobs/claude/failed/8/asc/1", f"0/view/job/{job.id}"):
        assert look(browser, server, path, "img src=x").count("onerror=") >= 2
    assert (browser.problems(), browser.outside()) == ([], [])
