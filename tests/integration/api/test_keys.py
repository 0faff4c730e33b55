"""Keys with names: what is made with one is there for it alone, and for the operator; and each has its limits."""

from __future__ import annotations

import csv
import io
import json
import threading
import time
from typing import TYPE_CHECKING, Any, cast

import pytest

from api.services import EXTENSION
from app import rates, usage, worker_status
from app.api_keys import ApiKeys
from app.batches.feeder import Feeder
from app.error_codes import ErrorCode
from app.ids import OWNER
from app.outcome import COST_HEADER
from app.usage import Used
from app.webhooks import announce
from app.worker_status import WorkerState, WorkerStatus
from ops.cli import main, status
from ops.cli.batch.server import Server
from tests.integration.api.running import api as running_api
from tests.integration.api.running import chat_body
from tests.integration.api.test_files_and_batches import form
from tests.redis_server import wait_until

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from flask.testing import FlaskClient
    from redis import Redis

    from tests.fake_worker import FakeWorker
    from tests.integration.api.conftest import MakeClient

OPERATOR = "the-operators-own-key"
LINE = {"custom_id": "a", "method": "POST", "url": "/v1/chat/completions", "body": chat_body()}


class Caller:
    """Somebody with a key."""

    def __init__(self, client: FlaskClient, key: str | None) -> None:
        self._client = client
        self._headers = {} if key is None else {"Authorization": f"Bearer {key}"}

    def ask(self, method: str, path: str, body: Any = None, **headers: str) -> Any:
        return self._client.open(path, method=method, json=body, headers={**self._headers, **headers})

    def get(self, path: str) -> Any:
        return self.ask("GET", path)

    def upload(self, *lines: Mapping[str, Any]) -> str:
        data, head = form(b"".join(json.dumps(line).encode() + b"\n" for line in lines))
        answer = self._client.post("/v1/files", data=data, headers={**self._headers, **head})
        found: Any = answer.json
        return str(found["id"])

    def batch(self, *lines: Mapping[str, Any]) -> str:
        wanted = {"input_file_id": self.upload(*lines), "endpoint": "/v1/chat/completions", "completion_window": "24h"}
        return str(self.ask("POST", "/v1/batches", wanted).json["id"])

    def later(self, **fields: Any) -> Any:
        return self.ask("POST", "/v1/chat/completions", chat_body(**fields), Prefer="respond-async")

    def create(self, name: str, **limits: Any) -> str:
        answer = self.ask("POST", "/v1/keys", {"name": name, **limits})
        assert answer.status_code == 200, answer.json
        return str(answer.json["key"])


@pytest.fixture
def client(make_client: MakeClient, tmp_path: Path) -> FlaskClient:
    return make_client(api_keys=(OPERATOR,), data_dir=tmp_path)


@pytest.fixture
def operator(client: FlaskClient) -> Caller:
    return Caller(client, OPERATOR)


@pytest.fixture
def ann(client: FlaskClient, operator: Caller) -> Caller:
    return Caller(client, operator.create("ann"))


@pytest.fixture
def bob(client: FlaskClient, operator: Caller) -> Caller:
    return Caller(client, operator.create("bob"))


def code_of(answer: Any) -> tuple[int, str]:
    return answer.status_code, answer.json["error"]["code"]


@pytest.fixture
def of_ann(ann: Caller, worker: FakeWorker, connection: Redis) -> dict[str, str]:
    """One of each thing that has an id, by the name that routes have for it."""
    job_id = ann.later(store=True).json["id"]
    worker.answer(worker.take()[0])
    response = ann.ask("POST", "/v1/responses", {"model": "sonnet", "input": "hi", "background": True}).json
    endpoint = {"name": "mine", "url": "https://1.1.1.1/", "event_types": ["batch.completed"]}
    endpoint_id = ann.ask("POST", "/v1/webhook_endpoints", endpoint).json["id"]
    file_id = ann.upload(LINE)
    batch_id = ann.batch(LINE)
    told = announce.prepare(connection, "batch.completed", batch_id, "https://1.1.1.1/", owner="ann")
    pipe = connection.pipeline()
    told.add(pipe)
    pipe.execute()
    events = ann.get("/v1/events?status=pending").json["data"]
    return {
        "job_id": job_id,
        "completion_id": job_id,
        "response_id": response["id"],
        "endpoint_id": endpoint_id,
        "file_id": file_id,
        "batch_id": batch_id,
        "event_id": events[0]["id"],
        # Of a batch's page.
        "name": "input",
        "which": "input",
    }


def test_what_a_key_made_is_a_404_to_other_keys_at_every_route(
    client: FlaskClient, operator: Caller, ann: Caller, bob: Caller, of_ann: dict[str, str]
) -> None:
    """A new route with an id has to be in this test, or to refuse keys with names."""
    ids = of_ann
    # A model's name and a page's file are nobody's; `/v1/keys/{name}` and the dashboard are the operator's.
    skipped = ("models.", "page.", "keys.", "rq_dashboard.")
    body = {"metadata": {}, "event_type": "batch.completed"}
    seen = set()
    for rule in client.application.url_map.iter_rules():
        if not rule.arguments or rule.endpoint.startswith(skipped):
            continue
        path = rule.rule
        for name in rule.arguments:
            path = path.replace(f"<path:{name}>", ids[name]).replace(f"<{name}>", ids[name])
        for method in sorted((rule.methods or set()) - {"HEAD", "OPTIONS"}):
            own_page = {"Sec-Fetch-Site": "same-origin"}
            answer = bob.ask(method, path, body if method == "POST" else None, **own_page)
            assert answer.status_code == 404, (method, path, answer.status_code)
            seen.add(rule.endpoint)
    assert len(seen) > 20, seen
    for name, path in (
        ("job_id", "/v1/jobs/"),
        ("response_id", "/v1/responses/"),
        ("endpoint_id", "/v1/webhook_endpoints/"),
        ("file_id", "/v1/files/"),
        ("batch_id", "/v1/batches/"),
        ("batch_id", "/batches/"),
        ("event_id", "/v1/events/"),
    ):
        assert ann.get(path + ids[name]).status_code == 200, path
        assert operator.get(path + ids[name]).status_code == 200, path


@pytest.mark.parametrize(
    "path", ["jobs", "files", "batches", "webhook_endpoints", "events?status=pending", "chat/completions"]
)
def test_lists_have_what_is_ones_own(
    path: str, operator: Caller, ann: Caller, bob: Caller, of_ann: dict[str, str]
) -> None:
    assert of_ann
    assert ann.get(f"/v1/{path}").json["data"]
    assert ann.get(f"/v1/{path}").json["data"] == operator.get(f"/v1/{path}").json["data"]
    assert bob.get(f"/v1/{path}").json["data"] == []


def test_a_page_of_a_list_is_filled_although_others_things_lie_between(ann: Caller, bob: Caller) -> None:
    made = []
    for _ in range(4):
        made.append(ann.upload(LINE))
        bob.upload(LINE)
    first = ann.get("/v1/files?limit=3").json
    rest = ann.get(f"/v1/files?limit=3&after={first['last_id']}").json
    assert [one["id"] for one in (*first["data"], *rest["data"])] == made[::-1]
    assert (first["has_more"], rest["has_more"]) == (True, False)


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("jobs?", "job_id"),
        ("files?", "file_id"),
        ("batches?", "batch_id"),
        ("webhook_endpoints?", "endpoint_id"),
        ("events?status=pending&", "event_id"),
        ("chat/completions?", "job_id"),
    ],
)
def test_to_other_keys_it_is_nothing_to_list_after(
    path: str, name: str, ann: Caller, bob: Caller, of_ann: dict[str, str]
) -> None:
    listed = f"/v1/{path}after={of_ann[name]}"
    assert ann.get(listed).status_code == 200
    refused = bob.get(listed)
    assert (refused.status_code, refused.json["error"]["param"]) == (400, "after")


def test_others_files_and_responses_are_no_input(bob: Caller, of_ann: dict[str, str]) -> None:
    ids = of_ann
    wanted = {"endpoint": "/v1/chat/completions", "completion_window": "24h", "input_file_id": ids["file_id"]}
    assert code_of(bob.ask("POST", "/v1/batches", wanted)) == (400, ErrorCode.FILE_NOT_FOUND)
    asked = {"model": "sonnet", "input": "and?", "previous_response_id": ids["response_id"]}
    assert code_of(bob.ask("POST", "/v1/responses", asked)) == (404, ErrorCode.PREVIOUS_RESPONSE_NOT_FOUND)


def test_an_idempotency_key_is_its_keys_own_and_outlives_a_rotation(
    client: FlaskClient, operator: Caller, ann: Caller, bob: Caller
) -> None:
    def submit(caller: Caller) -> str:
        headers = {"Prefer": "respond-async", "Idempotency-Key": "the same"}
        return str(caller.ask("POST", "/v1/chat/completions", chat_body(), **headers).json["id"])

    first = submit(ann)
    assert submit(bob) != first
    renewed = Caller(client, operator.ask("POST", "/v1/keys/ann/rotate").json["key"])
    assert submit(renewed) == first


def test_events_go_to_the_endpoints_of_whom_they_are_about(operator: Caller, ann: Caller, connection: Redis) -> None:
    wanted = {"name": "mine", "url": "https://1.1.1.1/", "event_types": ["batch.completed"]}
    anns = ann.ask("POST", "/v1/webhook_endpoints", wanted).json["id"]
    operators = operator.ask("POST", "/v1/webhook_endpoints", wanted).json["id"]

    def targets(owner: str) -> list[str]:
        return [
            endpoint for _, endpoint in announce.prepare(connection, "batch.completed", "b", "", owner=owner).targets
        ]

    assert (targets("ann"), targets("bob"), targets(OWNER)) == ([anns], [], [operators])


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/v1/keys"),
        ("POST", "/v1/keys"),
        ("POST", "/v1/keys/bob"),
        ("POST", "/v1/keys/bob/rotate"),
        ("POST", "/v1/gate/pause"),
        ("POST", "/v1/gate/resume"),
        ("GET", "/metrics"),
        ("GET", "/v1/scale"),
        ("GET", "/rq/"),
        ("GET", "/page/live"),
    ],
)
def test_what_is_the_operators_is_refused(method: str, path: str, ann: Caller, bob: Caller) -> None:
    del bob
    assert code_of(ann.ask(method, path)) == (403, ErrorCode.FORBIDDEN)


def test_the_page_and_the_details_of_health_are_the_operators(ann: Caller, operator: Caller) -> None:
    assert ann.ask("GET", "/", Accept="text/html").status_code == 403
    assert ann.get("/health").json == {"status": "ok"}
    assert "workers" in operator.get("/health").json


def test_an_admin_key_sees_all_and_makes_keys(client: FlaskClient, operator: Caller, ann: Caller) -> None:
    admin = Caller(client, operator.create("boss", is_admin=True))
    job_id = ann.later().json["id"]
    assert admin.get(f"/v1/jobs/{job_id}").status_code == 200
    assert admin.create("carl").startswith("nsk_")
    assert ann.get(f"/v1/jobs/{admin.later().json['id']}").status_code == 404


def test_keys_are_listed_without_their_secrets_and_kept_as_digests(operator: Caller, connection: Redis) -> None:
    secret = operator.create("ann", requests_per_minute=5, models=["haiku"])
    listed = operator.get("/v1/keys")
    assert secret not in listed.text
    (key,) = listed.json["data"]
    assert (key["name"], key["requests_per_minute"], key["models"], key["max_queued"]) == ("ann", 5, ["haiku"], None)
    assert secret.startswith(key["hint"].removesuffix("…"))
    for name in connection.scan_iter():
        assert secret.encode() not in (connection.dump(name) or b"")


def test_a_revoked_key_is_refused_and_what_it_submitted_goes_on(
    operator: Caller, ann: Caller, worker: FakeWorker
) -> None:
    job_id = ann.later().json["id"]
    assert operator.ask("POST", "/v1/keys/ann/revoke").json["revoked_at"] is not None
    wait_until(lambda: ann.get("/v1/jobs").status_code == 401, "the key's end")
    assert "revoked" in ann.get("/v1/jobs").json["error"]["message"]
    worker.answer(worker.take()[0])
    assert operator.get(f"/v1/jobs/{job_id}").json["status"] == "completed"
    assert code_of(operator.ask("POST", "/v1/keys", {"name": "ann"})) == (409, ErrorCode.KEY_EXISTS)
    assert code_of(operator.ask("POST", "/v1/keys/ann/rotate")) == (404, ErrorCode.KEY_NOT_FOUND)
    assert code_of(operator.ask("POST", "/v1/keys/ann", {"max_queued": 1})) == (404, ErrorCode.KEY_NOT_FOUND)
    assert operator.get("/v1/keys/ann").json["max_queued"] is None


def test_a_live_page_ends_with_its_key(client: FlaskClient, operator: Caller) -> None:
    admin = Caller(client, operator.create("boss", is_admin=True))
    page = admin.get("/page/live")
    pieces = iter(page.response)
    assert next(pieces).startswith(b"retry")
    reader = threading.Thread(target=list, args=(pieces,), daemon=True)
    reader.start()
    operator.ask("POST", "/v1/keys/boss/revoke")
    reader.join(20)
    assert not reader.is_alive()
    page.close()


def test_a_rotated_key_ends_and_its_successor_sees_the_same(client: FlaskClient, operator: Caller, ann: Caller) -> None:
    job_id = ann.later().json["id"]
    successor = Caller(client, operator.ask("POST", "/v1/keys/ann/rotate").json["key"])
    assert successor.get(f"/v1/jobs/{job_id}").status_code == 200
    wait_until(lambda: ann.get("/v1/jobs").status_code == 401, "the old key's end")


def test_an_expired_key_is_refused_by_name(client: FlaskClient, operator: Caller) -> None:
    caller = Caller(client, operator.create("short", expires_at=time.time() + 0.5))
    wait_until(lambda: caller.get("/v1/models").status_code == 401, "its expiry")
    assert "expired" in caller.get("/v1/models").json["error"]["message"]


def test_without_keys_in_the_settings_this_machine_is_the_operator_and_a_wrong_key_is_not(
    make_client: MakeClient, tmp_path: Path
) -> None:
    client = make_client(data_dir=tmp_path)
    nobody, anybody = Caller(client, None), Caller(client, "unused")
    # As long as there is no key with a name, clients may send what they like.
    assert anybody.get("/v1/models").status_code == 200
    ann = Caller(client, nobody.create("ann"))
    assert ann.get("/v1/models").status_code == 200
    wait_until(lambda: anybody.get("/v1/models").status_code == 401, "the keys to be known")
    assert nobody.get("/v1/keys").status_code == 200
    assert code_of(ann.get("/v1/keys")) == (403, ErrorCode.FORBIDDEN)


@pytest.mark.parametrize(
    ("wanted", "param"),
    [
        ({"name": "Ann"}, "name"),
        ({"name": ""}, "name"),
        ({"name": "a" * 41}, "name"),
        ({"name": OWNER}, "name"),
        ({"name": "a", "expires_at": 1.0}, "expires_at"),
        ({"name": "a", "expires_at": 1e300}, "expires_at"),
        ({"name": "a", "requests_per_minute": 0}, "requests_per_minute"),
        ({"name": "a", "models": []}, "models"),
        ({"name": "a", "priority": 0}, "priority"),
        ({"name": "a", "priority": 11}, "priority"),
        ({"name": "a", "priority": 1.5}, "priority"),
        ({"name": "a", "rpm": 5}, "rpm"),
    ],
)
def test_a_key_that_can_not_be_is_a_400_that_names_the_field(
    wanted: dict[str, Any], param: str, operator: Caller
) -> None:
    answer = operator.ask("POST", "/v1/keys", wanted)
    assert (answer.status_code, answer.json["error"]["param"]) == (400, param)


@pytest.mark.parametrize(
    ("wanted", "param", "said"),
    [
        ({}, None, "requests_per_minute"),
        ({"name": "bob"}, "name", ""),
        ({"expires_at": 1.0}, "expires_at", "to come"),
        ({"requests_per_minute": 0}, "requests_per_minute", ""),
        ({"models": []}, "models", ""),
        ({"is_admin": None}, "is_admin", ""),
        ({"priority": None}, "priority", ""),
        ({"rpm": 5}, "rpm", ""),
    ],
)
def test_a_change_that_can_not_be_is_a_400_and_changes_nothing(
    wanted: dict[str, Any], param: str | None, said: str, operator: Caller, ann: Caller
) -> None:
    assert ann is not None
    before = operator.get("/v1/keys/ann").json
    answer = operator.ask("POST", "/v1/keys/ann", {"max_queued": 1, **wanted} if wanted else {})
    assert (answer.status_code, answer.json["error"]["param"]) == (400, param)
    assert said in answer.json["error"]["message"]
    assert operator.get("/v1/keys/ann").json == before


def test_a_key_that_is_changed_keeps_its_secret_and_what_is_not_named(client: FlaskClient, operator: Caller) -> None:
    """Null takes a limit away; what the key may do is another thing within a second."""
    secret = operator.create("ann", models=["haiku"], max_queued=1, requests_per_minute=5)
    ann = Caller(client, secret)
    before = operator.get("/v1/keys/ann").json
    assert code_of(ann.later(model="opus")) == (403, ErrorCode.MODEL_NOT_FOUND)
    after = operator.ask("POST", "/v1/keys/ann", {"models": ["opus"], "max_queued": None, "is_admin": True}).json
    assert after == {**before, "models": ["opus"], "max_queued": None, "is_admin": True}
    assert operator.get("/v1/keys/ann").json == after
    wait_until(lambda: ann.get("/v1/keys").status_code == 200, "the change to be known")
    assert [ann.later(model="opus").status_code for _ in range(2)] == [202, 202]
    assert code_of(operator.ask("POST", "/v1/keys/none", {"max_queued": 1})) == (404, ErrorCode.KEY_NOT_FOUND)


def test_a_limit_that_a_key_gets_later_does_not_count_what_was_before(connection: Redis) -> None:
    """A bucket counts while it has no limit, too. Other limits leave it as it is."""
    keys = ApiKeys(connection)
    key, _ = keys.create("ann", requests_per_minute=100)
    for _ in range(3):
        assert rates.take(connection, key)
    rates.spend(cast("Any", connection), "ann", Used(input_tokens=1000))
    changed = keys.change("ann", tokens_per_minute=3, requests_per_minute=0)
    assert changed is not None
    found = rates.take(connection, changed)
    assert found is not None
    assert found.tokens is not None
    assert (found.is_allowed, found.requests, found.tokens.remaining) == (True, None, 3)
    changed = keys.change("ann", tokens_per_minute=0, requests_per_minute=2)
    assert changed is not None
    found = rates.take(connection, changed)
    keys.change("ann", max_queued=1)
    again = rates.take(connection, changed)
    assert [one.requests.remaining for one in (found, again) if one and one.requests] == [1, 0]


def test_the_command_makes_a_key_and_changes_it(
    redis_url: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("NIGHTSHIFT_API_KEY", OPERATOR)

    def run(*words: str) -> Any:
        assert main.main(["keys", *words]) == 0
        return capsys.readouterr().out.strip()

    with running_api(redis_url, NIGHTSHIFT_API_KEYS=OPERATOR) as running:
        monkeypatch.setenv("NIGHTSHIFT_URL", running.url)
        secret = run("create", "ann", "--rpm", "60", "--models", "haiku, sonnet", "--max-queued", "3", "--admin")
        assert secret.startswith("nsk_")
        before = json.loads(run("list", "--json"))[0]
        limits = {"requests_per_minute": 60, "models": ["haiku", "sonnet"], "max_queued": 3, "is_admin": True}
        assert limits.items() <= before.items()
        assert before["priority"] == 1
        line = run("change", "ann", "--rpm", "120", "--models", "none", "--no-admin", "--priority", "3")
        assert line.endswith("  120 requests/min; 3 queued; priority 3")
        after = json.loads(run("change", "ann", "--tpm", "9", "--max-queued", "none", "--expires", "none", "--json"))
        changed = {
            "requests_per_minute": 120,
            "tokens_per_minute": 9,
            "models": None,
            "max_queued": None,
            "priority": 3,
        }
        assert after == {**before, **changed, "is_admin": False}
        assert main.main(["keys", "change", "ann"]) == 2
        assert "--rpm 60" in capsys.readouterr().err
        assert main.main(["keys", "change", "ann", "--priority", "11"]) == 2
        assert "takes 1 to 10, not '11'" in capsys.readouterr().err
        assert main.main(["keys", "change", "ann", "--models", ""]) == 1
        assert "models" in capsys.readouterr().err
        assert main.main(["keys", "change", "nobody", "--rpm", "5"]) == 1
        assert "There is no key 'nobody'" in capsys.readouterr().err
        assert json.loads(run("list", "--json")) == [after]


def test_a_model_that_the_key_may_not_use(client: FlaskClient, operator: Caller) -> None:
    caller = Caller(client, operator.create("small", models=["haiku"]))
    refused = caller.later(model="opus")
    assert code_of(refused) == (403, ErrorCode.MODEL_NOT_FOUND)
    assert refused.json["error"]["param"] == "model"
    assert "haiku" in refused.json["error"]["message"]
    # A name of OpenAI's is what it means here.
    assert caller.later(model="gpt-4o-mini").status_code == 202
    assert code_of(caller.later(model="gpt-4o")) == (403, ErrorCode.MODEL_NOT_FOUND)
    assert code_of(caller.get("/v1/models/opus")) == (403, ErrorCode.MODEL_NOT_FOUND)
    listed = {one["id"] for one in caller.get("/v1/models").json["data"]}
    assert {"haiku", "gpt-4o-mini"} <= listed
    assert not {"opus", "gpt-4o", "claude-sonnet-4-5"} & listed


def test_a_batch_with_a_model_that_the_key_may_not_use_fails_before_anything_runs(
    client: FlaskClient, operator: Caller, connection: Redis
) -> None:
    caller = Caller(client, operator.create("small", models=["haiku"]))
    batch_id = caller.batch({**LINE, "body": chat_body(model="opus")})
    settings = client.application.extensions[EXTENSION].settings
    feeder = Feeder(connection, settings)

    def status() -> str:
        feeder.run_once()
        return str(caller.get(f"/v1/batches/{batch_id}").json["status"])

    try:
        wait_until(lambda: status() == "failed", "the batch's end")
    finally:
        feeder.close()
    fault = caller.get(f"/v1/batches/{batch_id}").json["errors"]["data"][0]
    assert (fault["code"], fault["line"]) == (ErrorCode.MODEL_NOT_FOUND, 1)
    assert "may not use the model 'opus'" in fault["message"]


def test_requests_a_minute(client: FlaskClient, operator: Caller) -> None:
    caller = Caller(client, operator.create("slow", requests_per_minute=2))
    first, second, third = (caller.later() for _ in range(3))
    assert first.status_code == second.status_code == 202
    assert [one.headers["x-ratelimit-remaining-requests"] for one in (first, second)] == ["1", "0"]
    assert first.headers["x-ratelimit-limit-requests"] == "2"
    assert first.headers["x-ratelimit-reset-requests"].endswith("s")
    assert "x-ratelimit-limit-tokens" not in first.headers
    assert code_of(third) == (429, ErrorCode.RATE_LIMIT_EXCEEDED)
    assert 1 <= int(third.headers["Retry-After"]) <= 30
    assert "2 requests a minute" in third.json["error"]["message"]
    # Looking is not asking.
    assert caller.get("/v1/jobs").status_code == 200


def test_tokens_a_minute_are_those_that_answers_really_had(
    client: FlaskClient, operator: Caller, worker: FakeWorker
) -> None:
    caller = Caller(client, operator.create("small", tokens_per_minute=3))
    for _ in range(2):
        assert caller.later().status_code == 202
        worker.answer(worker.take()[0])
    refused = caller.later()
    assert code_of(refused) == (429, ErrorCode.RATE_LIMIT_EXCEEDED)
    assert refused.headers["x-ratelimit-remaining-tokens"] == "0"


def test_requests_that_wait_at_once(client: FlaskClient, operator: Caller, ann: Caller, worker: FakeWorker) -> None:
    caller = Caller(client, operator.create("few", max_queued=1))
    first = caller.later().json["id"]
    assert code_of(caller.later()) == (429, ErrorCode.QUEUE_FULL)
    assert ann.later().status_code == 202
    taken = worker.take()
    assert taken[1].id == first
    second = caller.later()
    assert second.status_code == 202
    assert caller.ask("POST", f"/v1/jobs/{second.json['id']}/cancel").status_code == 200
    assert caller.later().status_code == 202


def test_what_each_key_used(operator: Caller, ann: Caller, bob: Caller, worker: FakeWorker) -> None:
    for caller, headers in ((ann, {COST_HEADER: "0.5"}), (ann, {}), (bob, {COST_HEADER: "0.25"})):
        assert caller.later().status_code == 202
        worker.answer(worker.take()[0], **headers)
    assert ann.ask("POST", f"/v1/jobs/{ann.later().json['id']}/cancel").status_code == 200
    found = operator.get("/v1/usage").json
    day = usage.day_of(time.time()).isoformat()
    of_ann = {
        "day": day,
        "key": "ann",
        "model": "sonnet",
        "requests": 3,
        "failed": 1,
        "input_tokens": 2,
        "cached_tokens": 0,
        "output_tokens": 2,
        "cost_usd": 0.5,
        "unpriced": 1,
    }
    assert [row["key"] for row in found["data"]] == ["ann", "bob"]
    assert found["data"][0] == of_ann
    assert ann.get("/v1/usage").json["data"] == [of_ann]
    assert ann.get("/v1/usage?key=bob").json["data"] == [of_ann]
    assert operator.get("/v1/usage?key=bob").json["data"][0]["cost_usd"] == 0.25
    metrics = operator.get("/metrics").text
    assert 'nightshift_key_requests_total{key="ann"} 3.0' in metrics
    assert 'nightshift_key_tokens_total{key="bob"} 2.0' in metrics
    assert 'nightshift_key_cost_usd_total{key="ann"} 0.5' in metrics
    rows = list(csv.DictReader(io.StringIO(operator.get("/v1/usage?format=csv").text)))
    assert [row["cost_usd"] for row in rows] == ["0.5", "0.25"]
    assert operator.get("/v1/usage?from=2020-01-01&to=2020-01-31").json["data"] == []
    assert operator.get("/v1/usage?to=0001-01-02").json["data"] == []


@pytest.mark.parametrize("query", ["from=yesterday", "from=2026-02-02&to=2026-01-01", "from=2020-01-01", "format=xml"])
def test_a_bad_question_for_usage_is_a_400(query: str, operator: Caller) -> None:
    assert operator.get(f"/v1/usage?{query}").status_code == 400


def test_the_status_of_a_key_without_details_says_whether_the_server_can_serve(
    redis_url: str, connection: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, secret = ApiKeys(connection).create("ann")
    monkeypatch.setenv("NIGHTSHIFT_API_KEY", secret)
    with running_api(redis_url, NIGHTSHIFT_API_KEYS=OPERATOR) as running, Server(running.url) as server:
        nobody = status.read(server)
        assert (status.status_of(nobody), nobody["health"]["ready"]) == (1, False)
        assert "No worker" in "\n".join(status.text(nobody, time.time(), 200))
        worker_status.write(connection, WorkerStatus(name="w1", state=WorkerState.IDLE))
        wait_until(lambda: status.read(server)["health"]["ready"], "a worker")
        found = status.read(server)
    shown = "\n".join(status.text(found, time.time(), 200))
    assert (status.status_of(found), "SERVES" in shown, "Workers" in shown) == (0, True, False)
