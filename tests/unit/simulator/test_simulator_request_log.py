"""The log of requests and its bounds."""

import json
from pathlib import Path

from simulator.request_log import RequestLog


def test_secrets_do_not_reach_the_log() -> None:
    """Of a key and a token only their presence is kept."""
    log = RequestLog(10_000)
    log.begin("POST", "/v1/messages", {"x-api-key": "sk-1", "authorization": "Bearer b", "accept": "a"}, b"{}")
    (found,) = log.find(None, -1, 10)
    assert found["headers"] == {"x-api-key": "present", "authorization": "present", "accept": "a"}


def test_oldest_are_dropped_beyond_the_bytes() -> None:
    """The log keeps the newest requests that fit, and counts the others."""
    log = RequestLog(3_000)
    for _ in range(5):
        log.begin("POST", "/", {}, b" " * 500)
    assert [entry["index"] for entry in log.find(None, -1, 10)] == [2, 3, 4]
    assert log.dropped == 2


def test_find_by_text_index_and_limit() -> None:
    """Requests are found by what is in their body, however JSON escapes it."""
    log = RequestLog(100_000)
    for text in ("grün", 'a "quote"', "grün"):
        log.begin("POST", "/", {}, json.dumps({"t": text}).encode())
    assert [entry["index"] for entry in log.find("grün", -1, 10)] == [0, 2]
    assert [entry["index"] for entry in log.find("grün", 0, 10)] == [2]
    assert [entry["index"] for entry in log.find('"quote"', -1, 10)] == [1]
    assert len(log.find(None, -1, 2)) == 2


def test_counts_and_file(tmp_path: Path) -> None:
    """Statuses, the running and the most running at once are counted, and each request is a line of the file."""
    log = RequestLog(100_000, tmp_path / "log.jsonl")
    first, second = (log.begin("POST", "/", {}, b"{}") for _ in range(2))
    for entry, status in ((first, 200), (second, 429)):
        entry.status = status
        log.end(entry)
    stats = log.stats()
    assert (stats["by_status"], stats["running"], stats["max_running"]) == ({"200": 1, "429": 1}, 0, 2)
    assert [json.loads(line)["status"] for line in (tmp_path / "log.jsonl").read_text().splitlines()] == [200, 429]
    log.clear()
    assert log.stats()["answered"] == 0
