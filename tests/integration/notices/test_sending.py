"""Messages as services get them: a real HTTP receiver, ntfy's own protocol, a real mail server."""

from __future__ import annotations

import json
import logging
from typing import TYPE_CHECKING, Any

import pytest
from redis import Redis

from app.connection import texts
from app.notices import outbox
from app.notices.outbox import NoticeOutbox
from app.notices.rules import Kind
from app.notices.words import Message
from app.settings import Settings
from ops.cli import main
from tests.integration.notices import smtp
from tests.integration.webhooks import receiver
from workers.notices import __main__ as program
from workers.notices import reports, sending

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

TOKEN = "a-token-nobody-may-see"


@pytest.fixture(autouse=True)
def _loud_again() -> Iterator[None]:
    """What is quiet in a process of its own is so for no other test."""
    loggers = [logging.getLogger(name) for name in sending._LOUD]
    before = [(one.level, one.propagate, list(one.handlers)) for one in loggers]
    yield
    for one, (level, propagate, handlers) in zip(loggers, before, strict=True):
        one.level, one.propagate, one.handlers = level, propagate, handlers


@pytest.fixture
def hook() -> Iterator[receiver.Receiver]:
    with receiver.running() as running:
        yield running


@pytest.fixture
def connection(redis_url: str) -> Iterator[Redis]:
    with Redis.from_url(redis_url) as client:
        yield client


def test_http_ntfy_and_mail(hook: receiver.Receiver, tmp_path: Path) -> None:
    """Title and text arrive as they are; a file where the service takes one."""
    text = "5 of 5 answered\n\\n stays, and <b> too: ü"
    report = tmp_path / "batch_1.html"
    report.write_text("<p>the night</p>")
    with smtp.running() as mail:
        address = f"mailto://user:{TOKEN}@127.0.0.1:{mail.port}?mode=insecure&from=n@example.com&to=me@example.com"
        urls = [f"json://127.0.0.1:{hook.port}/{TOKEN}", f"ntfy://127.0.0.1:{hook.port}/{TOKEN}", address]
        found = [sending.send(url, "reviews.csv is done", text, [report], tone="success") for url in urls]
        assert found == [sending.Sent("sent")] * 3
    as_json = json.loads(hook.received[0].body)
    assert (as_json["title"], as_json["message"], as_json["type"]) == ("reviews.csv is done", text, "success")
    assert [one["filename"] for one in as_json["attachments"]] == ["batch_1.html"]
    assert hook.received[1].path.startswith(f"/{TOKEN}?filename=batch_1.html&title=reviews.csv+is+done&message=5+of+5")
    assert "github" not in str(hook.received)  # no picture is fetched from anywhere
    (message,) = mail.messages
    assert "reviews.csv is done" in message["subject"] and message["to"] == "me@example.com"
    assert "5 of 5 answered" in str(message.get_body())
    (attached,) = message.iter_attachments()
    assert attached.get_filename() == "batch_1.html"


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (receiver.status(429, retry_after="1"), sending.Sent("refused", "the service answered 429")),
        (receiver.status(500), sending.Sent("refused", "the service answered 500")),
    ],
)
def test_what_is_refused(hook: receiver.Receiver, answer: receiver.Answer, expected: sending.Sent) -> None:
    """With the status alone, and after one try: when to try again is decided here."""
    hook.script = [answer]
    assert sending.send(f"json://127.0.0.1:{hook.port}/{TOKEN}", "t", "x") == expected
    assert len(hook.received) == 1


def test_a_service_that_is_silent(hook: receiver.Receiver) -> None:
    """Nobody knows whether it has the message."""

    def wait(handler: Any) -> None:
        hook.over.wait(30)
        receiver.status(200)(handler)

    hook.script = [wait]
    sent = sending.send(f"json://127.0.0.1:{hook.port}/?cto=20&rto=20", "t", "x", seconds=0.3)
    assert sent.outcome == "unknown"


def test_nothing_of_a_url_is_said(caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]) -> None:
    """Not in an error, nor in the log at its loudest."""
    logging.getLogger("apprise").setLevel(logging.DEBUG)
    sending.quiet()
    with caplog.at_level(logging.DEBUG):
        sent = sending.send(f"json://127.0.0.1:9/{TOKEN}", "t", "x")
        assert sent.outcome == "refused"
        with pytest.raises(sending.NotifyError) as error:
            sending.send(f"no-such-service://{TOKEN}", "t", "x")
        logging.getLogger("httpx").warning("GET https://example.com/%s", TOKEN)
    assert TOKEN not in caplog.text + sent.reason + str(error.value) + "".join(capfd.readouterr())
    assert logging.getLogger("apprise").level == logging.INFO


def test_the_process_sends_what_is_due(
    hook: receiver.Receiver,
    connection: Redis,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: Any,
) -> None:
    """Each message ends as it should: sent, put off, not repeated, dropped; and the report goes along where it is wanted."""
    url = f"json://127.0.0.1:{hook.port}/{TOKEN}"
    settings = Settings(data_dir=tmp_path, notify=(url,), notify_report=True)
    killed = tmp_path / "workers" / "notice_of-one-that-was-killed"
    killed.mkdir(parents=True)

    def page(_: Any, batch_ids: Any, directory: Path) -> list[Path]:
        path = directory / f"{batch_ids[0]}.html"
        path.write_text("<p>")
        return [path]

    monkeypatch.setattr(reports, "fetch", page)
    pipe = connection.pipeline()
    for kind, target in ((Kind.ENDED, outbox.of_settings(url)), (Kind.HELD, "settings:gone")):
        outbox.add(pipe, kind, Message(f"{kind} message", "x"), target, ["batch_1"])
    pipe.execute()
    box = NoticeOutbox(connection)
    caplog.set_level(logging.INFO)
    hook.script = [receiver.status(503)]
    while (notice := box.claim()) is not None:
        program._send(notice, box, settings)
    assert [json.loads(one.body)["attachments"][0]["filename"] for one in hook.received] == ["batch_1.html"]
    (left,) = texts(connection.zrange(outbox.DUE, 0, -1))  # tried again later
    connection.zadd(outbox.DUE, {left: 0})
    monkeypatch.setattr(program, "start", lambda *_: ("notices", settings, connection))
    assert program.main([]) == 0
    assert len(hook.received) == 2 and not connection.exists(outbox.DUE)
    assert not [path for path in killed.parent.iterdir() if path.is_dir()]
    assert "tried again in 30 s" in caplog.text and "dropped" in caplog.text and TOKEN not in caplog.text


def test_without_the_api_there_is_no_report(tmp_path: Path) -> None:
    """The message goes all the same."""
    assert reports.fetch(Settings(port=9), ["batch_1"], tmp_path) == []


def test_a_trial_message(hook: receiver.Receiver, monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    """`nightshift notify test` says of each URL what became of it, and shows none."""
    unknown = f"no-such-service://{TOKEN}"
    monkeypatch.setenv("NIGHTSHIFT_NOTIFY", f"json://127.0.0.1:{hook.port}/{TOKEN} {unknown}")
    assert main.main(["notify", "test"]) == 1
    said = capsys.readouterr()
    assert said.out.splitlines()[0] == "json://: sent" and "does not understand" in said.out
    assert TOKEN not in said.out + said.err
    assert json.loads(hook.received[0].body)["title"] == "Nightshift: a test"
    monkeypatch.setattr("ops.notify.find_spec", lambda _: None)
    assert main.main(["notify", "test"]) == 2
    assert "claude-nightshift[notify]" in capsys.readouterr().err
    monkeypatch.delenv("NIGHTSHIFT_NOTIFY")
    assert main.main(["notify", "test"]) == 2
