"""A key's budget at the door: interactive requests beyond it are OpenAI's 429 `insufficient_quota`, and batches wait."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import openai
import pytest

from app import clock, spending
from app.api_keys import ApiKeys
from app.batches.feeder import Feeder
from app.batches.record import Hold
from app.outcome import COST_HEADER
from app.settings import Settings
from app.usage import Used
from ops.cli import main
from tests.integration.api.running import api as running_api
from tests.integration.api.running import chat_body
from tests.integration.api.test_keys import LINE, OPERATOR, Caller, code_of
from tests.redis_server import wait_until

if TYPE_CHECKING:
    from pathlib import Path

    from flask.testing import FlaskClient
    from redis import Redis

    from tests.fake_worker import FakeWorker
    from tests.integration.api.conftest import MakeClient


@pytest.fixture
def client(make_client: MakeClient, tmp_path: Path) -> FlaskClient:
    return make_client(api_keys=(OPERATOR,), data_dir=tmp_path)


@pytest.fixture
def operator(client: FlaskClient) -> Caller:
    return Caller(client, OPERATOR)


def caller(client: FlaskClient, operator: Caller, **limits: Any) -> Caller:
    return Caller(client, operator.create("ann", **limits))


def use(connection: Redis, usd: float, tokens: int = 0, unpriced: int = 0, owner: str = "ann") -> None:
    pipe = connection.pipeline()
    used = Used(cost_micros=round(usd * 1e6), input_tokens=tokens, unpriced=unpriced)
    spending.count_used(pipe, owner, used, clock.now())
    pipe.execute()


def refusal(answer: Any) -> str:
    """That of a budget, which no client is to try again."""
    assert (answer.status_code, answer.json["error"]["type"]) == (429, "insufficient_quota")
    assert code_of(answer) == (429, "insufficient_quota")
    assert answer.headers["x-should-retry"] == "false"
    assert "Retry-After" not in answer.headers
    return str(answer.json["error"]["message"])


def test_what_an_answer_cost_is_part_of_the_budget(client: FlaskClient, operator: Caller, worker: FakeWorker) -> None:
    ann = caller(client, operator, budget="0.5/month")
    assert ann.later().status_code == 202
    assert ann.later().status_code == 202
    # Both were accepted before either had cost anything.
    for _ in range(2):
        worker.answer(worker.take()[0], **{COST_HEADER: "0.5"})
    message = refusal(ann.later())
    assert message.startswith("This API key has spent $1 of its $0.50 a month. The budget begins anew at 20")
    assert message.endswith("raises it: 'nightshift keys change ann --budget AMOUNT/month'.")
    assert operator.later().status_code == 202
    (used,) = operator.get("/v1/keys/ann").json["budget_used"]
    assert (used["budget"], used["used"], used["unpriced"], used["is_used_up"]) == ("0.5/month", 1.0, 0, True)
    assert used["resets_at"] > clock.now()


def test_a_budget_that_is_raised_or_taken_away_lets_requests_pass(
    client: FlaskClient, operator: Caller, connection: Redis
) -> None:
    ann = caller(client, operator, budget="5/day")
    use(connection, 5)
    refusal(ann.later())
    for budget in ("6/day", None):
        assert operator.ask("POST", "/v1/keys/ann", {"budget": budget}).json["budget"] == budget
        wait_until(lambda: ann.later().status_code == 202, "a request that passes")


def test_a_budget_below_what_is_spent_is_taken_and_refuses_at_once(
    client: FlaskClient, operator: Caller, connection: Redis
) -> None:
    ann = caller(client, operator)
    use(connection, 5)
    assert ann.later().status_code == 202
    assert operator.ask("POST", "/v1/keys/ann", {"budget": "1/month"}).json["budget_used"][0]["is_used_up"]
    wait_until(lambda: ann.later().status_code == 429, "a request that is refused")


@pytest.mark.parametrize(
    ("budget", "said"),
    [
        ("50/month", "has had 1 answer whose cost nobody knows, so that its $50 a month can't be kept."),
        ("90tokens/day", "has used 100 tokens of its 90 tokens a day."),
        ("50/month,90tokens/day", "has used 100 tokens of its 90 tokens a day."),
    ],
)
def test_what_nobody_knows_the_cost_of_is_counted_by_tokens(
    client: FlaskClient, operator: Caller, connection: Redis, budget: str, said: str
) -> None:
    ann = caller(client, operator, budget=budget)
    use(connection, 0, 100, 1)
    message = refusal(ann.later())
    assert said in message
    if "," not in budget and "tokens" not in budget:
        assert f"keys change ann --budget {budget},AMOUNTtokens/" in message
        operator.ask("POST", "/v1/keys/ann", {"budget": f"{budget},200tokens/day"})
        wait_until(lambda: ann.later().status_code == 202, "a request that passes")


def test_a_retry_joins_its_job_though_the_budget_is_used_up(
    client: FlaskClient, operator: Caller, connection: Redis
) -> None:
    ann = caller(client, operator, budget="1/month")
    head = {"Prefer": "respond-async", "Idempotency-Key": "once"}
    first = ann.ask("POST", "/v1/chat/completions", chat_body(), **head)
    use(connection, 1)
    again = ann.ask("POST", "/v1/chat/completions", chat_body(), **head)
    assert (first.status_code, again.status_code, again.json["id"]) == (202, 202, first.json["id"])
    refusal(ann.later())


def test_every_door_of_an_interactive_request_has_it(client: FlaskClient, operator: Caller, connection: Redis) -> None:
    ann = caller(client, operator, budget="1/month", requests_per_minute=60)
    use(connection, 1)
    refusal(ann.ask("POST", "/v1/chat/completions", chat_body(stream=True)))
    refusal(ann.ask("POST", "/v1/completions", {"model": "haiku", "prompt": ["a", "b"]}))
    refusal(ann.ask("POST", "/v1/responses", {"model": "sonnet", "input": "hi", "background": True}))
    assert ann.ask("GET", "/v1/models").status_code == 200


def test_openai_s_client_gives_up_at_once(connection: Redis, redis_url: str) -> None:
    _, secret = ApiKeys(connection).create("ann", budget="1/month")
    use(connection, 1)
    with running_api(redis_url, NIGHTSHIFT_API_KEYS=OPERATOR) as running:
        mine = openai.OpenAI(base_url=running.url, api_key=secret, max_retries=5)
        with pytest.raises(openai.RateLimitError) as refused:
            mine.chat.completions.create(model="sonnet", messages=[{"role": "user", "content": "hi"}])
    assert (refused.value.code, refused.value.type) == ("insufficient_quota", "insufficient_quota")
    assert refused.value.request.headers["x-stainless-retry-count"] == "0"


def test_a_batch_is_accepted_and_waits(
    client: FlaskClient, operator: Caller, connection: Redis, tmp_path: Path, redis_url: str
) -> None:
    ann = caller(client, operator, budget="2/month")
    use(connection, 2)
    batch = ann.batch(LINE, {**LINE, "custom_id": "b"})
    feeder = Feeder(connection, Settings(redis_url=redis_url, data_dir=tmp_path))

    def is_held() -> bool:
        feeder.run_once()
        return bool(ann.get(f"/v1/batches/{batch}").json["nightshift"]["waiting_for"])

    try:
        wait_until(is_held, "a batch that is held")
    finally:
        feeder.close()
    found = ann.get(f"/v1/batches/{batch}").json
    ours = found["nightshift"]
    assert (found["status"], ours["waiting_for"]) == ("in_progress", Hold.KEY_BUDGET)
    assert ours["waiting_until"] > clock.now()
    assert ours["waiting_reason"].startswith("Its key ann has spent $2 of its $2 a month. It goes on by itself when")
    page = ann.get(f"/batches/{batch}").text
    assert "its key&#39;s budget is used up" in page
    assert "has spent $2 of its $2 a month" in page
    page = operator.get(f"/batches/{batch}").text
    assert "/cancel" in page
    assert "/continue" not in page


@pytest.mark.parametrize("budget", ["50", "lots", "5/week", "0/day", "", "5/night"])
def test_a_budget_that_can_t_be_read_names_what_it_takes(operator: Caller, budget: str) -> None:
    answer = operator.ask("POST", "/v1/keys", {"name": "ann", "budget": budget})
    assert code_of(answer) == (400, "invalid_value")
    assert answer.json["error"]["param"] == "budget"
    assert (
        "takes US dollars or tokens a day or month, such as 20/day or 2000000tokens/month"
        in answer.json["error"]["message"]
    )


def test_keys_are_given_budgets_and_listed_with_what_is_used_of_them(
    connection: Redis, redis_url: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def run(*words: str) -> tuple[int, str, str]:
        status = main.main(["keys", *words])
        said = capsys.readouterr()
        return status, said.out, said.err

    monkeypatch.setenv("NIGHTSHIFT_API_KEY", OPERATOR)
    with running_api(redis_url, NIGHTSHIFT_API_KEYS=OPERATOR) as running:
        monkeypatch.setenv("NIGHTSHIFT_URL", running.url)
        assert run("create", "ann", "--budget", "$50/month,1000tokens/day")[0] == 0
        use(connection, 12.3, 1200, 1)
        _, line, _ = run("list")
        assert (
            "$12.30 and 1 answers of unknown cost of $50 a month; 1,200 tokens of 1,000 tokens a day: used up" in line
        )
        assert (
            "$12.30 and 1 answers of unknown cost of $80 a month: used up"
            in run("change", "ann", "--budget", "80/month")[1]
        )
        assert "a month" not in run("change", "ann", "--budget", "none")[1]
        status, _, error = run("change", "ann", "--budget", "50/week")
        assert (status, "such as 20/day or 2000000tokens/month" in error) == (2, True)
