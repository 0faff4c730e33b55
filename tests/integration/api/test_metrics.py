"""`/metrics`: right, parseable, without a label that has no bound, and of use when Redis is away."""

from __future__ import annotations

import subprocess
import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from app import counters, errors, tally, worker_status
from app.error_codes import ErrorCode, ErrorType
from app.gate import Cause, Gate
from app.history import RecycleEvent, recycling
from app.jobs import deltas, transitions
from app.outcome import Outcome
from app.worker_status import WorkerState, WorkerStatus
from tests.integration.api.running import chat_body
from tests.integration.replies.steps import new_record
from tests.needs import needs

if TYPE_CHECKING:
    from flask.testing import FlaskClient
    from redis import Redis

    from tests.fake_worker import FakeWorker
    from tests.integration.api.conftest import MakeClient

USAGE = {
    "prompt_tokens": 10,
    "completion_tokens": 5,
    "prompt_tokens_details": {"cached_tokens": 4, "cache_write_tokens": 1},
    "completion_tokens_details": {"reasoning_tokens": 2},
}
CHAT = "/v1/chat/completions"


class Metrics:
    """What a scrape tells, by name and labels."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.families = {family.name: family for family in text_string_to_metric_families(text)}

    def __call__(self, sample: str, **labels: str) -> float:
        found = [
            one.value
            for family in self.families.values()
            for one in family.samples
            if one.name == f"nightshift_{sample}" and labels.items() <= one.labels.items()
        ]
        assert len(found) == 1, (sample, labels, found)
        return found[0]


def scrape(client: FlaskClient) -> Metrics:
    response = client.get("/metrics")
    assert (response.status_code, response.mimetype) == (200, "text/plain")
    return Metrics(response.text)


def submit(client: FlaskClient, **fields: Any) -> None:
    assert client.post(CHAT, json=chat_body(**fields), headers={"Prefer": "respond-async"}).status_code == 202


def test_what_ended_is_counted(client: FlaskClient, worker: FakeWorker) -> None:
    """Requests by outcome, tokens by kinds that do not overlap, the cost, and the times; each once."""
    submit(client)
    lease, record = worker.take()
    assert deltas.write(worker.connection, lease, 1, "{}", keep=True, expires_at=time.time() + 60)
    body = {"id": record.id, "usage": USAGE}
    for _ in range(2):  # the reply of the first may have been lost
        outcome = Outcome(body=body, headers={"x-nightshift-cost-usd": "0.000123"})
        transitions.publish(worker.connection, worker.settings, lease, outcome)
    submit(client, model="claude-opus-9-made-up")
    worker.fail(worker.take()[0], errors.upstream_failed("no"))
    submit(client)
    job_id = client.get("/v1/jobs").get_json()["data"][0]["id"]
    client.post(f"/v1/jobs/{job_id}/cancel")
    found = scrape(client)
    assert found("requests_total", endpoint=CHAT, model="sonnet", outcome="completed") == 1
    assert found("requests_total", endpoint=CHAT, model="opus", outcome="upstream_error") == 1
    assert found("requests_total", endpoint=CHAT, model="sonnet", outcome="cancelled") == 1
    kinds = ("input", "cache_read", "cache_write", "output", "reasoning")
    assert [found("tokens_total", kind=kind) for kind in kinds] == [5, 4, 1, 3, 2]
    assert found("cost_usd_total", model="sonnet") == pytest.approx(0.000123)
    for histogram, count in (("queue_seconds", 2), ("run_seconds", 2), ("first_token_seconds", 1)):
        assert found(f"{histogram}_count", endpoint=CHAT) == count
        assert found(f"{histogram}_bucket", endpoint=CHAT, le="+Inf") == count
        assert 0 < found(f"{histogram}_sum", endpoint=CHAT) < 60


def test_what_is_now(client: FlaskClient, connection: Redis) -> None:
    """The queue, the workers by their place, and why nothing goes on."""
    submit(client)
    for name, rss in (("host-7-worker-1-abc123", 1.0), ("host-9-worker-1-def456", 2.0)):
        row = WorkerStatus(name=name, state=WorkerState.LIMITED, rss_mb=rss, beat_at=time.time() - 2 + rss)
        worker_status.write(connection, row)
    Gate(connection).close(Cause.USAGE_LIMIT, time.time() + 900, "limit")
    recycling.note(connection, RecycleEvent(time.time(), "w", "turns", 500, 400.0, 200.0))
    found = scrape(client)
    assert found("worker_memory_bytes", worker="host-worker-1", part="claude") == 2 * 1024 * 1024
    assert (found("workers", state="limited"), found("workers", state="idle"), found("ready")) == (2, 0, 0)
    assert (found("queued"), found("in_progress")) == (1, 0)
    assert (found("gate_closed", cause="usage_limit"), found("gate_closed", cause="login")) == (1, 0)
    assert found("gate_closed_seconds_total", cause="usage_limit") > 0
    assert (found("worker_restarts_total", reason="turns"), found("worker_restarts_total", reason="rss")) == (1, 0)
    assert (found("redis_up"), found("redis_persisting"), found("feeder_up")) == (1, 1, 0)
    assert found("callback_attempts_total", result="delivered") == 0


def test_labels_are_bounded() -> None:
    """Whatever clients and errors make up, a label is one of few."""
    made = new_record()
    for model, label in (
        ("claude-haiku-4-5", "claude-haiku-4-5"),
        ("us.anthropic.claude-sonnet-77", "sonnet"),
        ("claude-anything", "other"),
    ):
        assert replace(made, model=model).model_label == label
    assert (made.endpoint_label, replace(made, kind="of newer code").endpoint_label) == (
        "/v1/chat/completions",
        "other",
    )
    newer = errors.ErrorReply.from_dict({"status": 400, "message": "x", "code": "made_up"})
    assert (newer.code, tally.outcome_label(newer)) == ("made_up", "other")


@pytest.mark.parametrize("code", [*ErrorCode, None])
@pytest.mark.parametrize("kind", ErrorType)
def test_every_error_is_counted_by_its_own_name(code: ErrorCode | None, kind: ErrorType) -> None:
    """By its code, as it is stored and read again, and by its type where it has none: `other` is only for newer code's."""
    stored = Outcome(error=errors.ErrorReply(500, "x", kind, code=code)).to_json()
    error = Outcome.from_json(stored).error
    assert error is not None
    assert tally.outcome_label(error) == (code or kind)


def test_redis_away(make_client: MakeClient) -> None:
    """It is still a scrape, and says what is the matter."""
    found = scrape(make_client(redis_url="unix:///nowhere/redis.sock"))
    assert found("redis_up") == 0
    assert found("build_info") == 1
    assert "nightshift_requests" not in found.families


def test_it_needs_a_key(make_client: MakeClient) -> None:
    """It tells of what is asked: for those who may ask."""
    client = make_client(api_keys=("k",))
    assert client.get("/metrics").status_code == 401
    assert client.get("/metrics", headers={"Authorization": "Bearer k"}).status_code == 200


def test_openmetrics(client: FlaskClient) -> None:
    """A scraper that asks for OpenMetrics gets it."""
    accept = "application/openmetrics-text; version=1.0.0"
    response = client.get("/metrics", headers={"Accept": accept})
    assert response.mimetype == "application/openmetrics-text"
    assert response.text.endswith("# EOF\n")


def test_promtool_has_no_fault_to_find(client: FlaskClient, worker: FakeWorker) -> None:
    """Names, units and types are as Prometheus' conventions want them."""
    promtool = needs("promtool")
    submit(client)
    worker.answer(worker.take()[0])
    text = client.get("/metrics").text
    checked = subprocess.run([promtool, "check", "metrics"], check=False, input=text, capture_output=True, text=True)
    assert (checked.returncode, checked.stderr) == (0, "")
    assert counters.KEY not in text
