"""Message Batches as a client of the simulator sees them."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import httpx
import psutil
import pytest

from chaos.until import wait_until
from simulator.process import running_simulator

if TYPE_CHECKING:
    from collections.abc import Callable

    from simulator.process import RunningSimulator

PATH = "/v1/messages/batches"
ZERO = {"processing": 0, "succeeded": 0, "errored": 0, "canceled": 0, "expired": 0}


def line(custom_id: str, prompt: str = "hi", **params: Any) -> dict[str, Any]:
    """One request of a batch."""
    return {
        "custom_id": custom_id,
        "params": {
            "model": "claude-haiku-4-5",
            "max_tokens": 50,
            "messages": [{"role": "user", "content": prompt}],
            **params,
        },
    }


def lines(count: int) -> list[dict[str, Any]]:
    """As many requests, `l0` and so on."""
    return [line(f"l{number}", f"prompt {number}") for number in range(count)]


def create(http: httpx.Client, requests: list[dict[str, Any]]) -> dict[str, Any]:
    """The batch of these requests, as it is answered."""
    response = http.post(PATH, json={"requests": requests})
    assert response.status_code == 200, response.text
    return dict(response.json())


def until_ended(http: httpx.Client, batch_id: str) -> dict[str, Any]:
    """The batch once it has ended."""

    def ended() -> dict[str, Any] | None:
        found = dict(http.get(f"{PATH}/{batch_id}").json())
        return found if found["processing_status"] == "ended" else None

    return wait_until(ended, f"the end of {batch_id}")


def results(http: httpx.Client, batch: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Each request's result by its id."""
    text = http.get(batch["results_url"]).text
    found = [json.loads(one) for one in text.splitlines()]
    assert len({one["custom_id"] for one in found}) == len(found)
    return {one["custom_id"]: one["result"] for one in found}


def test_a_batch_from_creation_to_results(http: httpx.Client) -> None:
    """Counts are 0 until it has ended, and each request's result is the answer that it would get alone, in any order."""
    created = create(http, lines(40))
    assert created["id"].startswith("msgbatch_")
    assert (created["type"], created["processing_status"]) == ("message_batch", "in_progress")
    assert created["request_counts"] == {**ZERO, "processing": 40}
    assert (created["results_url"], created["ended_at"], created["archived_at"]) == (None, None, None)
    ended = until_ended(http, created["id"])
    assert ended["request_counts"] == {**ZERO, "succeeded": 40}
    assert created["created_at"] < ended["ended_at"] < created["expires_at"]
    response = http.get(ended["results_url"])
    assert response.headers["request-id"].startswith("req_sim_")
    found = [json.loads(one) for one in response.text.splitlines()]
    assert [one["custom_id"] for one in found] != [f"l{number}" for number in range(40)]
    message = next(one["result"]["message"] for one in found if one["custom_id"] == "l7")
    assert message["content"] == [{"type": "text", "text": "Simulated answer to: prompt 7"}]
    assert message["usage"]["service_tier"] == "batch"
    alone = http.post("/v1/messages", json=line("", "prompt 7")["params"]).json()
    assert {**alone["usage"], "service_tier": "batch"} == message["usage"]


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ({}, "requests: Field required"),
        ({"requests": {}}, "requests: Input should be a valid list"),
        ({"requests": []}, "at least 1 item"),
        ({"requests": [{"params": {}}]}, "requests.0.custom_id: Field required"),
        ({"requests": [{"custom_id": "a"}]}, "requests.0.params: Field required"),
        ({"requests": [line("")]}, "requests.0.custom_id: String should have at least 1 character"),
        ({"requests": [line("a" * 65)]}, "requests.0.custom_id: String should have at most 64 characters"),
        ({"requests": [line("a.b")]}, "requests.0.custom_id: String should match pattern"),
        ({"requests": [line("a\n")]}, "requests.0.custom_id: String should match pattern"),
        ({"requests": [line("a"), line("a")]}, "requests.1.custom_id: 'a' is not unique"),
        ({"requests": [{"custom_id": "a", "params": []}]}, "requests.0.params: Input should be an object"),
    ],
)
def test_what_is_no_batch_is_refused(http: httpx.Client, body: Any, said: str) -> None:
    """Each fault of a batch itself is a 400 in Anthropic's shape, and makes no batch."""
    before = http.get(PATH).json()["first_id"]
    response = http.post(PATH, json=body)
    assert response.status_code == 400
    assert response.json()["error"]["type"] == "invalid_request_error"
    assert said in response.json()["error"]["message"]
    assert response.json()["request_id"] == response.headers["request-id"]
    assert http.get(PATH).json()["first_id"] == before


def test_params_are_checked_when_they_are_processed(http: httpx.Client) -> None:
    """A request that the Messages API refuses, or that a batch does not take, is an errored result beside good ones."""
    wrong: dict[str, dict[str, Any]] = {
        "stream": {"stream": True},
        "speed": {"speed": "fast"},
        "cap": {"max_tokens": 0},
        "empty": {"messages": []},
    }
    created = create(http, [line("good"), *(line(name, **params) for name, params in wrong.items())])
    ended = until_ended(http, created["id"])
    assert ended["request_counts"] == {**ZERO, "succeeded": 1, "errored": 4}
    found = results(http, ended)
    assert found["good"]["type"] == "succeeded"
    for name in wrong:
        assert (found[name]["type"], found[name]["error"]["type"]) == ("errored", "error")
        assert found[name]["error"]["error"]["type"] == "invalid_request_error"


def test_rules_answer_the_requests_of_a_batch(http: httpx.Client, simulator: RunningSimulator) -> None:
    """By the same rules as alone: errors of each type, and results that no client knows."""
    for prompt, respond in (
        ("overloaded", {"error": {"status": 529}}),
        ("server", {"error": {"status": 500}}),
        ("new", {"batch_result": "postponed"}),
        ("late", {"batch_result": "expired"}),
    ):
        simulator.control.add_rule(respond, match={"contains": prompt, "batched": True})
    created = create(http, [line(name, name) for name in ("overloaded", "server", "new", "late", "fine")])
    found = results(http, until_ended(http, created["id"]))
    assert found["overloaded"]["error"]["error"]["type"] == "overloaded_error"
    assert found["server"]["error"]["error"]["type"] == "api_error"
    assert found["new"] == {"type": "postponed"}
    assert found["late"] == {"type": "expired"}
    assert found["fine"]["type"] == "succeeded"
    assert http.post("/v1/messages", json=line("", "server")["params"]).status_code == 200


def test_a_list_is_paged_in_both_directions(http: httpx.Client) -> None:
    """Newest first; each page says whether there is more in its direction."""
    ids = [create(http, lines(1))["id"] for _ in range(5)][::-1]
    first = http.get(PATH, params={"limit": 2}).json()
    assert [one["id"] for one in first["data"]] == ids[:2]
    assert (first["has_more"], first["first_id"], first["last_id"]) == (True, ids[0], ids[1])
    second = http.get(PATH, params={"limit": 3, "after_id": ids[1]}).json()
    assert [one["id"] for one in second["data"]] == ids[2:5]
    before = http.get(PATH, params={"limit": 2, "before_id": ids[4]}).json()
    assert ([one["id"] for one in before["data"]], before["has_more"]) == (ids[2:4], True)
    none = http.get(PATH, params={"before_id": ids[0]}).json()
    assert none == {"data": [], "has_more": False, "first_id": None, "last_id": None}
    for wrong in ({"limit": 0}, {"limit": 1001}, {"limit": "x"}, {"before_id": ids[0], "after_id": ids[1]}):
        assert http.get(PATH, params=wrong).status_code == 400
    assert http.get(PATH, params={"after_id": "msgbatch_none"}).status_code == 404


def test_what_is_not_there_is_a_404(http: httpx.Client) -> None:
    """An unknown batch, in each call about it, and an unknown path."""
    for method, path in (("GET", ""), ("DELETE", ""), ("POST", "/cancel"), ("GET", "/results"), ("GET", "/other")):
        response = http.request(method, f"{PATH}/msgbatch_none{path}")
        assert (response.status_code, response.json()["error"]["type"]) == (404, "not_found_error")


def test_a_held_batch_ends_when_its_rule_is_removed(http: httpx.Client, simulator: RunningSimulator) -> None:
    """So that a test decides when; there are no results and no deletion before."""
    rule = simulator.control.add_rule({"batch": {"held": True}}, match={"batches": "create"})
    created = create(http, lines(3))
    for _ in range(3):
        assert http.get(f"{PATH}/{created['id']}").json()["processing_status"] == "in_progress"
    assert http.get(f"{PATH}/{created['id']}/results").status_code == 404
    assert http.delete(f"{PATH}/{created['id']}").status_code == 400
    simulator.control.remove_rule(rule)
    assert until_ended(http, created["id"])["request_counts"] == {**ZERO, "succeeded": 3}
    assert http.delete(f"{PATH}/{created['id']}").json() == {"id": created["id"], "type": "message_batch_deleted"}
    assert http.get(f"{PATH}/{created['id']}").status_code == 404


def test_a_batch_ends_after_looks(http: httpx.Client, simulator: RunningSimulator) -> None:
    """That many answers show it unfinished."""
    simulator.control.add_rule({"batch": {"ends_after_looks": 2}}, match={"batches": "create"})
    created = create(http, lines(2))
    seen = [http.get(f"{PATH}/{created['id']}").json()["processing_status"] for _ in range(3)]
    assert seen == ["in_progress", "in_progress", "ended"]


def test_a_canceled_batch_keeps_what_was_answered(http: httpx.Client, simulator: RunningSimulator) -> None:
    """It is canceling first; what was not answered by then is canceled, and an ended batch can't be."""
    simulator.control.add_rule({"batch": {"held": True, "answers": 2}}, match={"batches": "create"})
    simulator.control.add_rule({"batch": {"ends_after_looks": 1}}, match={"batches": "cancel"})
    created = create(http, lines(5))
    canceled = http.post(f"{PATH}/{created['id']}/cancel").json()
    assert canceled["processing_status"] == "canceling"
    assert canceled["cancel_initiated_at"] > created["created_at"]
    assert canceled["request_counts"] == {**ZERO, "processing": 5}
    assert http.post(f"{PATH}/{created['id']}/cancel").json() == canceled
    assert http.get(f"{PATH}/{created['id']}").json()["processing_status"] == "canceling"
    ended = until_ended(http, created["id"])
    assert ended["request_counts"] == {**ZERO, "succeeded": 2, "canceled": 3}
    found = results(http, ended)
    assert {name for name, result in found.items() if result == {"type": "canceled"}} == {"l2", "l3", "l4"}
    assert http.post(f"{PATH}/{created['id']}/cancel").status_code == 400


def test_a_batch_expires_in_part(http: httpx.Client, simulator: RunningSimulator) -> None:
    """What is not answered when it expires is an expired result, held or not."""
    control = simulator.control
    control.add_rule({"batch": {"answers": 1}}, match={"batches": "create"}, times=1)
    control.add_rule({"batch": {"held": True, "answers": 3, "expires_in_seconds": 0.1}}, match={"batches": "create"})
    for answered in (1, 3):
        ended = until_ended(http, create(http, lines(4))["id"])
        assert ended["request_counts"] == {**ZERO, "succeeded": answered, "expired": 4 - answered}
        types = [result["type"] for result in results(http, ended).values()]
        assert types.count("expired") == 4 - answered


@pytest.mark.parametrize("accepted", [True, False])
def test_an_answer_to_create_is_lost(http: httpx.Client, simulator: RunningSimulator, accepted: bool) -> None:
    """The connection closes without a byte, and the batch is there or not; a server error may lose it, too."""
    fault = {"batch": {"no_answer": True, "accepted": accepted}}
    simulator.control.add_rule(fault, match={"batches": "create", "contains": "prompt 0"}, times=1)
    before = len(http.get(PATH, params={"limit": 1000}).json()["data"])
    with pytest.raises(httpx.RemoteProtocolError, match="without sending a response"):
        create(http, lines(2))
    assert len(http.get(PATH, params={"limit": 1000}).json()["data"]) == before + accepted
    error = {"error": {"status": 500}, "batch": {"accepted": accepted}}
    simulator.control.add_rule(error, match={"batches": "create"}, times=1)
    assert http.post(PATH, json={"requests": lines(2)}).status_code == 500
    assert len(http.get(PATH, params={"limit": 1000}).json()["data"]) == before + 2 * accepted


@pytest.mark.parametrize("status", [429, 529])
def test_create_is_limited(http: httpx.Client, simulator: RunningSimulator, status: int) -> None:
    """With a retry-after, and without a batch; other calls are answered, with the limits in their headers."""
    error = {"error": {"status": status, "headers": {"retry-after": "30"}}}
    simulator.control.add_rule(error, match={"batches": "create"}, times=1)
    refused = http.post(PATH, json={"requests": lines(1)})
    assert (refused.status_code, refused.headers["retry-after"]) == (status, "30")
    answered = http.get(PATH)
    assert answered.status_code == 200
    assert 0 < int(answered.headers["anthropic-ratelimit-requests-remaining"]) < 4000
    create(http, lines(1))


def test_a_refused_login_is_refused_here_too(http: httpx.Client, simulator: RunningSimulator) -> None:
    """By the same rule as in the Messages API, in every call."""
    simulator.control.add_rule({"error": {"status": 401}}, match={"header": {"x-api-key": "k"}})
    for method, path in (("POST", PATH), ("GET", PATH), ("GET", f"{PATH}/msgbatch_none")):
        assert http.request(method, path, json={"requests": lines(1)}).status_code == 401
    assert http.get(PATH, headers={"x-api-key": "other"}).status_code == 200


@pytest.mark.parametrize(
    ("fault", "check"),
    [
        ({"left_out": 2}, lambda text: len(text.splitlines()) == 8),
        ({"unterminated": True}, lambda text: len(text.splitlines()) == 10 and not text.endswith("\n")),
        ({"doubled_line": 3}, lambda text: text.splitlines()[3] == text.splitlines()[4]),
        ({"broken_line": 1}, lambda text: not text.splitlines()[1].endswith("}") and len(text.splitlines()) == 10),
        ({"cut_after_lines": 4, "cut_in_order": True}, lambda text: len(text.splitlines()) == 5),
    ],
)
def test_results_come_with_faults_once(
    http: httpx.Client, simulator: RunningSimulator, fault: dict[str, Any], check: Callable[[str], bool]
) -> None:
    """As a rule for that call says, and whole when they are read again."""
    ended = until_ended(http, create(http, lines(10))["id"])
    simulator.control.add_rule({"batch": fault}, match={"batches": "results"}, times=1)
    assert check(http.get(ended["results_url"]).text)
    assert len(results(http, ended)) == 10


def test_results_are_cut_with_their_connection(http: httpx.Client, simulator: RunningSimulator) -> None:
    """What came before is there, and the client notices."""
    ended = until_ended(http, create(http, lines(10))["id"])
    simulator.control.add_rule({"batch": {"cut_after_lines": 4}}, match={"batches": "results"}, times=1)
    got: list[str] = []
    with pytest.raises(httpx.RemoteProtocolError), http.stream("GET", ended["results_url"]) as response:
        got.extend(response.iter_lines())
    assert len(results(http, ended)) == 10


def test_fields_of_a_batch_are_replaced(http: httpx.Client, simulator: RunningSimulator) -> None:
    """Such as the results' address by that of another host, in one call alone."""
    ended = until_ended(http, create(http, lines(1))["id"])
    fields = {"results_url": "http://elsewhere.invalid/x", "request_counts": {**ZERO, "succeeded": 9}}
    simulator.control.add_rule({"batch": {"fields": fields}}, match={"batches": "retrieve"}, times=1)
    assert http.get(f"{PATH}/{ended['id']}").json() == {**ended, **fields}
    assert http.get(f"{PATH}/{ended['id']}").json() == ended


def test_each_request_of_a_batch_is_in_the_log_once(http: httpx.Client, simulator: RunningSimulator) -> None:
    """As it was sent, whatever became of the answer."""
    simulator.control.add_rule({"batch": {"no_answer": True}}, match={"batches": "create"}, times=1)
    with pytest.raises(httpx.RemoteProtocolError):
        create(http, [line("a", "the secret"), line("b", "other")])
    (logged,) = simulator.control.requests("the secret")
    assert (logged["kind"], logged["body"]) == ("batched", line("a", "the secret")["params"])
    assert logged["path"].startswith(f"{PATH}/msgbatch_sim_")
    assert logged["path"].endswith("/requests/a")


def test_a_large_batch_takes_bounded_memory() -> None:
    """20,000 requests of 1 KB a batch: what is kept of them is on disk."""
    with (
        running_simulator("--log-bytes", "1000000") as found,
        httpx.Client(base_url=found.base_url, trust_env=False, timeout=60) as http,
    ):
        process = psutil.Process(found.process.pid)
        body = json.dumps({"requests": [line(f"l{number}", f"{number} " + "x" * 1000) for number in range(20_000)]})
        used = []
        for _ in range(3):
            ended = until_ended(http, http.post(PATH, content=body).json()["id"])
            with http.stream("GET", ended["results_url"]) as response:
                assert sum(1 for _ in response.iter_lines()) == 20_000
            used.append(process.memory_info().rss)
        # A batch has 32 MB of requests and results.
        assert used[2] - used[1] < 16 * 1024 * 1024
