"""The cache of answers: what is found again, whose it is, what is not kept, and how large it gets."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from app import clock
from app.admission import Probes
from app.connection import connect
from app.gate import Closings
from app.jobs.record import CacheUse, JobKind
from app.messages.answer import Answer, ToolCall
from app.openai.accept import accept
from app.openai.responses.accept import accept as accept_response
from app.outcome import IGNORED
from app.settings import Settings
from tests.engine import ScriptedEngine, answer
from tests.integration.jobs.conftest import new_record
from workers import answer_cache, tasks
from workers import run as runs
from workers.answer_cache import BYTES, ENTRIES, ORDER
from workers.run import Publish, Run

if TYPE_CHECKING:
    from redis import Redis

    from app.jobs.store import Jobs
    from app.outcome import Outcome
    from tests.integration.jobs.conftest import Take

SETTINGS = Settings(answer_cache=3600.0)
QUESTION = {"model": "sonnet", "messages": [{"role": "user", "content": "Hello."}]}


class Asker:
    """Asks as a worker does; Claude, if it is asked, gives the next of the answers `one`, `two`, ..."""

    def __init__(self, connection: Redis, jobs: Jobs, take: Take) -> None:
        self.connection, self.jobs, self.take = connection, jobs, take
        self.settings = SETTINGS
        self.asked = 0

    def __call__(self, sent: dict[str, Any] = QUESTION, given: Answer | None = None, **fields: Any) -> Outcome:
        if fields.get("kind") == JobKind.RESPONSE:
            payload = accept_response(sent, self.settings, None).payload  # type: ignore[arg-type]
        else:
            payload = accept(sent, self.settings).payload
        self.asked += 1
        record = replace(new_record(f"chatcmpl-{self.asked}"), model=payload["claude_model"], **fields)
        self.jobs.submit(record, payload)
        lease, claimed = self.take()
        engine = ScriptedEngine(given or answer(f"answer {self.asked}"))
        probes = Probes(self.connection, Closings(None, {}), "w1")
        runs.begin(Run(lease, claimed, self.jobs, probes, self.settings, engine, self.connection))
        try:
            ending = tasks.run_job(record.id)
        finally:
            runs.end()
        assert isinstance(ending, Publish)
        assert bool(engine.asked) is not is_hit(ending.outcome)
        return ending.outcome


@pytest.fixture
def ask(connection: Redis, jobs: Jobs, take: Take) -> Asker:
    return Asker(connection, jobs, take)


def is_hit(outcome: Outcome) -> bool:
    return outcome.headers.get("x-nightshift-cache") == "hit"


def text(outcome: Outcome) -> Any:
    assert outcome.body is not None
    return outcome.body["choices"][0]["message"]["content"]


def test_the_same_request_is_answered_from_the_cache_at_no_cost(ask: Asker) -> None:
    first, second = ask(), ask()
    assert (is_hit(first), is_hit(second)) == (False, True)
    assert text(second) == text(first) == "answer 1"
    assert first.body is not None and second.body is not None
    assert (second.body["id"], second.body["model"]) == ("chatcmpl-2", first.body["model"])
    # Its shape is OpenAI's, and nothing was used.
    assert second.body["usage"].keys() == first.body["usage"].keys()
    assert second.body["usage"]["total_tokens"] == 0 < first.body["usage"]["total_tokens"]
    assert (second.cost_usd, second.way, second.source) == (0, "", "cache")


def test_it_is_off_unless_it_is_set(ask: Asker) -> None:
    ask.settings = Settings()
    assert not is_hit(ask()) and not is_hit(ask())
    assert ask.connection.exists(ENTRIES, ORDER, BYTES) == 0


@pytest.mark.parametrize(
    "other",
    [
        {"temperature": 0.5},
        {"model": "haiku"},
        {"max_tokens": 7},
        {"messages": [{"role": "user", "content": "Hello!"}]},
        {"messages": [{"role": "system", "content": ""}, {"role": "user", "content": "Hello."}]},
        {"stop": ["x"]},
        {"reasoning_effort": "high"},
    ],
)
def test_another_request_is_another(other: dict[str, Any], ask: Asker) -> None:
    ask()
    assert not is_hit(ask({**QUESTION, **other}))


def test_what_does_not_change_the_answer_makes_no_difference(ask: Asker) -> None:
    ask()
    assert is_hit(ask({"stream": True, "metadata": {"step": "7"}, "user": "me", **QUESTION}, streams=True))
    assert is_hit(ask({**QUESTION, "model": "gpt-4o"}))


def test_nobody_gets_anothers_answer(ask: Asker) -> None:
    ask(owner="key_1")
    assert not is_hit(ask(owner="key_2"))
    assert not is_hit(ask())
    assert is_hit(ask(owner="key_1"))


def test_simulated_answers_and_real_ones_are_kept_apart(ask: Asker) -> None:
    ask.settings = replace(SETTINGS, offline=True)
    ask()
    assert is_hit(ask())
    ask.settings = SETTINGS
    assert not is_hit(ask())


def test_an_entry_that_is_not_exactly_its_own_is_none(ask: Asker) -> None:
    """Whatever came to be under its name: it has its owner and another digest of the request."""
    ask()
    ((name, entry),) = ask.connection.hgetall(ENTRIES).items()
    for field in ("owner", "digest"):
        ask.connection.hset(ENTRIES, name, json.dumps({**json.loads(entry), field: "another"}))
        assert not is_hit(ask(cache=""))


def test_an_answer_is_kept_for_so_long_and_no_longer(ask: Asker) -> None:
    ask()
    ((name, entry),) = ask.connection.hgetall(ENTRIES).items()
    kept_at = json.loads(entry)["kept_at"]
    ask.connection.hset(ENTRIES, name, json.dumps({**json.loads(entry), "kept_at": kept_at - 3500}))
    assert is_hit(ask())
    ask.connection.hset(ENTRIES, name, json.dumps({**json.loads(entry), "kept_at": kept_at - 3700}))
    assert not is_hit(ask())
    # All of it ends with the youngest.
    assert all(0 < ask.connection.ttl(key) <= 3600 for key in (ENTRIES, ORDER, BYTES))


@pytest.mark.parametrize(
    "cut",
    [
        answer("cut", usage={"input_tokens": 1, "output_tokens": 1}),
        Answer(text="cut", stop_reason="max_tokens", usage={}, cost_usd=0.1, model="claude-x"),
        Answer(text="no", stop_reason="refusal", usage={}, cost_usd=0.1, model="claude-x"),
    ],
)
def test_only_whole_answers_are_kept(cut: Answer, ask: Asker) -> None:
    assert not is_hit(ask(given=cut))
    assert is_hit(ask()) is (cut.stop_reason == "end_turn")


def test_an_error_is_not_kept(ask: Asker) -> None:
    shaped = {
        **QUESTION,
        "response_format": {"type": "json_schema", "json_schema": {"name": "a", "schema": {"type": "object"}}},
    }
    asked = ask.settings
    ask.settings = replace(asked)
    failed = ask(shaped, max_sends=1)
    assert failed.error is not None
    assert ask.connection.exists(ENTRIES) == 0


def test_calls_are_kept(ask: Asker) -> None:
    tool = {"type": "function", "function": {"name": "look", "parameters": {"type": "object"}}}
    sent = {**QUESTION, "tools": [tool]}
    called = replace(answer(""), stop_reason="tool_use", tool_calls=(ToolCall("toolu_1", "look", "{}"),))
    first = ask(sent, given=called)
    again = ask(sent)
    assert is_hit(again)
    assert first.body is not None and again.body is not None
    assert again.body["choices"] == first.body["choices"]


def test_what_a_model_was_asked_without_is_named_again(ask: Asker) -> None:
    first = ask()
    assert IGNORED not in first.headers
    ((name, entry),) = ask.connection.hgetall(ENTRIES).items()
    ask.connection.hset(ENTRIES, name, json.dumps({**json.loads(entry), "ignored": "temperature"}))
    assert ask().headers[IGNORED] == "temperature"


def test_a_request_can_say_no(ask: Asker) -> None:
    ask()
    assert not is_hit(ask(cache=CacheUse.OFF))
    assert text(ask()) == "answer 1"
    # Asked anew, it takes the place of the first.
    assert not is_hit(ask(cache=CacheUse.REFRESH))
    assert text(ask()) == "answer 4"


def test_choices_are_neither_kept_nor_found(ask: Asker) -> None:
    """Several answers to one request are meant to be different ones."""
    ask()
    payload = accept(QUESTION, SETTINGS).payload
    ask.jobs.submit(replace(new_record("chatcmpl-9-0"), parent="chatcmpl-9"), payload)
    lease, claimed = ask.take()
    probes = Probes(ask.connection, Closings(None, {}), "w1")
    run = Run(lease, claimed, ask.jobs, probes, SETTINGS, ScriptedEngine(), ask.connection)
    assert tasks._cached(run, payload) is None


def test_a_response_and_a_chat_completion_that_ask_the_same_share_the_answer(ask: Asker) -> None:
    ask()
    sent = {"model": "sonnet", "input": "Hello."}
    found = ask(sent, kind=JobKind.RESPONSE)
    assert is_hit(found)
    assert found.body is not None
    assert found.body["output"][0]["content"][0]["text"] == "answer 1"
    assert found.body["usage"]["total_tokens"] == 0


def test_beyond_its_bytes_the_oldest_go(ask: Asker, monkeypatch: pytest.MonkeyPatch) -> None:
    ask.settings = replace(SETTINGS, answer_cache_bytes=3_000)
    now = clock.now()
    for number in range(20):
        monkeypatch.setattr(clock, "now", lambda at=now + number: at)
        ask({**QUESTION, "messages": [{"role": "user", "content": str(number)}]})
        kept = ask.connection.hgetall(ENTRIES)
        size = sum(len(name) + len(entry) for name, entry in kept.items())
        assert int(ask.connection.get(BYTES) or 0) == size <= 3_000
        assert ask.connection.zcard(ORDER) == len(kept)
    assert len(kept) >= 3
    assert is_hit(ask({**QUESTION, "messages": [{"role": "user", "content": "19"}]}))
    assert not is_hit(ask({**QUESTION, "messages": [{"role": "user", "content": "0"}]}))


def test_one_that_is_kept_again_is_counted_once(ask: Asker) -> None:
    for _ in range(3):
        ask(cache=CacheUse.REFRESH)
    ((name, entry),) = ask.connection.hgetall(ENTRIES).items()
    assert int(ask.connection.get(BYTES) or 0) == len(name) + len(entry)


def test_a_large_answer_pushes_out_no_others(ask: Asker) -> None:
    ask.settings = replace(SETTINGS, answer_cache_bytes=3_000)
    ask()
    ask({**QUESTION, "max_tokens": 9}, given=answer("x" * 2_000))
    assert is_hit(ask())


def test_with_redis_away_claude_is_asked(ask: Asker) -> None:
    ask()
    away = connect("redis://127.0.0.1:1")
    found = answer_cache.CachedAnswer(away, SETTINGS, new_record(), accept(QUESTION, SETTINGS).payload)
    assert found.find() is None
    found.keep(ask())
