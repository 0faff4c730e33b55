"""rq-dashboard under /rq/, on a real queue of JSON jobs."""

from __future__ import annotations

import base64
import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import rq_dashboard
from rq import SimpleWorker
from rq.serializers import JSONSerializer

from api.services import EXTENSION
from app.jobs import tickets
from tests.integration.api.running import chat_body

if TYPE_CHECKING:
    from flask.testing import FlaskClient
    from redis import Redis

    from tests.fake_worker import FakeWorker
    from tests.integration.api.conftest import MakeClient

EVIL = "<img src=x onerror=alert(1)><script>alert(2)</script>"


def submit(client: FlaskClient) -> str:
    response = client.post("/v1/chat/completions", json=chat_body(EVIL), headers={"Prefer": "respond-async"})
    return str(response.get_json()["id"])


def test_the_apis_own_client_keeps_its_patience(client: FlaskClient, connection: Redis) -> None:
    """Who looks at the workers does not make every request wait for minutes when Redis falls silent: RQ raises the timeout."""
    SimpleWorker([tickets.queue(connection)], connection=connection, name="worker").register_birth()  # type: ignore[no-untyped-call]
    assert client.get("/rq/0/data/workers.json").status_code == 200
    dashboards: Redis = client.application.redis_conn  # type: ignore[attr-defined]
    assert dashboards.connection_pool.connection_kwargs["socket_timeout"] > 60
    own = client.application.extensions[EXTENSION].connection
    assert own.connection_pool.connection_kwargs["socket_timeout"] == 5.0


def test_pages_and_data(client: FlaskClient, worker: FakeWorker, connection: Redis) -> None:
    """Every page and every JSON endpoint answers, with jobs in each state and a worker that runs one."""
    queued, running, finished, cancelled = (submit(client) for _ in range(4))
    client.post(f"/v1/jobs/{cancelled}/cancel")
    taken = {}
    for _ in range(2):
        lease, record = worker.take()
        taken[record.id] = lease
    worker.answer(taken[queued])
    stock = SimpleWorker([tickets.queue(connection)], connection=connection, name="w1", serializer=JSONSerializer)
    stock.register_birth()  # type: ignore[no-untyped-call]
    pages = ["", "0/view/queues", "0/view/workers", "0/view/jobs", f"0/view/job/{running}"]
    pages += ["0/view/jobs/claude/queued/8/asc/1", "favicon.ico", "static/css/main.css"]
    for page in pages:
        assert client.get(f"/rq/{page}", follow_redirects=True).status_code == 200, page
    (shown,) = client.get("/rq/0/data/workers.json").get_json()["workers"]
    assert shown["current_job"]["job_id"] == running
    assert client.get("/rq/0/data/queues.json").get_json()["queues"][0]["started_job_registry_count"] == 1
    expected = {"queued": [finished], "started": [running], "finished": [queued], "canceled": [cancelled]}
    for registry in ("queued", "started", "finished", "failed", "canceled", "scheduled", "deferred"):
        for order in ("asc", "dsc"):
            found = client.get(f"/rq/0/data/jobs/claude/{registry}/8/{order}/1.json").get_json()
            assert [job["id"] for job in found["jobs"]] == expected.get(registry, [])
    assert client.get(f"/rq/0/data/job/{queued}.json").get_json()["status"] == "finished"


def test_no_prompt_is_shown(client: FlaskClient) -> None:
    """Nothing of a request is in what the dashboard reads."""
    job = submit(client)
    for path in (f"0/data/job/{job}.json", "0/data/jobs/claude/queued/8/asc/1.json", f"0/view/job/{job}"):
        text = client.get(f"/rq/{path}").text
        assert "onerror" not in text
        assert "alert" not in text


def test_numbered_pages(client: FlaskClient) -> None:
    """Each page has its own jobs, from either end."""
    ids = [submit(client) for _ in range(5)]

    def page(number: int, order: str) -> list[str]:
        found = client.get(f"/rq/0/data/jobs/claude/queued/2/{order}/{number}.json").get_json()
        return [job["id"] for job in found["jobs"]]

    assert [page(number, "asc") for number in (1, 2, 3, 4)] == [ids[:2], ids[2:4], ids[4:], []]
    backwards = ids[::-1]
    assert [page(number, "dsc") for number in (1, 2, 3, 4)] == [
        backwards[:2],
        backwards[2:4],
        backwards[4:],
        [],
    ]


def test_security_policy(client: FlaskClient) -> None:
    """Only the page's own scripts may run: each carries the nonce of the policy."""
    for path in ("", "0/view/jobs", "0/view/workers"):
        response = client.get(f"/rq/{path}")
        policy = response.headers["Content-Security-Policy"]
        found = re.search(r"script-src 'self' 'nonce-([\w-]+)'", policy)
        assert found is not None
        assert "unsafe-inline" not in policy.split("style-src")[0]
        inline = re.findall(r"<script(?![^>]*src=)(?![^>]*text/template)([^>]*)>", response.text)
        assert inline == [f' nonce="{found[1]}"']
        assert not re.search(r"\son\w+=", response.text.split("<body>")[1].split("<script")[0])


@pytest.mark.skipif(shutil.which("node") is None, reason="runs the page's own template engine, in node")
def test_stored_script_is_text(client: FlaskClient) -> None:
    """A script in a job's description, result or exception is shown as text by the job's page."""
    page = client.get(f"/rq/0/view/job/{submit(client)}").text
    template = re.search(r'<script name="job-info" type="text/template">(.*?)</script>', page, re.DOTALL)
    assert template is not None
    assert "<%=" not in template[1]
    settings = "\n".join(line for line in page.splitlines() if "_.templateSettings" in line)
    library = Path(rq_dashboard.__file__).parent / "static/js/underscore-umd-min.js"
    data = dict.fromkeys(("description", "exc_info", "metadata", "result", "status", "origin", "created_at"), EVIL)
    data |= dict.fromkeys(("enqueued_at", "started_at", "ended_at"), EVIL)
    script = f"""
        const _ = require({json.dumps(str(library))});
        {settings}
        const d = {json.dumps(data)};
        process.stdout.write(_.template({json.dumps(template[1])})({{d}}));
        process.stdout.write(_.template("<b><%= d.description %></b>")({{d}}));
    """
    node = shutil.which("node")
    assert node is not None
    shown = subprocess.run([node, "-e", script], capture_output=True, text=True, check=True, timeout=180).stdout
    assert shown.count("&lt;img src=x") == len(data) + 1
    assert "<img" not in shown
    assert "<script" not in shown


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "job/x/delete"),
        ("POST", "job/x/requeue"),
        ("GET", "requeue/claude"),
        ("POST", "requeue/claude"),
        ("POST", "queue/claude/queued/empty"),
        ("POST", "queue/claude/compact"),
    ],
)
def test_changes_nothing(client: FlaskClient, method: str, path: str) -> None:
    """What would change state is refused with a sentence."""
    response = client.open(f"/rq/{path}", method=method)
    assert (response.status_code, response.get_json()["error"]["code"]) == (403, "dashboard_read_only")


@pytest.mark.parametrize(
    "path",
    [
        "1/view/queues",
        "0/data/jobs/claude/queued/-1/asc/1.json",
        "0/data/jobs/claude/queued/100000/asc/1.json",
        "0/data/jobs/claude/queued/8/asc/x.json",
        "0/data/jobs/claude/none/8/asc/1.json",
        "0/data/job/none.json",
        "0/view/job/none",
        "nothing",
    ],
)
def test_not_there(client: FlaskClient, path: str) -> None:
    """What is not there, or asks for too much, is a 404 and not a 500."""
    assert client.get(f"/rq/{path}").status_code == 404


def test_needs_a_key(make_client: MakeClient) -> None:
    """With keys, a browser logs in with one as the password."""
    client = make_client(api_keys=("secret",))
    refused = client.get("/rq/")
    assert refused.status_code == 401
    assert refused.headers["WWW-Authenticate"].startswith("Basic ")

    def login(password: str) -> int:
        token = base64.b64encode(f"me:{password}".encode()).decode()
        return client.get("/rq/", headers={"Authorization": f"Basic {token}"}).status_code

    assert (login("secret"), login("wrong"), login("")) == (200, 401, 401)
    token = base64.b64encode(b"me:secret").decode()
    assert client.get("/v1/jobs", headers={"Authorization": f"Basic {token}"}).status_code == 401
    assert client.get("/rq/static/css/main.css").status_code == 401
