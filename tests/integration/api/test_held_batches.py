"""A batch that was tried, as its client and the person who looks at it see it, and what they can do."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from app.error_codes import ErrorCode
from app.jobs import transitions
from app.outcome import COST_HEADER, WAY_HEADER
from tests.integration.api.test_files_and_batches import form
from tests.integration.api.test_keys import LINE
from tests.redis_server import wait_until

if TYPE_CHECKING:
    from pathlib import Path

    from flask.testing import FlaskClient

    from app.batches.feeder import Feeder
    from tests.fake_worker import FakeWorker
    from tests.integration.api.conftest import MakeClient

OURS = {"Sec-Fetch-Site": "same-origin"}


@pytest.fixture
def client(make_client: MakeClient, tmp_path: Path) -> FlaskClient:
    return make_client(data_dir=tmp_path)


@pytest.fixture
def tried(client: FlaskClient, feeder: Feeder, worker: FakeWorker) -> str:
    """The id of a batch of 20 of which 10 were tried; each cost a cent."""
    lines = b"".join(b"%s\n" % _line(number) for number in range(20))
    data, head = form(lines)
    file_id = client.post("/v1/files", data=data, headers=head).json["id"]  # type: ignore[index]
    wanted = {"endpoint": "/v1/chat/completions", "completion_window": "24h", "metadata": {"try": "10"}}
    batch_id: str = client.post("/v1/batches", json={"input_file_id": file_id, **wanted}).json["id"]  # type: ignore[index]

    def look() -> bool:
        feeder.run_once()
        while (job := worker._pop()) is not None:
            claimed = _claimed(worker, job.id)
            worker.answer(claimed, **{COST_HEADER: "0.01", WAY_HEADER: "cli"})
        return bool(batch(client, batch_id)["nightshift"]["waiting_for"] == "tried")

    wait_until(look, "the trial's end")
    return batch_id


def _line(number: int) -> bytes:
    return json.dumps({**LINE, "custom_id": f"c{number}"}).encode()


def _claimed(worker: FakeWorker, job_id: str) -> Any:
    claimed = transitions.claim(worker.connection, job_id, "w1", 60)
    assert claimed is not None
    return claimed[0]


def batch(client: FlaskClient, batch_id: str) -> dict[str, Any]:
    found: Any = client.get(f"/v1/batches/{batch_id}").json
    return dict(found)


def test_to_openais_clients_it_is_in_progress_with_a_reason_beside(client: FlaskClient, tried: str) -> None:
    found = batch(client, tried)
    assert (found["status"], found["request_counts"]["completed"]) == ("in_progress", 10)
    assert "tried" in found["nightshift"]["waiting_reason"]


def test_the_report_has_the_forecast(client: FlaskClient, tried: str) -> None:
    answer: Any = client.get(f"/v1/batches/{tried}/report").json
    found = answer["forecast"]
    assert (found["tried"], found["failed"], found["requests"]) == (10, 0, 10)
    assert found["cost_usd"]["cli"]["likely"] == pytest.approx(0.1)
    assert found["input_tokens"]["likely"] == pytest.approx(10)


def test_the_page_shows_it_beside_the_answers_and_its_button_continues(client: FlaskClient, tried: str) -> None:
    page = client.get(f"/batches/{tried}")
    assert "What the rest comes to" in page.text
    assert page.text.count("hello") >= 10
    assert "form-action 'self'" in page.headers["Content-Security-Policy"]
    assert f'action="/batches/{tried}/continue"' in page.text
    answer = client.post(f"/batches/{tried}/continue", headers=OURS)
    assert (answer.status_code, answer.headers["Location"]) == (303, f"/batches/{tried}")
    assert batch(client, tried)["nightshift"]["waiting_for"] != "tried"
    after = client.get(f"/batches/{tried}")
    assert "<form" not in after.text


def test_its_other_button_cancels(client: FlaskClient, tried: str) -> None:
    assert client.post(f"/batches/{tried}/cancel", headers=OURS).status_code == 303
    assert batch(client, tried)["status"] == "cancelling"


@pytest.mark.parametrize("what", ["continue", "cancel"])
def test_the_buttons_work_on_our_own_page_only(what: str, client: FlaskClient, tried: str) -> None:
    answer = client.post(f"/batches/{tried}/{what}", headers={"Sec-Fetch-Site": "cross-site"})
    assert answer.status_code == 403
    assert batch(client, tried)["nightshift"]["waiting_for"] == "tried"


def test_a_page_that_is_mailed_has_no_buttons(client: FlaskClient, tried: str) -> None:
    assert "<form" not in client.get(f"/batches/{tried}?links=absolute").text


def test_a_program_continues_it_with_a_budget(client: FlaskClient, tried: str) -> None:
    answer: Any = client.post(f"/v1/batches/{tried}/continue", json={"max_cost": 5, "max_tokens": 1000}).json
    assert (answer["nightshift"]["max_cost_usd"], answer["nightshift"]["max_tokens"]) == (5, 1000)


@pytest.mark.parametrize(
    ("wanted", "status", "code"),
    [
        ({"max_cost": 0.1}, 400, ErrorCode.BUDGET_USED_UP),
        ({"max_cost": -1}, 400, None),
        ({"way": "batches"}, 400, ErrorCode.INVALID_VALUE),
        ({"max_costs": 5}, 400, None),
        ({"max_share": "30%ten_hour"}, 400, ErrorCode.INVALID_VALUE),
    ],
)
def test_what_can_not_be_is_a_400_and_it_stays_held(
    wanted: dict[str, Any], status: int, code: ErrorCode | None, client: FlaskClient, tried: str
) -> None:
    answer: Any = client.post(f"/v1/batches/{tried}/continue", json=wanted)
    assert answer.status_code == status
    assert code is None or answer.json["error"]["code"] == code
    assert batch(client, tried)["nightshift"]["waiting_for"] == "tried"


def test_one_that_runs_is_a_409(client: FlaskClient, feeder: Feeder) -> None:
    data, head = form(_line(1) + b"\n")
    file_id = client.post("/v1/files", data=data, headers=head).json["id"]  # type: ignore[index]
    wanted = {"input_file_id": file_id, "endpoint": "/v1/chat/completions", "completion_window": "24h"}
    batch_id = client.post("/v1/batches", json=wanted).json["id"]  # type: ignore[index]
    feeder.run_once()
    answer: Any = client.post(f"/v1/batches/{batch_id}/continue")
    assert (answer.status_code, answer.json["error"]["code"]) == (409, ErrorCode.BATCH_NOT_HELD)
