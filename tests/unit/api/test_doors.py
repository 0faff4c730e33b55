"""Who is let in, and what is said to whoever is not. No Redis is needed for that, and there is none."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from api.app import create_app
from app.settings import Settings, SettingsError

if TYPE_CHECKING:
    from flask.testing import FlaskClient

NOWHERE = Settings(redis_url="unix:///nowhere/redis.sock")
CHAT = "/v1/chat/completions"
BODY = {"model": "sonnet", "messages": [{"role": "user", "content": "hi"}]}


def client(**settings: Any) -> FlaskClient:
    return create_app(replace(NOWHERE, **settings)).test_client()


@pytest.mark.parametrize(
    ("headers", "peer"),
    [
        ({"Host": "evil.example"}, "127.0.0.1"),
        ({"Host": "evil.example:8204"}, "127.0.0.1"),
        ({"Host": "localhost"}, "10.0.0.5"),
        ({"Host": "localhost", "X-Forwarded-For": "127.0.0.1"}, "10.0.0.5"),
        ({"Host": "localhost", "Origin": "https://evil.example"}, "127.0.0.1"),
        ({"Host": "localhost", "Origin": "null"}, "127.0.0.1"),
    ],
)
def test_without_keys_only_this_machine(headers: dict[str, str], peer: str) -> None:
    """Without keys, a foreign peer, a foreign name for us (DNS rebinding) and a foreign page are all refused."""
    response = client().get("/v1/models", headers=headers, environ_base={"REMOTE_ADDR": peer})
    assert (response.status_code, response.get_json()["error"]["code"]) == (403, "forbidden")


@pytest.mark.parametrize(
    ("headers", "peer"),
    [
        ({"Host": "localhost:8204"}, "127.0.0.1"),
        ({"Host": "[::1]:8204"}, "::1"),
        ({"Host": "localhost", "Origin": "http://localhost:3000"}, "127.0.0.1"),
        ({"Host": "localhost", "Authorization": "Bearer any"}, "127.0.0.1"),
    ],
)
def test_without_keys_this_machine(headers: dict[str, str], peer: str) -> None:
    """Without keys this machine may ask, whatever key its client sends."""
    response = client().get("/v1/models", headers=headers, environ_base={"REMOTE_ADDR": peer})
    assert response.status_code == 200


@pytest.mark.parametrize("sent", ["", "Bearer", "Bearer ", "Bearer k", "Bearer k1k2", "k1", "Bearer ключ"])
def test_with_keys(sent: str) -> None:
    """With keys, whoever sends none of them gets a 401, whatever the path."""
    door = client(api_keys=("k1", "k2"))
    for path in ("/v1/models", "/nothing", "/rq/", "/v1/jobs"):
        response = door.get(path, headers={"Authorization": sent.encode().decode("latin-1")})
        assert (response.status_code, response.get_json()["error"]["code"]) == (401, "invalid_api_key")
        assert "WWW-Authenticate" in response.headers
    assert door.get("/v1/models", headers={"Authorization": "Bearer k2", "Host": "any.example"}).status_code == 200
    assert door.get("/", headers={"Host": "any.example"}).status_code == 200


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("GET", "/nothing", 404, "unknown_url"),
        ("GET", "/v1/", 404, "unknown_url"),
        ("POST", "/v1/moderations", 404, "unknown_url"),
        ("POST", "/v1/embeddings", 404, "unknown_url"),
        ("PUT", CHAT, 405, "method_not_allowed"),
        ("DELETE", "/v1/models", 405, "method_not_allowed"),
        ("GET", "/v1/models/none", 404, "model_not_found"),
    ],
)
def test_shapes(method: str, path: str, status: int, code: str) -> None:
    """Whatever is asked, an error has OpenAI's four keys, advice on retrying, and a request id."""
    response = client().open(path, method=method)
    assert response.status_code == status
    error = response.get_json()["error"]
    assert set(error) == {"message", "type", "param", "code"}
    assert error["code"] == code
    assert response.headers["x-should-retry"] == "false"
    assert response.headers["x-request-id"].startswith("req_")
    assert ("Allow" in response.headers) == (status == 405)


@pytest.mark.parametrize(
    ("data", "content_type", "status", "words"),
    [
        (b'{"a": ', "application/json", 400, "line 1 column"),
        (b'{"model": "m",\n "messages": [}', "application/json", 400, "line 2 column"),
        (b"[]", "application/json", 400, "object"),
        (b"", "application/json", 400, "JSON"),
        (b'{"a": NaN}', "application/json", 400, "JSON"),
        (b'{"a": "\xff"}', "application/json", 400, "JSON"),
        (b'{"a": "\\ud800"}', "application/json", 400, "JSON"),
        (b"[" * 100_000, "application/json", 400, "JSON"),
        (b"{}", "text/plain", 415, "Content-Type: application/json"),
        (b"{}", "application/x-www-form-urlencoded", 415, "Content-Type: application/json"),
    ],
)
def test_bodies(data: bytes, content_type: str, status: int, words: str) -> None:
    """A body that is no JSON object is refused with the place or the reason."""
    response = client().post(CHAT, data=data, content_type=content_type)
    assert response.status_code == status
    assert words in response.get_json()["error"]["message"]


def test_body_too_large() -> None:
    """Too large a body is a 413 that names the setting."""
    response = client(max_body_bytes=100).post(CHAT, json={**BODY, "x": "a" * 100})
    assert response.status_code == 413
    assert "NIGHTSHIFT_MAX_BODY_BYTES" in response.get_json()["error"]["message"]


def test_redis_away() -> None:
    """With Redis away the client is told to come again."""
    for path, method in ((CHAT, "POST"), ("/v1/jobs", "GET"), ("/v1/events", "GET")):
        response = client().open(path, method=method, json=BODY if method == "POST" else None)
        assert (response.status_code, response.get_json()["error"]["code"]) == (503, "redis_unavailable")
        assert response.headers["x-should-retry"] == "true"
        assert int(response.headers["Retry-After"]) >= 1


def test_bug_of_ours(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    """A bug is a 500 that tells the client nothing but the request's id, under which the log has the traceback."""

    def broken(*_: object) -> None:
        raise RuntimeError("secret detail")

    monkeypatch.setattr("app.openai.model_names.resolve", broken)
    response = client().post(CHAT, json=BODY)
    assert (response.status_code, response.get_json()["error"]["code"]) == (500, "internal_error")
    assert "secret detail" not in response.text
    (record,) = [record for record in caplog.records if record.exc_info]
    assert record.__dict__["request_id"] == response.headers["x-request-id"]


@pytest.mark.parametrize("sent", ["step-7/doc.3:a@b+c=", "", "a b", "a\x7fb", "<b>", "x" * 129, "é"])
def test_request_ids(sent: str) -> None:
    """A client's own id is on its answer, an error too, where it is a sane one; else one of ours is."""
    shown = client().get("/none", headers={"x-request-id": sent}).headers["x-request-id"]
    assert shown == sent if sent.startswith("step") else re.fullmatch("req_[0-9a-f]{32}", shown)


@pytest.mark.parametrize("sent", ["0", "-1", "x", "nan", "inf", "1e9", ""])
def test_bad_timeout(sent: str) -> None:
    """A time that is none is a 400 that names the header."""
    response = client().post(CHAT, json=BODY, headers={"X-Request-Timeout": sent})
    assert response.status_code == 400
    assert response.get_json()["error"]["param"] == "X-Request-Timeout"


def test_ignored_names_are_safe() -> None:
    """A client's field names can't break or forge a header."""
    names = {"a\r\nx-forged: 1": 1, "ü": 1, "good": 1}
    response = client().post(CHAT, json={**BODY, **names, "model": "none"})
    assert response.status_code == 404
    response = client().post(CHAT, json={**BODY, **names})
    assert response.headers["x-nightshift-ignored"] == "good, and 2 more"
    assert "x-forged" not in response.headers


def test_needs_redis_url() -> None:
    """Without a Redis there is no application."""
    with pytest.raises(SettingsError, match="REDIS_URL"):
        create_app(Settings())
