"""The page at `/` over real HTTP: who may see it, who may press its buttons, how many may be live."""

from __future__ import annotations

import contextlib
import json
import signal
from base64 import b64encode
from typing import TYPE_CHECKING, Any

import pytest

from app import clock, login_limits, worker_status
from app.gate import Cause, Closed, Gate
from app.scopes import WHOLE
from app.worker_status import WorkerState, WorkerStatus
from tests.browser import PHONE
from tests.integration.api.running import api, send
from tests.redis_server import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator

    from redis import Redis

    from tests.browser import Browser
    from tests.integration.api.conftest import MakeClient
    from tests.integration.api.running import RunningApi
    from tests.redis_server import RedisForTests

HTML = {"Accept": "text/html"}


@pytest.fixture(scope="module")
def locked(_redis_for_session: RedisForTests) -> Iterator[RunningApi]:
    """An API with a key, in which one page may be live."""
    settings = {"NIGHTSHIFT_API_KEYS": "secret", "NIGHTSHIFT_API_THREADS": "8", "NIGHTSHIFT_MAX_WAITING": "5"}
    with api(_redis_for_session.url, **settings) as running:
        yield running


def add_worker(connection: Redis, host: str, label: str) -> None:
    name = f"{host}-1-worker-1-abcdef"
    row = WorkerStatus(name=name, state=WorkerState.IDLE, rss_mb=200, host=host, login_label=label, version="0.1.0")
    worker_status.write(connection, row)


def test_a_key_is_asked_for(locked: RunningApi) -> None:
    """A browser is told to log in, its page's parts are locked too, and programs see what they saw."""
    for path in ("/", "/page/live", "/page/static/page.js"):
        answer = locked.ask("GET", path, headers=HTML)
        assert (answer.status, answer.headers["www-authenticate"]) == (401, 'Basic realm="Nightshift"')
    assert locked.ask("POST", "/page/pause", headers={"Sec-Fetch-Site": "same-origin"}).status == 401
    assert locked.ask("GET", "/").json["name"] == "Nightshift"


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Sec-Fetch-Site": "same-origin"}, 303),
        ({"Origin": "http://localhost"}, 303),
        ({}, 403),
        ({"Sec-Fetch-Site": "same-site"}, 403),
        ({"Sec-Fetch-Site": "none"}, 403),
        ({"Origin": "http://localhost:3000"}, 403),
        ({"Origin": "null"}, 403),
        ({"Origin": "http://["}, 403),
        ({"Sec-Fetch-Site": "cross-site", "Origin": "http://localhost"}, 403),
    ],
)
def test_only_its_own_page_presses_buttons(
    make_client: MakeClient, connection: Redis, headers: dict[str, str], status: int
) -> None:
    """A form of another site, or of another port of this machine, pauses nothing; nor does a link."""
    client = make_client()
    assert client.post("/page/pause", data={"for": "1h"}, headers=headers).status_code == status
    assert (Gate(connection).read() is not None) == (status == 303)
    assert client.post("/page/resume", headers=headers).status_code == status
    assert client.get("/page/pause").status_code == 405


def test_a_pause_of_no_known_length(make_client: MakeClient) -> None:
    """It is a 400 that says what there is."""
    answer = make_client().post("/page/pause", data={"for": "ever"}, headers={"Sec-Fetch-Site": "same-origin"})
    assert (answer.status_code, answer.get_json()["error"]["param"]) == (400, "for")


def test_what_others_wrote_is_text(make_client: MakeClient, connection: Redis) -> None:
    """A reason with a script in it is shown as it is written."""
    worker_status.write(connection, WorkerStatus(name="w", state=WorkerState.PAUSED))
    Gate(connection).pause(reason="<script>alert(1)</script>")
    page = make_client().get("/", headers=HTML)
    assert "&lt;script&gt;alert(1)" in page.text
    assert "<script>alert" not in page.text
    assert "unsafe" not in page.headers["Content-Security-Policy"]


def test_all_machines_are_shown(make_client: MakeClient, connection: Redis) -> None:
    """A row each, and what those have in common that share a login; one machine by itself needs no table."""
    client = make_client()
    label = "subscription 3fa09c"
    add_worker(connection, "night-1", label)
    assert "<h3>Machines</h3>" not in client.get("/", headers=HTML).text
    add_worker(connection, "night-2", label)
    add_worker(connection, "night-3", "api_key <b>")
    page = make_client().get("/", headers=HTML).text
    assert [f'<span class="host">night-{number}</span>' in page for number in (1, 2, 3)] == [True] * 3
    said = "2 machines share one subscription (3fa09c): its limits hold for both. They are night-1, night-2."
    assert said in page and "&lt;b&gt;" in page
    health: Any = client.get("/health").json
    assert [(host["name"], host["workers"], host["logins"]) for host in health["hosts"]] == [
        ("night-1", 1, [label]),
        ("night-2", 1, [label]),
        ("night-3", 1, ["api_key <b>"]),
    ]
    assert [one["message"] for one in health["shared_logins"]] == [said]
    # One login has met its limit; while the gate is open to the others, that is said of it alone.
    closed = Closed(Cause.USAGE_LIMIT, clock.now(), clock.now() + 900, clock.now() + 900, "used up", "five_hour")
    login_limits.note(connection, label, WHOLE, closed)
    assert f"{label} waits (usage limit, until" in make_client().get("/", headers=HTML).text
    (found,) = client.get("/health").get_json()["login_limits"]
    assert (found["login"], found["way"], found["cause"]) == (label, "cli", "usage_limit")
    Gate(connection).close(Cause.USAGE_LIMIT, clock.now() + 900, "used up", "five_hour")
    assert client.get("/health").get_json()["login_limits"] == []


def test_redis_away(make_client: MakeClient) -> None:
    """The page comes all the same, and says so."""
    answer = make_client(redis_url="unix:///nowhere/redis.sock").get("/", headers=HTML)
    assert answer.status_code == 503
    assert "Redis) is away" in answer.text


def test_leaving(redis_url: str) -> None:
    """An open page does not keep a process that is replaced: its browser comes back, to the next one."""
    with api(redis_url) as server:
        page = server.connect()
        with contextlib.closing(page):
            send(page, "GET", "/page/live")
            stream = page.getresponse()
            assert stream.readline() == b"retry: 2000\n"
            server.process.send_signal(signal.SIGUSR2)
            assert server.process.wait(120) == 0


def test_places_of_live_pages(locked: RunningApi, connection: Redis, browser: Browser) -> None:
    """One more than may be live is told so and looks by itself now and then; a page that is closed gives its place back.

    Machines that come while it is live get their rows, and these fit on a phone.
    """
    key = {"Authorization": f"Basic {b64encode(b'me:secret').decode()}"}
    held = locked.connect()
    with contextlib.closing(held):
        send(held, "GET", "/page/live", headers=key)
        first = held.getresponse()
        assert first.readline() == b"retry: 2000\n"
        first.readline()
        assert "headline" in json.loads(first.readline().removeprefix(b"data: "))
        assert locked.ask("GET", "/page/live", headers=key).error["code"] == "too_many_pages"
        browser.open(f"http://me:secret@127.0.0.1:{locked.port}/")
        browser.wait("document.getElementById('live').textContent.startsWith('not live')")
        first.close()
    browser.wait("document.getElementById('live').textContent === 'live'")
    assert locked.ask("GET", "/page/live", headers=key).status == 429
    browser.view(PHONE)
    add_worker(connection, "night-1.example.internal", "subscription 3fa09c")
    add_worker(connection, "night-2.example.internal", "subscription 3fa09c")
    browser.wait("document.querySelectorAll('.machines tbody tr').length === 2")
    assert browser.overflow() == 0
    browser.view()
    browser.open("about:blank")

    def is_free() -> bool:
        another = locked.connect()
        with contextlib.closing(another):
            send(another, "GET", "/page/live", headers=key)
            return another.getresponse().status == 200

    wait_until(is_free, "a place")
