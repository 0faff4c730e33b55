"""What is said of batches: looked at as the maintenance does, and read out of the outbox as what sends it does."""

from __future__ import annotations

import json
import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from app import clock
from app.batches.record import KEEP_SECONDS, WITH_URLS, urls_key
from app.errors import ErrorReply
from app.gate import Cause, Gate
from app.notices import outbox, scan
from app.notices.outbox import NoticeOutbox
from app.notices.rules import SETTLED, Kind
from app.notices.scan import Scan
from app.notices.words import Message
from tests.integration.batches.conftest import line

if TYPE_CHECKING:
    from app.notices.outbox import Notice
    from tests.integration.batches.conftest import Night

URL = "json://127.0.0.1/a-secret"
MINE = "tgram://another-secret/1"


@pytest.fixture(autouse=True)
def _no_settling(monkeypatch: pytest.MonkeyPatch) -> None:
    """Holds are said at once; how long they have to last is in the unit tests."""
    monkeypatch.setattr("app.notices.rules.SETTLED", dict.fromkeys(SETTLED, 0.0))


class Watcher:
    """Somebody who looks, and what they say."""

    def __init__(self, night: Night, **settings: Any) -> None:
        self.settings = replace(night.settings, notify=(URL,), notify_from_clients=("tgram://",), **settings)
        night.batches._settings = self.settings
        self.scan = Scan(night.connection, self.settings)
        self.outbox = NoticeOutbox(night.connection)
        self.scan.look()

    def says(self) -> list[Notice]:
        """Now, sent at once."""
        self.scan.look()
        found = []
        while (notice := self.outbox.claim()) is not None:
            found.append(notice)
            self.outbox.end(notice)
        return found


def test_an_end_is_said_once_whoever_looks(night: Night) -> None:
    """By the operator's URL, with numbers and the file's name, and without a word of a prompt or an answer."""
    first, second = Watcher(night), Watcher(night)
    batch = night.start([line("a", messages=[{"role": "user", "content": "prompt-text"}])])
    night.answer()
    assert night.look(batch).status.is_final
    (notice,) = [*first.says(), *second.says(), *first.says()]
    assert (notice.kind, notice.batch_ids, notice.target) == (Kind.ENDED, [batch.id], outbox.of_settings(URL))
    assert notice.title == f"night.jsonl ({batch.id}) is done" and "1 of 1 answered" in notice.text
    everything = "".join(str(notice))
    assert "prompt-text" not in everything and "secret" not in everything
    assert first.outbox.url(notice, first.settings) == URL
    assert first.outbox.url(notice, replace(first.settings, notify=())) is None


def test_what_was_over_before_is_not_said(night: Night) -> None:
    """Who begins to want messages, or has not looked for days, gets none about old batches."""
    batch = night.start([line("a")])
    night.answer()
    night.look(batch)
    watcher = Watcher(night)
    assert watcher.says() == []
    night.connection.delete(f"nightshift:notices:said:{batch.id}")
    night.connection.set("nightshift:notices:cursor", clock.now() - 3 * 86400)
    assert watcher.says() == []


def test_an_end_before_anybody_looked_is_said_to_the_batch_s_own_urls(night: Night) -> None:
    """It was over before the first look, or the first in days: whoever gave URLs waits for it."""
    watcher = Watcher(night)
    for cursor in (None, clock.now() - 3 * 86400):
        batch = night.start([line("a")], notify=(MINE,))
        night.answer()
        assert night.look(batch).status.is_final
        night.connection.delete("nightshift:notices:cursor", "nightshift:notices:begun")
        if cursor is not None:
            night.connection.set("nightshift:notices:cursor", cursor)
        watcher.settings = replace(watcher.settings, notify=())
        watcher.scan = Scan(night.connection, watcher.settings)
        watcher.scan.look_if_due()
        (notice,) = watcher.says()
        assert (notice.kind, notice.target) == (Kind.ENDED, outbox.of_batch(batch.id, 0))
        assert watcher.says() == [] and not night.connection.exists(WITH_URLS)


def test_what_holds_all_is_said_once_for_all(night: Night) -> None:
    """Two batches at a usage limit are one message, with the reset; when it is over and comes again soon, none."""
    watcher = Watcher(night)
    ids = {night.start([line("a")]).id for _ in range(2)}
    gate = Gate(night.connection)
    gate.close(Cause.USAGE_LIMIT, clock.now() + 7200, "limit")
    (notice,) = watcher.says()
    assert set(notice.batch_ids) == ids and notice.kind is Kind.HELD
    assert notice.title.startswith("2 batches wait: Claude's usage limit is reached, until ")
    gate.open()
    (notice,) = watcher.says()  # another one: here is nobody to do the work
    assert notice.title == "2 batches wait: no worker is running"
    gate.close(Cause.USAGE_LIMIT, clock.now() + 7200, "limit")
    assert watcher.says() == []


def test_a_batch_s_own_urls(night: Night) -> None:
    """Its maker gets what is about it, holds of all alike too; the URL is in no object, and goes with the batch."""
    watcher = Watcher(night)
    with pytest.raises(ErrorReply, match="NIGHTSHIFT_NOTIFY_FROM_CLIENTS"):
        night.start([line("a")], notify=("json://10.0.0.1",))
    with pytest.raises(ErrorReply, match="own field"):
        night.start([line("a")], metadata={"notify": MINE})
    batch = night.start([line(str(number)) for number in range(3)], notify=(MINE,), metadata={"try": "1"})
    assert "secret" not in json.dumps(batch.to_hash())
    night.answer()
    batch = night.look(batch)
    assert batch.held == "tried"
    said = watcher.says()
    assert {notice.target for notice in said} == {outbox.of_settings(URL), outbox.of_batch(batch.id, 0)}
    assert all(notice.kind is Kind.HELD and "nightshift batch continue" in notice.text for notice in said)
    (own,) = (notice for notice in said if notice.target.startswith("batch_"))
    assert watcher.outbox.url(own, watcher.settings) == MINE
    night.batches.cancel(batch.id)
    assert night.look(batch).status.is_final
    assert [notice.kind for notice in watcher.says()] == [Kind.ENDED, Kind.ENDED]
    assert not night.connection.exists(WITH_URLS)
    assert 0 < night.connection.ttl(urls_key(batch.id)) < 2 * 86400
    night.connection.zadd("nightshift:batches:retention", {batch.id: clock.now() - 1})
    night.batches.remove_old(clock.now())
    assert not night.connection.exists(urls_key(batch.id))


def test_nobody_looks_where_nobody_wants_messages(night: Night) -> None:
    """It costs a look at one key every few seconds."""
    idle = Scan(night.connection, night.settings)
    idle.look_if_due()
    assert not night.connection.keys("nightshift:notices*")


def test_a_digest_each_morning(night: Night, monkeypatch: pytest.MonkeyPatch) -> None:
    """Once after its time, with what ran within the day; not when somebody has just begun to look, and not hours late."""
    moment = 1_800_000_000.0  # 08:00 UTC
    monkeypatch.setattr("app.clock.now", lambda: moment)
    monkeypatch.setattr(scan, "KEEP_SECONDS", KEEP_SECONDS)
    watcher = Watcher(night, notify_digest="09:00 UTC")
    assert watcher.says() == []
    batch = night.start([line("a"), line("b")])
    night.answer()
    night.answer()
    night.look(batch)
    assert [notice.kind for notice in watcher.says()] == [Kind.ENDED]
    moment += 3601
    (digest,) = watcher.says()
    assert digest.kind is Kind.DIGEST and digest.title == "Nightshift: 1 of 1 batch done, 2 answers, 0 failed"
    assert "2 of 2 answered" in digest.text
    assert watcher.says() == []
    moment += 86400 * 2 + 7 * 3600  # 16:00, two days on: too late for this one, and nothing ran
    assert watcher.says() == []


def test_a_message_that_is_refused_is_tried_again(night: Night, monkeypatch: pytest.MonkeyPatch) -> None:
    """After growing pauses, for a day; one whose process died after a while; one that waits for an hour only."""
    moment = time.time()
    monkeypatch.setattr("app.clock.now", lambda: moment)
    watcher = Watcher(night)
    batch = night.start([line("a")])
    night.answer()
    night.look(batch)
    watcher.scan.look()
    pauses, attempts = [], []
    while (notice := watcher.outbox.claim()) is not None:
        assert watcher.outbox.claim() is None  # it is under way
        attempts.append(notice.attempt)
        if (pause := watcher.outbox.failed(notice)) is None:
            break
        pauses.append(pause)
        moment += pause
    assert pauses[:5] == [30, 120, 600, 1800, 3600] and 80_000 < sum(pauses) < 86_400
    assert attempts == list(range(1, len(attempts) + 1))
    assert not night.connection.keys("nightshift:notice:*") and not night.connection.exists(outbox.DUE)

    pipe = night.connection.pipeline()
    outbox.add(pipe, Kind.HELD, Message("t", "x"), "settings:x", [])
    pipe.execute()
    assert watcher.outbox.claim() is not None
    moment += outbox.LEASE_SECONDS
    died = watcher.outbox.claim()
    assert died is not None and died.attempt == 2 and died.give_up_at - moment < 3600
