"""The simulator over HTTP, as a client of the Messages API sees it."""

import json
import signal
import socket
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest

from chaos.until import wait_until
from simulator.client import SimulatorControlError
from simulator.errors import TYPE_OF_STATUS
from simulator.process import RunningSimulator, running_simulator


def body(prompt: Any = "hello", **fields: Any) -> dict[str, Any]:
    """Return a request body."""
    return {"model": "claude-x", "max_tokens": 100, "messages": [{"role": "user", "content": prompt}], **fields}


def events(text: str) -> Iterator[dict[str, Any]]:
    """Yield the JSON of each event of a stream."""
    for part in text.split("\n\n"):
        if part:
            yield json.loads(part.split("data: ", 1)[1])


def test_plain_answer(http: httpx.Client, simulator: RunningSimulator) -> None:
    """A request is answered in Anthropic's shape and stands in the log without its key."""
    response = http.post("/v1/messages?beta=true", json=body("hi"))
    message = response.json()
    assert response.headers["request-id"].startswith("req_sim_")
    assert message["id"].startswith("msg_sim_")
    assert message["model"] == "simulated-claude-x"
    assert message["content"] == [{"type": "text", "text": "Simulated answer to: hi"}]
    (logged,) = simulator.control.requests("hi")
    assert logged["path"] == "/v1/messages?beta=true"
    assert logged["headers"]["x-api-key"] == "present"
    assert logged["body"] == body("hi")
    assert (logged["status"], logged["kind"], logged["client_gone"]) == (200, "message", False)


def test_streamed_answer(http: httpx.Client) -> None:
    """A streamed answer's deltas make the same text."""
    response = http.post("/v1/messages", json=body("x" * 90, stream=True))
    assert response.headers["content-type"].startswith("text/event-stream")
    found = list(events(response.text))
    text = "".join(event["delta"].get("text", "") for event in found if event["type"] == "content_block_delta")
    assert text == "Simulated answer to: " + "x" * 90
    assert found[-1] == {"type": "message_stop"}


def test_who_asks_is_looked_at_before_what_is_asked(http: httpx.Client, simulator: RunningSimulator) -> None:
    """A rule that refuses logins refuses requests that are none, too; one about some prompt does not."""
    simulator.control.add_rule({"error": {"status": 401}}, match={"contains": "hello"})
    assert http.post("/v1/messages", json={"model": "claude-x", "messages": []}).status_code == 400
    simulator.control.add_rule({"error": {"status": 401}}, times=1)
    assert http.post("/v1/messages", json={"model": "claude-x", "messages": []}).status_code == 401
    assert http.post("/v1/messages", json={"model": "claude-x", "messages": []}).status_code == 400


@pytest.mark.parametrize("status", sorted(TYPE_OF_STATUS))
def test_errors(http: httpx.Client, simulator: RunningSimulator, status: int) -> None:
    """Each documented status comes with its type, in Anthropic's error body."""
    error = {"status": status, "message": "because", "headers": {"retry-after": "7"}}
    simulator.control.add_rule({"error": error}, times=1)
    response = http.post("/v1/messages", json=body())
    expected = {"type": TYPE_OF_STATUS[status], "message": "because"}
    assert response.status_code == status
    assert response.json()["error"] == expected
    assert response.json()["request_id"] == response.headers["request-id"]
    assert response.headers["retry-after"] == "7"
    assert http.post("/v1/messages", json=body()).status_code == 200


def test_usage_limit(http: httpx.Client, simulator: RunningSimulator) -> None:
    """A reached limit is a 429 with the unified headers; an allowed one only adds them."""
    simulator.control.add_rule({"usage_limit": {"resets_at": 1_900_000_000}}, times=1)
    simulator.control.add_rule({"usage_limit": {"status": "allowed", "utilization": 0.5}, "text": "ok"})
    prefix = "anthropic-ratelimit-unified"
    rejected, allowed = (http.post("/v1/messages", json=body()) for _ in range(2))
    assert (rejected.status_code, rejected.headers[f"{prefix}-status"]) == (429, "rejected")
    assert rejected.headers[f"{prefix}-reset"] == "1900000000"
    assert rejected.headers[f"{prefix}-representative-claim"] == "five_hour"
    assert (allowed.status_code, allowed.headers[f"{prefix}-5h-utilization"]) == (200, "0.5")


@pytest.mark.parametrize("stream", [True, False])
def test_broken_connection(http: httpx.Client, simulator: RunningSimulator, stream: bool) -> None:
    """A broken answer ends without its end, which a client notices."""
    simulator.control.add_rule({"break_after_deltas": 1, "text": "x" * 200})
    with pytest.raises(httpx.RemoteProtocolError):
        http.post("/v1/messages", json=body(stream=stream))
    assert simulator.process.poll() is None


def test_client_gone_is_noticed(http: httpx.Client, simulator: RunningSimulator) -> None:
    """A client that leaves a hanging answer is noted at once."""
    simulator.control.add_rule({"hang_seconds": 60})
    with pytest.raises(httpx.ReadTimeout):
        http.post("/v1/messages", json=body(stream=True), timeout=0.1)
    wait_until(lambda: simulator.control.stats()["client_gone"] == 1)
    (logged,) = simulator.control.requests()
    assert logged["client_gone"] is True
    assert simulator.control.stats()["running"] == 0


@pytest.mark.parametrize("respond", [{"text": "held"}, {"error": {"status": 529}}, {"usage_limit": {}}])
@pytest.mark.parametrize("stream", [True, False])
def test_what_is_held_comes_when_its_rule_is_removed(
    http: httpx.Client, simulator: RunningSimulator, respond: dict[str, Any], stream: bool
) -> None:
    """Not before, and then whatever it was to be."""
    rule = simulator.control.add_rule({**respond, "held": True})
    with ThreadPoolExecutor(1) as pool:
        asked = pool.submit(http.post, "/v1/messages", json=body(stream=stream))
        wait_until(lambda: simulator.control.stats()["running"] == 1)
        with pytest.raises(TimeoutError):
            asked.result(0.2)
        simulator.control.remove_rule(rule)
        assert asked.result(60).status_code == {"text": 200, "error": 529, "usage_limit": 429}[next(iter(respond))]


def test_what_is_held_within_a_stream(http: httpx.Client, simulator: RunningSimulator) -> None:
    """What comes before the hold is there, and the rest when its rule is removed."""
    simulator.control.add_rule({"text": "abcd" * 100, "held": True, "hang_after_deltas": 2})
    with http.stream("POST", "/v1/messages", json=body(stream=True)) as response:
        pieces = response.iter_text()
        before = next(pieces)
        assert 0 < before.count("abcd") < 100
        simulator.control.clear_rules()
        assert (before + "".join(pieces)).count("abcd") == 100


def test_latency_and_token_rate(http: httpx.Client, simulator: RunningSimulator) -> None:
    """A paced stream arrives in many pieces and takes its time."""
    simulator.control.add_rule({"text": "abcd" * 20}, latency_ms=50, tokens_per_second=20)
    started = time.monotonic()
    with http.stream("POST", "/v1/messages", json=body(stream=True)) as response:
        pieces = list(response.iter_raw())
    assert len(pieces) > 2
    assert time.monotonic() - started >= 0.9


def test_refused_requests(http: httpx.Client) -> None:
    """What is no JSON, names no known model or no known path gets Anthropic's error body."""
    assert http.post("/v1/messages", content=b"{").json()["error"]["type"] == "invalid_request_error"
    unknown = http.post("/v1/messages", json=body(model="unknown-model"))
    assert unknown.status_code == 404
    assert unknown.json()["error"] == {"type": "not_found_error", "message": "model: unknown-model"}
    assert http.get("/v1/nothing").json()["error"]["type"] == "not_found_error"
    assert http.get("/v1/messages").status_code == 405
    assert http.head("/v1/messages").status_code == 405
    assert http.options("/v1/messages").status_code == 204


def test_other_endpoints(http: httpx.Client) -> None:
    """Tokens are counted, models listed, and the root is there."""
    assert http.post("/v1/messages/count_tokens", json=body("x" * 40)).json() == {"input_tokens": 11}
    models = http.get("/v1/models").json()
    assert models["first_id"] == models["data"][0]["id"]
    assert http.get(f"/v1/models/{models['first_id']}").json()["type"] == "model"
    assert http.get("/v1/models/none").status_code == 404
    assert (http.head("/").status_code, http.get("/").status_code) == (200, 200)


def test_rules_are_controlled(simulator: RunningSimulator) -> None:
    """Rules are added, listed with their use, replaced and removed; a bad one is refused with the reason."""
    control = simulator.control
    first = control.add_rule({"text": "a"}, match={"contains": "x"})
    assert [(rule["id"], rule["used"]) for rule in control.rules()] == [(first, 0)]
    (second,) = control.set_rules([{"respond": {"echo": True}}])
    assert [rule["id"] for rule in control.rules()] == [second]
    control.remove_rule(second)
    assert control.rules() == []
    with pytest.raises(SimulatorControlError, match="404"):
        control.remove_rule(second)
    with pytest.raises(SimulatorControlError, match=r"422.*no_such_field"):
        control.add_rule({"no_such_field": 1})


def test_start_options_and_end(tmp_path: Path) -> None:
    """Rules, limits, port file and log file are taken from the command line; SIGTERM ends open streams at once."""
    rules = tmp_path / "rules.json"
    rules.write_text('[{"match": {"contains": "slow"}, "respond": {"hang_seconds": 60}}]')
    files = ["--port-file", str(tmp_path / "port"), "--log-file", str(tmp_path / "log.jsonl")]
    limits = ["--max-input-tokens", "50", "--log-bytes", "2000"]
    with running_simulator("--rules", str(rules), *files, *limits) as found:
        port = int((tmp_path / "port").read_text())
        assert found.base_url == f"http://127.0.0.1:{port}"
        too_long = httpx.post(f"{found.base_url}/v1/messages", json=body("x" * 4000), trust_env=False)
        assert too_long.status_code == 400
        assert too_long.json()["error"]["message"] == "prompt is too long: 1001 tokens > 50 maximum"
        assert found.control.dropped() == 1
        data = json.dumps(body("slow", stream=True)).encode()
        with socket.create_connection(("127.0.0.1", port)) as connection:
            head = f"POST /v1/messages HTTP/1.1\r\nHost: x\r\nContent-Length: {len(data)}\r\n\r\n"
            connection.sendall(head.encode() + data)
            wait_until(lambda: found.control.stats()["running"] == 1)
            found.process.send_signal(signal.SIGTERM)
            assert found.process.wait(timeout=60) == 0
    logged = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert logged[0]["status"] == 400


def test_bad_rules_file_is_refused(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """A rules file with a mistake ends the start with a message."""
    rules = tmp_path / "rules.json"
    rules.write_text('{"respond": {"txt": "a"}}')
    with pytest.raises(RuntimeError, match="ended with 2"), running_simulator("--rules", str(rules)):
        pass
    assert "respond.txt" in capfd.readouterr().err
