"""A distinct secret in each setting that takes one, and in each login, of a whole stack; none of them may be seen anywhere.

The stack is as exposed ones are: its Redis is reached by TLS, as a user with the rights that docs/deploy.md names.
"""

from __future__ import annotations

import base64
import shutil
import subprocess
import sys
from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

import psutil
import pytest

from app.secret_values import secrets_of, without
from app.settings import Settings
from chaos.stack import ROOT
from tests.acceptance.stack import Stack, running
from tests.acceptance.test_batches import line, start, wait
from tests.integration.webhooks import receiver
from tests.redis_server import wait_until
from tests.secure_redis import SecureRedis

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from openai.types import Batch

    from simulator.process import RunningSimulator

#: each with what a URL writes in another way
REDIS_PASSWORD = "planted-redis-8d1f/x"
_WEBHOOK = [base64.b64encode(f"planted-webhook-secret-{n:03}".encode()).decode() for n in (1, 2)]
_KEYS = ["planted-first-key-5e21", "planted-second-key-5e22"]
#: the value of each setting that is a secret, as it is in the environment, and what nobody may see of it. `{redis}`: the server's URL
PLANTED: Mapping[str, tuple[str, list[str]]] = {
    "redis_url": ("{redis}", [REDIS_PASSWORD, REDIS_PASSWORD.replace("/", "%2F")]),
    "api_keys": (",".join(_KEYS), _KEYS),
    "webhook_secret": (" ".join(f"whsec_{one}" for one in _WEBHOOK), _WEBHOOK),
    "notify": (
        "json://user:planted-notify-4c01@127.0.0.1:9/planted-notify-4c02?x-key=planted-notify-4c03",
        ["planted-notify"],
    ),
    # Nobody listens there, which is said in the log.
    "otlp_endpoint": ("http://user:planted-otlp-77aa@127.0.0.1:9/?token=planted-otlp-77ab", ["planted-otlp-77"]),
}
#: what else people put into the environment, logins and addresses with logins; and what nobody may see of each
_OTHERS: Mapping[str, tuple[str, str]] = {
    "ANTHROPIC_API_KEY": ("planted-anthropic-3b41", "planted-anthropic"),
    "AWS_SECRET_ACCESS_KEY": ("planted-aws-3b43", "planted-aws"),
    "AWS_BEARER_TOKEN_BEDROCK": ("planted-bedrock-3b45", "planted-bedrock"),
    "AZURE_STORAGE_ACCOUNT_KEY": ("planted-azure-3b44", "planted-azure"),
    "HTTPS_PROXY": ("http://user:planted-proxy-3b46@127.0.0.1:9", "planted-proxy"),
    "OTEL_EXPORTER_OTLP_HEADERS": ("authorization=planted-header-3b47", "planted-header"),
}
#: in the address that a client gives for a callback
_CALLBACK = "planted-callback-99c1"
ALL = [
    *(secret for _, secrets in PLANTED.values() for secret in secrets),
    *(secret for _, secret in _OTHERS.values()),
    _CALLBACK,
]
#: a setting with such a word in its name is a secret, or one of the others
_SOUNDS = ("key", "secret", "token", "password", "url", "endpoint", "notify", "storage", "callback", "hook")
_NONE = {
    *("callback_allowed_hosts", "callback_timeout_seconds", "callback_workers"),
    # It refuses a login in its URL, and has variables for that.
    "storage",
    *("notify_digest", "notify_failed_share", "notify_from_clients", "notify_links", "notify_report"),
}


def test_each_setting_that_may_have_a_secret_is_known_as_one() -> None:
    """It is looked for below, is in no repr, and in no error; one whose name sounds like it has to say that it is one, or be listed here."""
    secret = {f.name for f in fields(Settings) if f.metadata.get("secret")}
    assert secret == set(PLANTED), "plant a secret in each setting that is one"
    sounding = {f.name for f in fields(Settings) if any(word in f.name for word in _SOUNDS)}
    assert sounding - secret == _NONE, "say in its metadata that it is a secret, or here that it is none"
    assert not [f.name for f in fields(Settings) if f.name in secret and f.repr]


def test_secrets_are_struck_out_of_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    """As they are and as a URL writes them; hosts, ports and what else people need to find what is wrong stay."""
    for name, (value, _) in _OTHERS.items():
        monkeypatch.setenv(name, value)
    values = [value for value, _ in _OTHERS.values()]
    url = f"redis://u:{REDIS_PASSWORD.replace('/', '%2F')}@host:6379/0"
    settings = Settings(redis_url=url, api_keys=tuple(_KEYS))
    text = f"{url} {REDIS_PASSWORD} {' '.join(values)} {' '.join(_KEYS)} redis://host:6379/0"
    line = without(secrets_of(settings), text)
    assert "planted" not in line
    assert line.startswith("redis://u:***@host:6379/0 ***")
    assert "http://user:***@127.0.0.1:9" in line
    notify = "pover://planted-user@planted-token-1/planted-device"
    assert "planted" not in without(secrets_of(replace(settings, webhook_secret=notify)), f"{notify} planted-token-1")
    assert "planted" not in repr(settings)


@pytest.fixture(scope="module")
def secure_redis() -> Iterator[SecureRedis]:
    has_tls = all(map(shutil.which, ("redis-server", "openssl")))
    found = SecureRedis(REDIS_PASSWORD, has_tls)
    try:
        found.start()
        yield found
    finally:
        found.close()


@pytest.fixture(scope="module")
def stack(secure_redis: SecureRedis, _simulator_for_session: RunningSimulator) -> Iterator[Stack]:
    _simulator_for_session.control.clear()
    of_settings = {
        f.metadata.get("env", f"NIGHTSHIFT_{f.name.upper()}"): PLANTED[f.name][0]
        for f in fields(Settings)
        if f.name in PLANTED
    }
    settings = {name: value.replace("{redis}", secure_redis.url) for name, value in of_settings.items()}
    settings |= {name: value for name, (value, _) in _OTHERS.items()}
    settings |= {"ANTHROPIC_BASE_URL": _simulator_for_session.base_url, "NO_PROXY": "127.0.0.1"}
    settings |= {"NIGHTSHIFT_CALLBACK_ALLOWED_HOSTS": "127.0.0.1", "NIGHTSHIFT_LOG_LEVEL": "debug"}
    yield from running(Stack(settings=settings, workers=1, offline=False, key=_KEYS[0]))


def nightshift(stack: Stack, *arguments: str) -> str:
    """What a command says, in the stack's own environment."""
    argv = [sys.executable, "-m", "ops.cli.main", *arguments]
    env = {**stack._environment(), "NIGHTSHIFT_URL": stack.url, "NIGHTSHIFT_API_KEY": _KEYS[1]}
    done = subprocess.run(argv, cwd=ROOT, env=env, capture_output=True, text=True, check=False)
    return done.stdout + done.stderr


def seen(where: str, text: str | bytes) -> list[str]:
    """Which secrets are in it, and where that is."""
    shown = text.decode(errors="replace") if isinstance(text, bytes) else text
    return [f"{secret} in {where}" for secret in ALL if secret in shown or secret in unquote(shown)]


@dataclass(frozen=True)
class Done:
    """What was asked: a job, one whose callback goes nowhere, and a batch."""

    job: str
    lost: str
    batch: Batch


@pytest.fixture(scope="module")
def done(stack: Stack) -> Done:
    """A chat, a stream, callbacks, a batch, a key with a name, spans that nobody takes, and a key where no key belongs."""
    with receiver.running() as hook:
        job = stack.submit("Hello.", callback_url=hook.url(f"/hook?token={_CALLBACK}"))
        lost = stack.submit("Hello.", callback_url=f"http://127.0.0.1:9/{_CALLBACK}")
        batch = start(stack, [line("1"), line("2")])
        body = {"model": "sonnet", "messages": [{"role": "user", "content": "Hello."}], "stream": True}
        assert "[DONE]" in stack.http("POST", "/v1/chat/completions", body).body
        stack.wait_for(job)
        stack.wait_for(lost)
        hook.wait_for(1)
    assert stack.http("POST", "/v1/keys", {"name": "reports"}).status in (200, 201)
    assert stack.http("POST", "/v1/none", {}, {"x-request-id": _KEYS[1]}).status == 404
    batch = wait(stack, batch.id)
    assert batch.status == "completed"
    wait_until(lambda: "[TRACING]" in stack.log.read_text(), "word of the spans that nobody takes")
    return Done(job, lost, batch)


def test_it_needs_no_more_rights(done: Done, secure_redis: SecureRedis) -> None:
    """Of all that was done, Redis has refused nothing to the user that docs/deploy.md makes."""
    assert done.batch.request_counts
    assert secure_redis.refused() == []


def test_no_secret_is_seen_anywhere(stack: Stack, done: Done, secure_redis: SecureRedis) -> None:
    """In no log line, process list, page, metric, answer, error, command's output, key or value of Redis, or file."""
    found = in_processes(stack) + in_answers(stack, done) + in_redis(secure_redis) + in_files(stack)
    for command in (["status"], ["keys", "list"], ["backup", "b.tgz"]):
        found += seen(f"nightshift {command[0]}", nightshift(stack, *command))
    secure_redis.stop()
    assert stack.http("GET", "/v1/jobs").status == 503
    found += seen("the answer without Redis", str(stack.http("GET", "/v1/jobs").body))
    found += seen("nightshift doctor", nightshift(stack, "doctor", "--no-request"))
    secure_redis.start()
    log = stack.log.read_text()
    assert "request_id=***" in log
    found += seen("the log", log)
    assert not found


def in_processes(stack: Stack) -> list[str]:
    """What `ps` shows to everybody."""
    (supervisor,) = [psutil.Process(stack.process.pid)] if stack.process else []
    every = [supervisor, *stack.processes()]
    assert [one for one in stack.claude_processes() if one in every]
    return [one for p in every for one in seen(f"ps, {p.name()}", f"{p.name()} {' '.join(p.cmdline())}")]


def in_answers(stack: Stack, done: Done) -> list[str]:
    """Every page and list there is, and refusals."""
    paths: dict[str, Any] = stack.http("GET", "/openapi.json").body["paths"]
    gets = {path for path, methods in paths.items() if "get" in methods and "{" not in path} - {"/page/live"}
    assert {"/", "/metrics", "/health", "/v1/jobs", "/v1/keys", "/openapi.json"} <= gets
    gets |= {f"/v1/jobs/{done.lost}", f"/v1/batches/{done.batch.id}", f"/batches/{done.batch.id}", "/rq/"}
    gets |= {f"/v1/files/{done.batch.output_file_id}/content"}
    found = []
    for path in sorted(gets):
        reply = stack.http("GET", path)
        assert reply.status < 500, (path, reply)
        shown = str((reply.body, dict(reply.headers)))
        # Who asks may see the address that it gave.
        found += seen(path, shown.replace(_CALLBACK, "") if path.startswith("/v1/") else shown)
    for sent in (f"Bearer {_KEYS[0]}x", f"Basic {_KEYS[0]}", ""):
        reply = stack.http("GET", "/v1/jobs", headers={"Authorization": sent})
        assert reply.status == 401
        found += seen("the answer to a wrong key", str(reply.body))
    return found


def in_redis(server: SecureRedis) -> list[str]:
    """Names of keys and of clients, and all that is kept; where a callback goes is kept with its job."""
    with server.admin as admin:
        found = seen("CLIENT LIST", str(admin.client_list()))
        for key in admin.scan_iter(count=1000):
            found += seen("a name in Redis", key)
            found += [one for one in seen(f"Redis' {key!r}", admin.dump(key) or b"") if not one.startswith(_CALLBACK)]
    return found


def in_files(stack: Stack) -> list[str]:
    """Of the data dir: names and bytes."""
    files = [path for path in stack.data_dir.rglob("*") if path.is_file()]
    assert files
    return [one for path in files for one in seen(str(path), f"{path} {path.read_text(errors='replace')}")]
