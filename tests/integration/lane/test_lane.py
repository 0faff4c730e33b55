"""A batch's lines by way of Message Batches, against the simulated API: the same files as by any way, and nothing sent twice."""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import httpx2
import pytest

from app import clock
from app.batches.feeder import Feeder
from app.batches.parts import feeding
from app.batches.record import batch_key
from app.batches.storage import names
from app.gate import Cause, Gate, read_closings
from app.messages import to_claude
from app.prices import price_of
from app.scopes import Scope
from app.ways import Way
from tests.integration.batches.conftest import line
from workers.lane import composing, watching
from workers.messages_api.body import body_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from app.batches.record import BatchRecord
    from tests.integration.lane.conftest import Parts

ONLY = {"way": "batches"}
SCHEMA = {
    "type": "json_schema",
    "json_schema": {
        "name": "n",
        "schema": {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]},
    },
}


def lines(count: int, **body: Any) -> list[dict[str, Any]]:
    return [line(f"line {n}", **body) for n in range(count)]


def answered(parts: Parts, batch: BatchRecord) -> list[str]:
    return [one["custom_id"] for one in parts.output(batch)]


def numbers(parts: Parts) -> Counter[str]:
    """How often each line was sent, in whichever part."""
    return Counter(one.split("-")[2] for one in parts.sent())


def spent_usd(parts: Parts) -> float:
    """By this way, as its cap counts it."""
    (by_day,) = parts.connection.keys("nightshift:spent:batches:????-??-??")
    return int(parts.connection.hget(by_day, "micro_usd") or 0) / 1_000_000


def test_a_batch_from_file_to_output(parts: Parts) -> None:
    """Lines are sent as one message batch under ids of our own, and are in the files, counted, with nothing of them left."""
    batch = parts.until(parts.start(lines(3)))
    assert (batch.completed, batch.failed, batch.unrun) == (3, 0, 0)
    assert answered(parts, batch) == ["line 0", "line 1", "line 2"]
    hex_id = batch.id.removeprefix("batch_")
    assert parts.sent() == [f"{hex_id}-0-{n}-0" for n in range(3)]
    assert [one.way for one in parts.line_stats(batch)] == ["batches"] * 3
    assert parts.connection.keys("*:parts") == []
    assert [path.name for path in parts.path(f"{batch.id}/input").parent.glob("part-*")] == []


def test_answers_are_those_of_the_other_ways(parts: Parts) -> None:
    """Several choices, JSON of a schema, a forced function and a stop sequence come as they do one by one."""
    parts.simulator.add_rule({"text": "one END two"}, match={"contains": "cut"})
    function = {"type": "function", "function": {"name": "look", "parameters": {"type": "object", "properties": {}}}}
    batch = parts.until(
        parts.start(
            [
                line("choices", n=2),
                line("schema", response_format=SCHEMA),
                line("call", tools=[function], tool_choice="required"),
                line("cut", stop=["END"]),
            ]
        )
    )
    choices, schema, call, cut = (one["response"]["body"]["choices"] for one in parts.output(batch))
    assert [one["index"] for one in choices] == [0, 1]
    assert '"n"' in schema[0]["message"]["content"]
    assert call[0]["message"]["tool_calls"][0]["function"]["name"] == "look"
    assert cut[0]["message"]["content"].startswith("one") and "END" not in cut[0]["message"]["content"]


def test_requests_are_the_bytes_of_the_way_api(parts: Parts) -> None:
    """But for the stream, which a message batch has none of."""
    function = {"type": "function", "function": {"name": "look", "parameters": {"type": "object", "properties": {}}}}
    asked: list[dict[str, Any]] = [
        {"max_tokens": 50, "stop": ["END"]},
        {"reasoning_effort": "high", "model": "opus"},
        {"tools": [function], "tool_choice": "required"},
        {"response_format": SCHEMA},
    ]
    for body in asked:
        parts.simulator.clear_requests()
        parts.until(parts.start([line("a", **body)]))
        (sent,) = (one["body"] for one in parts.simulator.requests() if one["kind"] == "batched")
        request = {"model": "haiku", "messages": [{"role": "user", "content": "a"}], **body}
        # No line went before that would have written anything, so nothing is marked.
        payload = {"claude_model": request["model"], "request": request, "cache": {"ttl": ""}}
        assert sent | {"stream": True} == body_of(to_claude(payload))


def test_sampling_that_a_model_refuses_is_left_out_of_the_next_part(parts: Parts) -> None:
    """As by any other way; with `max_attempts: 1` it is the line's error."""
    batch = parts.until(
        parts.start([line("a", temperature=0.3), line("b", temperature=0.3, max_attempts=1)], metadata=ONLY)
    )
    assert answered(parts, batch) == ["a"]
    bodies = [one["body"] for one in parts.simulator.requests() if one["kind"] == "batched"]
    assert ["temperature" in one for one in bodies] == [True, True, False]
    (failed,) = parts.output(batch, errors=True)
    assert failed["response"]["status_code"] == 400


@pytest.mark.parametrize(
    "respond", [{"batch": {"no_answer": True}}, {"error": {"status": 503}, "batch": {"accepted": True}}]
)
def test_a_lost_answer_is_found_in_the_list(parts: Parts, respond: dict[str, Any]) -> None:
    """The API has taken the part and nobody heard of it: it is found, and sent once."""
    parts.simulator.add_rule(respond, match={"batches": "create"}, times=1)
    batch = parts.until(parts.start(lines(4)))
    assert len(answered(parts, batch)) == 4
    assert numbers(parts) == Counter({str(n): 1 for n in range(4)})


def test_what_was_never_taken_is_sent_in_another_part(parts: Parts) -> None:
    """The API has not taken the part, as its list says in the end: its lines go with the next one."""
    parts.simulator.add_rule({"batch": {"no_answer": True, "accepted": False}}, match={"batches": "create"}, times=1)
    batch = parts.until(parts.start(lines(4)))
    assert len(answered(parts, batch)) == 4
    assert {one.split("-")[1] for one in parts.sent()} == {"1"}


def test_a_line_that_may_be_sent_once_is_not_sent_again_on_doubt(parts: Parts) -> None:
    """With `max_attempts: 1` a line that may have been sent fails, and the others are sent again."""
    parts.simulator.add_rule({"batch": {"no_answer": True, "accepted": False}}, match={"batches": "create"}, times=1)
    batch = parts.until(parts.start([line("once", max_attempts=1), line("often")], metadata=ONLY))
    assert answered(parts, batch) == ["often"]
    (failed,) = parts.output(batch, errors=True)
    assert failed["response"]["body"]["error"]["code"] == "max_attempts_reached"
    assert numbers(parts) == Counter({"1": 1})


def test_a_batch_of_somebody_else_is_not_taken_for_ours(parts: Parts) -> None:
    """One in the list with as many requests is looked into, and left alone when its results are another's."""
    content = {"model": "claude-haiku-5-5", "max_tokens": 9, "messages": [{"role": "user", "content": "theirs"}]}
    body = {"requests": [{"custom_id": "theirs", "params": content}]}
    url = f"{parts.simulator.base_url}/v1/messages/batches"
    httpx2.post(url, json=body, headers={"x-api-key": "theirs"}).raise_for_status()
    parts.simulator.add_rule({"batch": {"no_answer": True, "accepted": False}}, match={"batches": "create"}, times=1)
    batch = parts.until(parts.start(lines(1)))
    assert answered(parts, batch) == ["line 0"]
    assert [one.rpartition("-")[0].partition("-")[2] for one in parts.sent()] == ["", "1-0"]
    assert not [one for one in parts.simulator.requests() if one["path"].endswith("/cancel")]


@pytest.mark.parametrize(
    "fault",
    [
        {"cut_after_lines": 2},
        {"cut_after_lines": 2, "cut_in_order": True},
        {"broken_line": 1},
        {"left_out": 2},
        {"doubled_line": 1},
        {"unterminated": True},
        {"fields": {"results_url": "http://127.0.0.2:9/v1/messages/batches/x/results"}},
    ],
)
def test_results_that_come_badly_are_read_again(parts: Parts, fault: dict[str, Any]) -> None:
    """Whatever is wrong with them, each line is in the files once, and was sent once."""
    parts.simulator.add_rule(
        {"batch": fault}, match={"batches": "retrieve" if "fields" in fault else "results"}, times=1
    )
    batch = parts.until(parts.start(lines(5)))
    assert sorted(answered(parts, batch)) == [f"line {n}" for n in range(5)]
    assert numbers(parts) == Counter({str(n): 1 for n in range(5)})


@pytest.mark.parametrize("fault", [{"broken_line": 1}, {"left_out": 1}])
def test_results_that_stay_bad_hold_nobody_up(
    parts: Parts, fault: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Those that can be read count after a few times, and the other line goes with the next part."""
    monkeypatch.setattr(watching, "SHORT_READS", 1)
    parts.simulator.add_rule({"batch": fault}, match={"batches": "results"}, times=2)
    batch = parts.until(parts.start(lines(5), metadata=ONLY))
    assert sorted(answered(parts, batch)) == [f"line {n}" for n in range(5)]
    assert sorted(numbers(parts).values()) == [1, 1, 1, 1, 2]


def test_the_key_goes_to_the_api_alone(parts: Parts) -> None:
    """Results that are said to be elsewhere are asked for where the API is."""
    parts.simulator.add_rule(
        {"batch": {"fields": {"results_url": "http://127.0.0.2:9/take-it"}}}, match={"batches": "retrieve"}
    )
    batch = parts.until(parts.start(lines(1)))
    assert batch.completed == 1


def test_what_expired_goes_into_the_next_part(parts: Parts) -> None:
    """Requests that the API did not get to are sent again, and use up no attempt."""
    parts.simulator.add_rule({"batch": {"answers": 2, "expires_in_seconds": 1}}, match={"batches": "create"}, times=1)
    batch = parts.until(parts.start([line(str(n), max_attempts=1) for n in range(4)]))
    assert (batch.completed, batch.failed) == (4, 0)
    assert [one.split("-")[1] for one in parts.sent()] == ["0", "0", "0", "0", "1", "1"]


def test_only_an_invalid_request_is_so_for_good(parts: Parts) -> None:
    """It is the line's error in the API's words; any other error, and a kind that nobody knows, is tried by the next part."""
    parts.simulator.add_rule({"error": {"status": 400, "message": "max_tokens: too many"}}, match={"contains": "wrong"})
    parts.simulator.add_rule({"error": {"status": 500}}, match={"contains": "server"}, times=1)
    parts.simulator.add_rule({"batch_result": "unheard_of"}, match={"contains": "strange"}, times=1)
    batch = parts.until(parts.start([line("wrong"), line("server"), line("strange")], metadata=ONLY))
    assert sorted(answered(parts, batch)) == ["server", "strange"]
    (failed,) = parts.output(batch, errors=True)
    assert failed["response"]["status_code"] == 400
    assert failed["response"]["body"]["error"]["message"] == "max_tokens: too many"
    assert numbers(parts) == Counter({"0": 1, "1": 2, "2": 2})


def test_an_answer_that_does_not_fit_is_asked_for_by_the_next_way(parts: Parts) -> None:
    """The line becomes a job, as if it had been asked for once; the others are done."""
    parts.simulator.add_rule({"structured": {"n": "x"}}, match={"contains": "odd"}, times=1)
    batch = parts.start([line("odd", response_format=SCHEMA), line("even", response_format=SCHEMA)])
    parts_until(parts, lambda: parts.queued() == ["odd"])
    _, record = parts.take()
    assert record.attempts == 2  # the part's, and this run
    # Of both answers, though nobody gets the first.
    assert spent_usd(parts) > parts.batches.require(batch.id).cost_usd
    assert parts.batches.require(batch.id).completed == 1


def test_an_answer_that_never_fits_is_a_422(parts: Parts) -> None:
    """Where there is no other way the next part asks once more. Both answers are paid for."""
    parts.simulator.add_rule({"structured": {"n": "x"}}, match={"contains": "odd"})
    batch = parts.until(parts.start([line("odd", response_format=SCHEMA)], metadata=ONLY))
    (failed,) = parts.output(batch, errors=True)
    assert failed["response"]["status_code"] == 422
    assert numbers(parts) == Counter({"0": 2})
    assert 0 < failed["nightshift"]["cost_usd"] == spent_usd(parts) / 2


def test_answers_beside_one_that_failed_are_paid_for(parts: Parts) -> None:
    """Of a line of several answers, one of which is an error: nobody gets the others."""
    parts.simulator.add_rule({"error": {"status": 400}}, match={"contains": "two"}, times=1)
    batch = parts.until(parts.start([line("two", n=2)], metadata=ONLY))
    (failed,) = parts.output(batch, errors=True)
    assert failed["response"]["status_code"] == 400
    assert 0 < failed["nightshift"]["cost_usd"] == spent_usd(parts)


def test_what_it_waits_for_is_said_no_longer_than_it_lasts(parts: Parts) -> None:
    """The API can't be asked about a part for a moment."""
    parts.simulator.add_rule({"batch": {"held": True}}, match={"batches": "create"}, times=1)
    parts.simulator.add_rule({"error": {"status": 500}}, match={"batches": "retrieve"}, times=1)
    batch = parts.start(lines(1))
    parts_until(parts, lambda: any(one.waits for one in parts.parts(batch)))
    parts_until(parts, lambda: [(one.state, one.waits) for one in parts.parts(batch)] == [("sent", "")])


@pytest.mark.parametrize("status", [429, 529])
def test_a_limit_is_waited_for_in_the_lane(parts: Parts, status: int) -> None:
    """The API puts the part off: it is sent later, and nothing else is tried meanwhile."""
    parts.simulator.add_rule(
        {"error": {"status": status}, "headers": {"retry-after": "2"}}, match={"batches": "create"}, times=1
    )
    begun = time.monotonic()
    batch = parts.start(lines(2))
    parts_until(parts, lambda: any(one.waits for one in parts.parts(batch)))
    # A round in which there is nothing to do says so: the next one is not at once.
    assert not parts.lane.run_once(parts.leadership)
    batch = parts.until(batch)
    assert batch.completed == 2
    assert time.monotonic() - begun >= 2
    assert len([one for one in parts.simulator.requests() if one["path"] == "/v1/messages/batches"]) == 2


def test_a_login_that_is_refused_closes_its_way_alone(parts: Parts) -> None:
    """The lines go by the next way; when the login works again the gate opens."""
    rule = parts.simulator.add_rule({"error": {"status": 401}}, match={"batches": "create"})
    checks = parts.simulator.add_rule({"error": {"status": 401}}, match={"batches": "list"})
    parts.start(lines(2))
    parts_until(parts, lambda: len(parts.queued()) == 2)
    closed = read_closings(parts.connection).scopes
    assert {scope: one.cause for scope, one in closed.items()} == {Scope(Way.BATCHES): Cause.LOGIN}
    for one in (rule, checks):
        parts.simulator.remove_rule(one)
    Gate(parts.connection, Scope(Way.BATCHES)).close(Cause.LOGIN, float("inf"), "no", probe_at=clock.now())
    parts.step()
    assert read_closings(parts.connection).scopes == {}


def test_a_way_that_closes_leaves_its_waiting_lines_to_parts(parts: Parts) -> None:
    """Lines are jobs while the first way is open; when it is closed those that wait go in parts, until it is open again."""
    parts.settings = replace(parts.settings, ways=parts.settings.ways[::-1])
    parts.feeder.close()
    parts.connection.delete(parts.lease)
    parts.feeder = Feeder(parts.connection, parts.settings)
    batch = parts.start(lines(6))
    parts.look(batch)
    assert len(parts.queued()) == 4
    assert parts.answer() == "line 0"
    gate = Gate(parts.connection, Scope(Way.API))
    gate.close(Cause.RATE_LIMIT, clock.now() + 3600, "too much")
    batch = parts.until(batch)
    assert numbers(parts) == Counter({str(n): 1 for n in range(1, 6)})
    gate.open()
    batch = parts.start(lines(2))
    parts.look(batch)
    assert len(parts.queued()) == 2


def test_lines_that_take_this_way_only_are_a_part_among_jobs(parts: Parts) -> None:
    """By their `service_tier`: `batch` asks for it, and `flex` for the cheapest. The others are jobs of the first way."""
    parts.settings = replace(parts.settings, ways=parts.settings.ways[::-1])
    parts.feeder.close()
    parts.connection.delete(parts.lease)
    parts.feeder = Feeder(parts.connection, parts.settings)
    batch = parts.start([line("plain"), line("flex", service_tier="flex"), line("batch", service_tier="batch")])
    parts_until(parts, lambda: parts.batches.require(batch.id).completed == 2)
    assert numbers(parts) == Counter({"1": 1, "2": 1})
    assert parts.answer() == "plain"
    assert parts.until(batch).completed == 3


def test_a_part_that_is_sent_while_its_way_closes_is_kept(parts: Parts, monkeypatch: pytest.MonkeyPatch) -> None:
    """The feeder has seen it unsent, and the lane begins to send it before it is withdrawn."""
    parts.simulator.add_rule({"batch": {"no_answer": True}}, match={"batches": "create"}, times=1)
    batch = parts.start(lines(2))
    parts_until(parts, lambda: [one.state for one in parts.parts(batch)] == ["composed"])

    def closes(_: feeding.PartFeeding, batch: BatchRecord) -> bool:
        if parts.parts(batch)[0].state == "composed":
            parts.step()
        return False

    with monkeypatch.context() as patch:
        patch.setattr(feeding.PartFeeding, "_goes_in_parts", closes)
        parts.look(batch)
    assert [one.state for one in parts.parts(batch)] == ["sending"]
    assert parts.batches.storage.size(names.part_body(batch.id, "0"))
    assert parts.until(batch).completed == 2
    assert numbers(parts) == Counter({"0": 1, "1": 1})


def test_a_budget_holds_for_lines_that_are_a_part_among_jobs(parts: Parts) -> None:
    """No more of them are sent than it is good for."""
    parts.settings = replace(parts.settings, ways=parts.settings.ways[::-1])
    parts.feeder.close()
    parts.connection.delete(parts.lease)
    parts.feeder = Feeder(parts.connection, parts.settings)
    batch = parts.until(parts.start(lines(30, service_tier="flex"), metadata={"max_cost": "50"}))
    assert batch.completed == 30
    assert Counter(one.split("-")[1] for one in parts.sent()) == Counter({"0": 4, "1": 26})


def test_a_lane_sends_what_is_in_its_own_storage(parts: Parts) -> None:
    """Another machine's batches are that machine's lane's."""
    batch = parts.start(lines(2))
    parts_until(parts, lambda: bool(parts.parts(batch)))
    parts.connection.hset(batch_key(batch.id), "place", "elsewhere")
    states = [one.state for one in parts.parts(batch)]
    for _ in range(5):
        parts.step()
    assert [one.state for one in parts.parts(batch)] == states
    parts.connection.hset(batch_key(batch.id), "place", batch.place)
    assert parts.until(batch).completed == 2


def test_a_batch_of_older_code_goes_in_parts(parts: Parts) -> None:
    """It does not say where its files are: here, as long as nobody knows better."""
    Gate(parts.connection).pause()
    batch = parts.start(lines(2))
    parts.connection.hset(batch_key(batch.id), "place", "")
    Gate(parts.connection).resume()
    assert parts.until(batch).completed == 2
    assert numbers(parts) == Counter({"0": 1, "1": 1})


def test_a_part_that_is_refused_is_halved(parts: Parts) -> None:
    """For a line that the API does not take the others are not refused."""
    parts.simulator.add_rule({"error": {"status": 400}}, match={"batches": "create", "contains": "line 0"})
    batch = parts.until(parts.start(lines(4)))
    assert (batch.completed, batch.failed) == (3, 1)
    (failed,) = parts.output(batch, errors=True)
    assert (failed["custom_id"], failed["response"]["status_code"]) == ("line 0", 400)
    assert numbers(parts) == Counter({"1": 1, "2": 1, "3": 1})


def test_what_does_not_fit_is_a_part_of_its_own(parts: Parts, monkeypatch: pytest.MonkeyPatch) -> None:
    """A part has so many lines, and its body so many bytes."""
    monkeypatch.setattr(feeding, "PART_LINES", 3)
    monkeypatch.setattr(composing, "MAX_BODY_BYTES", 500)
    batch = parts.until(parts.start(lines(7)))
    assert batch.completed == 7
    assert numbers(parts) == Counter({str(n): 1 for n in range(7)})
    assert len({one.split("-")[1] for one in parts.sent()}) >= 4


def test_lines_that_are_refused_here_are_not_sent(parts: Parts) -> None:
    """Each is a 400 in the error file; a part of nothing else is not sent."""
    batch = parts.until(parts.start([line("a", logprobs=True), line("b"), line("c", logprobs=True)]))
    assert (batch.completed, batch.failed) == (1, 2)
    assert numbers(parts) == Counter({"1": 1})
    parts.simulator.clear()
    batch = parts.until(parts.start([line("a", logprobs=True)]))
    assert (batch.completed, batch.failed, parts.sent()) == (0, 1, [])


def test_a_cancel_keeps_what_is_done(parts: Parts) -> None:
    """The part is cancelled at the API: its answers count, and its other lines are named as never run."""
    parts.simulator.add_rule({"batch": {"answers": 2, "held": True}}, match={"batches": "create"}, times=1)
    batch = parts.start(lines(5))
    parts_until(parts, lambda: len(parts.sent()) == 5)
    parts.batches.cancel(batch.id)
    batch = parts.until(batch, "cancelled")
    assert (batch.completed, batch.failed, batch.unrun) == (2, 0, 3)
    assert {one["error"]["code"] for one in parts.output(batch, errors=True)} == {"batch_cancelled"}


def test_what_was_not_sent_is_not_when_the_batch_is_over(parts: Parts) -> None:
    """A paused batch that is cancelled was never sent."""
    Gate(parts.connection).pause()
    batch = parts.start(lines(2))
    for _ in range(5):
        parts.step()
        parts.look(batch)
    assert parts.sent() == [] and len(parts.parts(batch)) == 1
    parts.batches.cancel(batch.id)
    batch = parts.until(batch, "cancelled")
    assert (batch.unrun, parts.sent()) == (2, [])


def test_a_batch_that_expires_waits_for_what_its_parts_have(parts: Parts) -> None:
    """At its end the part is cancelled, and what is done of it counts."""
    parts.simulator.add_rule({"batch": {"answers": 1, "held": True}}, match={"batches": "create"}, times=1)
    batch = parts.start(lines(2))
    parts_until(parts, lambda: len(parts.sent()) == 2)
    parts.connection.hset(batch_key(batch.id), "expires_at", str(clock.now()))
    batch = parts.until(batch, "expired")
    assert (batch.completed, batch.unrun) == (1, 1)


def test_without_a_lane_lines_go_the_next_way(parts: Parts, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody is there for a while who would send them; a batch that takes this way only waits."""
    parts.connection.delete(*parts.connection.keys("nightshift:batches:lane:*"))
    free, bound = parts.start(lines(2)), parts.start(lines(2), metadata=ONLY)
    for batch in (free, bound):
        parts.look(batch)
    assert parts.queued() == []
    monkeypatch.setattr(feeding, "LANE_SECONDS", 0.0)
    for batch in (free, bound):
        parts.look(batch)
    assert parts.queued() == ["line 0", "line 1"]
    assert parts.parts(bound) == []


@pytest.mark.parametrize("is_system", [True, False], ids=["system text", "template"])
def test_lines_with_one_head_are_primed_by_the_first(parts: Parts, is_system: bool) -> None:
    """One line goes first, the others when it has ended; all keep the head for an hour, and what was read, written and saved is counted."""
    rules = "Rules. " * 4000

    def messages(number: int) -> list[dict[str, str]]:
        if is_system:
            return [{"role": "system", "content": rules}, {"role": "user", "content": f"line {number}"}]
        return [{"role": "user", "content": f"{rules}line {number}"}]

    batch = parts.until(parts.start([line(f"line {n}", messages=messages(n)) for n in range(20)]))
    assert [one.split("-")[1] for one in parts.sent()] == ["0"] + ["1"] * 19
    bodies = [one["body"] for one in parts.simulator.requests() if one["kind"] == "batched"]
    blocks = [one["system"] if is_system else one["messages"][0]["content"] for one in bodies]
    assert {one[0]["cache_control"]["ttl"] for one in blocks} == {"1h"}
    assert {len(one) for one in blocks} == {1 if is_system else 2}
    written = batch.cache_write_tokens
    assert written > 5000
    assert batch.cached_tokens == 19 * written
    # To write for an hour costs twice as much, to read a tenth; half of it all by this way.
    price = price_of("claude-haiku-5-5")
    assert price is not None
    saved = (19 * (price.input - price.cache_read) - price.input) * written / 2 / 1_000_000
    assert abs(batch.cache_saved_usd - saved) < 0.0001


def test_lines_that_no_line_went_before_write_nothing(parts: Parts) -> None:
    """Requests of a message batch read nothing of each other: each would pay for the writing."""
    head = {"role": "system", "content": "Rules. " * 4000}
    batch = parts.until(
        parts.start([line(f"line {n}", messages=[head, {"role": "user", "content": f"line {n}"}]) for n in range(10)])
    )
    assert (batch.completed, batch.cache_write_tokens, batch.cache_saved_usd) == (10, 0, 0.0)


def test_lines_with_short_heads_are_sent_at_once(parts: Parts) -> None:
    """What is short is not kept, and nothing waits for it."""
    head = {"role": "system", "content": "Be brief."}
    batch = parts.until(
        parts.start([line(f"line {n}", messages=[head, {"role": "user", "content": f"line {n}"}]) for n in range(20)])
    )
    assert batch.completed == 20
    assert {one.split("-")[1] for one in parts.sent()} == {"0"}


def parts_until(parts: Parts, is_so: Callable[[], bool], timeout: float = 120.0) -> None:
    """Let both work until it is so."""
    end = time.monotonic() + timeout
    while not is_so():
        assert time.monotonic() < end, "waited too long"
        parts.step()
        parts.feeder.run_once()
