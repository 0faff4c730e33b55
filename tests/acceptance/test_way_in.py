"""What a new user does: ask and wait, ask and poll, ask and be called back."""

from __future__ import annotations

import json
import threading
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

import openai
import pytest
from openai import OpenAI
from prometheus_client.parser import text_string_to_metric_families
from standardwebhooks import Webhook

from app.jobs.record import record_key
from ops.supervisor import redis_server
from tests.acceptance.test_batches import line, read, start, wait
from tests.integration.api.running import api
from tests.redis_server import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.acceptance.stack import Stack

CHAT = "/v1/chat/completions"


def test_a_completion_by_openais_client(stack: Stack) -> None:
    """The stock client gets a completion whose id is a job, with the reported usage and a model that says it is simulated."""
    stack.simulator.add_rule({"text": "Good evening.", "usage": {"input_tokens": 12, "output_tokens": 34}})
    answer = stack.client().chat.completions.create(
        model="gpt-4o", messages=[{"role": "user", "content": "hello"}], seed=7
    )
    assert answer.choices[0].message.content == "Good evening."
    assert answer.choices[0].finish_reason == "stop"
    assert answer.model.startswith("simulated-claude")
    assert answer.usage is not None
    assert (answer.usage.prompt_tokens, answer.usage.completion_tokens) == (12, 34)
    job = stack.job(answer.id)
    assert job["status"] == "completed"
    assert job["result"]["id"] == answer.id


def all_serve(stack: Stack) -> bool:
    """Whether both workers could take a request at once."""
    return [row["state"] for row in stack.http("GET", "/health").body["workers"]] == ["idle", "idle"]


def test_several_choices(stack: Stack) -> None:
    """`n` answers come as so many choices, each asked alone and as many at once as there are workers, for one job."""
    wait_until(lambda: all_serve(stack), "both workers")
    before = requests_counted(stack.http("GET", "/metrics").body)
    one: dict[str, Any] = {"text": "one of four", "usage": {"input_tokens": 10, "output_tokens": 5}}
    held, _ = stack.simulator.add_rules([{"respond": {**one, "held": True}}, {"respond": one}])
    create: Any = stack.client().chat.completions.create
    with ThreadPoolExecutor(1) as pool:
        asking = pool.submit(create, model="sonnet", messages=[{"role": "user", "content": "four times"}], n=4)
        wait_until(lambda: stack.simulator.stats()["running"] == 2, "two at once")
        stack.simulator.remove_rule(held)
        answer = asking.result()
    assert [choice.index for choice in answer.choices] == [0, 1, 2, 3]
    assert {choice.message.content for choice in answer.choices} == {"one of four"}
    assert answer.usage is not None
    assert (answer.usage.prompt_tokens, answer.usage.completion_tokens) == (40, 20)
    asked = stack.asked("four times")
    assert (len(asked), {len(body["messages"]) for body in asked}) == (4, {1})
    assert stack.simulator.stats()["max_running"] == 2
    listed = [job["id"] for job in stack.http("GET", "/v1/jobs?limit=10").body["data"]]
    assert [job for job in listed if job.startswith(answer.id)] == [answer.id]
    assert {stack.http(method, f"/v1/{path}").status for method, path in hidden(answer.id)} == {404}
    after = requests_counted(stack.http("GET", "/metrics").body)
    assert after["sonnet", "completed"] == before.get(("sonnet", "completed"), 0) + 1


def hidden(completion_id: str) -> list[tuple[str, str]]:
    """Ways to what nobody was told of."""
    job = f"{completion_id}-0"
    return [("GET", f"jobs/{job}"), ("POST", f"jobs/{job}/cancel"), ("GET", f"chat/completions/{job}")]


def test_several_choices_are_cancelled_together(stack: Stack) -> None:
    """The job that waits for its choices is in progress; its cancel ends their turns at Claude's, and asks for no other."""
    wait_until(lambda: all_serve(stack), "both workers")
    stack.simulator.add_rule({"hang_seconds": 60}, match={"contains": "given up"})
    job_id = stack.submit("given up", n=3)
    wait_until(lambda: len(stack.asked("given up")) == 2, "two turns")
    job = stack.job(job_id)
    assert (job["status"], job["waiting_for"], job["position"]) == ("in_progress", "its choices", None)
    assert stack.http("POST", f"/v1/jobs/{job_id}/cancel").body["status"] == "cancelled"
    wait_until(lambda: stack.simulator.stats()["running"] == 0, "their end")
    assert stack.ask("the next one").startswith("Simulated answer")
    assert len(stack.asked("given up")) == 2


def test_a_request_between_a_lines_choices(stack: Stack) -> None:
    """It waits for the turns that run, however many choices a line of a batch has."""
    wait_until(lambda: all_serve(stack), "both workers")
    first = stack.simulator.add_rule({"held": True}, match={"contains": "eight times"}, times=2)
    stack.simulator.add_rule({"held": True}, match={"contains": "eight times"})
    batch = start(stack, [line("a", "eight times", n=8)])
    wait_until(lambda: len(stack.asked("eight times")) == 2, "the first choices")
    job_id = stack.submit("in between")
    stack.simulator.remove_rule(first)
    # No other choice ends: it would wait for ever if both workers took one before it.
    assert stack.wait_for(job_id)["status"] == "completed"
    stack.simulator.clear_rules()
    (one,) = read(stack, wait(stack, batch.id).output_file_id)
    assert [choice["index"] for choice in one["response"]["body"]["choices"]] == list(range(8))
    assert len(stack.asked("eight times")) == 8


def test_ask_and_poll(stack: Stack) -> None:
    """`Prefer: respond-async` answers 202 with a Location, under which the result appears."""
    body = {"model": "haiku", "messages": [{"role": "user", "content": "later"}]}
    reply = stack.http("POST", "/v1/chat/completions", body, {"Prefer": "respond-async"})
    assert reply.status == 202
    job_id = reply.headers["Location"].removeprefix("/v1/jobs/")
    job = stack.wait_for(job_id)
    assert job["result"]["choices"][0]["message"]["content"].startswith("Simulated answer")
    listed = stack.http("GET", "/v1/jobs?status=completed&limit=100").body["data"]
    assert job_id in [one["id"] for one in listed]


class Receiver:
    """A customer's webhook endpoint: answers from a list of statuses, then 200; keeps what it got."""

    def __init__(self, statuses: list[int]) -> None:
        self.got: list[tuple[dict[str, str], bytes]] = []
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                receiver.got.append(({k.lower(): v for k, v in self.headers.items()}, body))
                self.send_response(statuses.pop(0) if statuses else 200)
                self.end_headers()

            def log_message(self, *args: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}/hook"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    found = Receiver([500])
    yield found
    found.close()


def test_ask_and_be_called_back(stack: Stack, receiver: Receiver) -> None:
    """The callback comes again after a 500 with the same id, and both verifiers take it."""
    job_id = stack.submit("call me", callback_url=receiver.url)
    wait_until(lambda: len(receiver.got) == 2, "two attempts")
    secret = (stack.data_dir / "webhook-secret").read_text().strip()
    (first, _), (headers, body) = receiver.got
    assert first["webhook-id"] == headers["webhook-id"]
    event = OpenAI(api_key="unused", webhook_secret=secret).webhooks.unwrap(body, headers)
    assert (str(event.type), event.data.id) == ("chat.completion.completed", job_id)  # type: ignore[union-attr]
    assert Webhook(secret).verify(body, headers)["data"]["id"] == job_id
    assert "call me" not in body.decode()


def test_a_failed_job_is_told_as_failed(stack: Stack, receiver: Receiver) -> None:
    """The callback of a job that failed says so."""
    stack.simulator.add_rule({"error": {"status": 400, "message": "no such thing"}})
    stack.submit("fail me", callback_url=receiver.url)
    wait_until(lambda: len(receiver.got) >= 1, "an attempt")
    assert json.loads(receiver.got[0][1])["type"] == "chat.completion.failed"


def test_a_forbidden_callback_is_refused_at_the_door(stack: Stack) -> None:
    """A callback to a private address is a 400 that names the field, and nothing is enqueued."""
    body = {"model": "haiku", "messages": [{"role": "user", "content": "x"}], "callback_url": "http://10.0.0.1/"}
    reply = stack.http("POST", "/v1/chat/completions", body)
    assert (reply.status, reply.body["error"]["param"]) == (400, "callback_url")


def test_cancel_before_and_during_the_run(stack: Stack) -> None:
    """A running job is interrupted, a queued one never starts, and the workers are free again."""
    stack.simulator.add_rule({"hang_seconds": 60}, match={"contains": "hang"})
    running = [stack.submit(f"hang {number}") for number in range(stack.workers)]
    for job_id in running:
        stack.wait_for(job_id, "in_progress")
    queued = stack.submit("never asked")
    for job_id in (queued, *running):
        assert stack.http("POST", f"/v1/jobs/{job_id}/cancel").body["status"] == "cancelled"
    stack.simulator.clear_rules()
    assert stack.ask("free?").startswith("Simulated answer")
    assert stack.asked("never asked") == []


def test_a_deadline_that_the_client_sets_ends_the_turn(stack: Stack) -> None:
    """A request whose time is up gets a 504 in OpenAI's shape, and its turn is ended."""
    stack.simulator.add_rule({"hang_seconds": 60}, match={"contains": "slow"})
    reply = stack.http(
        "POST",
        "/v1/chat/completions",
        {"model": "haiku", "messages": [{"role": "user", "content": "slow"}]},
        {"X-Request-Timeout": "1"},
    )
    assert (reply.status, reply.body["error"]["code"]) == (504, "deadline_exceeded")


def test_a_client_that_leaves_cancels_its_job(stack: Stack) -> None:
    """When the client's own timeout closes the connection, the job is cancelled after the grace."""
    stack.simulator.add_rule({"hang_seconds": 60}, match={"contains": "leave"})
    with pytest.raises(openai.APITimeoutError):
        stack.client(timeout=1.0).chat.completions.create(
            model="sonnet", messages=[{"role": "user", "content": "leave"}]
        )

    def causes() -> list[str]:
        cancelled = stack.http("GET", "/v1/jobs?status=cancelled").body["data"]
        return [stack.job(job["id"])["error"]["code"] for job in cancelled]

    wait_until(lambda: "client_closed_request" in causes(), "the cancelled job")


@pytest.mark.parametrize("timeout", [1.0, 3.0])
@pytest.mark.parametrize("kind", ["chat", "response"])
def test_a_clients_own_retry_joins_its_job(stack: Stack, kind: str, timeout: float) -> None:
    """The stock client times out, tries again, and gets the answer of the job that its first try started: one run that is paid."""
    prompt = f"patience of {timeout} for a {kind}"
    stack.simulator.add_rule({"text": "worth the wait"}, match={"contains": prompt}, latency_ms=int(timeout * 1500))
    client = stack.client(timeout=timeout, max_retries=4)
    if kind == "chat":
        asked = client.chat.completions.create(model="sonnet", messages=[{"role": "user", "content": prompt}])
        text = asked.choices[0].message.content
    else:
        text = client.responses.create(model="sonnet", input=prompt).output_text
    assert text == "worth the wait"
    assert len(stack.asked(prompt)) == 1


def test_an_idempotency_key_runs_once(stack: Stack) -> None:
    """The same key and body are the same job; another body is a 409."""
    body = {"model": "haiku", "messages": [{"role": "user", "content": "once"}]}
    headers = {"Idempotency-Key": "evening-1"}
    first = stack.http("POST", "/v1/chat/completions", body, headers)
    second = stack.http("POST", "/v1/chat/completions", body, headers)
    assert first.body["id"] == second.body["id"]
    assert len(stack.asked("once")) == 1
    other = stack.http("POST", "/v1/chat/completions", {**body, "model": "sonnet"}, headers)
    assert other.status == 409


@pytest.mark.parametrize(
    ("status", "error"),
    [(400, openai.BadRequestError), (404, openai.NotFoundError), (413, openai.APIStatusError)],
)
def test_claudes_4xx_is_the_clients_4xx(stack: Stack, status: int, error: type[openai.APIStatusError]) -> None:
    """What the Messages API refuses is refused with the same status, and not tried again."""
    stack.simulator.add_rule({"error": {"status": status, "message": "words of the API"}}, match={"contains": "bad"})
    with pytest.raises(error) as refused:
        stack.client(max_retries=2).chat.completions.create(
            model="sonnet", messages=[{"role": "user", "content": "bad"}]
        )
    assert refused.value.status_code == status
    if status == 400:  # for the others the CLI has words of its own
        assert "words of the API" in refused.value.message
    # The CLI asks twice about a model that it is told does not exist; nobody else repeats anything.
    assert len(stack.asked("bad")) == (2 if status == 404 else 1)


def test_the_dashboard_shows_no_prompt(stack: Stack) -> None:
    """rq-dashboard lists the queue and its jobs by id and model, and nothing of what was asked."""
    stack.ask("TOP-SECRET-PROMPT")
    page = stack.http("GET", "/rq/")
    assert page.status == 200
    assert "TOP-SECRET-PROMPT" not in json.dumps(page.body)


def test_health_counts_the_whole_tree(stack: Stack) -> None:
    """`/health` reports at least the memory that the operating system counts for the Claude processes themselves."""
    claude_mb = sum(p.memory_info().rss for p in stack.claude_processes()) / 2**20
    health = stack.http("GET", "/health").body
    assert claude_mb > 100
    assert health["memory"]["rss_mb"] > 0.9 * claude_mb
    assert len(health["workers"]) == stack.workers


def test_the_metrics_are_one_truth(stack: Stack) -> None:
    """Two API processes and two workers, one of them killed in a turn: each request is counted once, whoever is asked."""
    before = requests_counted(stack.http("GET", "/metrics").body)
    stack.simulator.add_rule({"error": {"status": 400}}, match={"contains": "refused"})
    stack.simulator.add_rule({"text": "late", "held": True}, match={"contains": "slow"}, times=1)
    with api(redis_server.place(stack.data_dir).url, NIGHTSHIFT_DATA_DIR=str(stack.data_dir)) as other:

        def ask(number: int) -> int:
            prompt = "refused" if number % 4 == 0 else f"number {number}"
            if number % 2:
                return other.chat(prompt).status
            body = {"model": "sonnet", "messages": [{"role": "user", "content": prompt}]}
            return stack.http("POST", "/v1/chat/completions", body).status

        slow = stack.submit("slow")
        wait_until(lambda: len(stack.asked("slow")) == 1, "its turn")
        killed = stack.redis.hget(record_key(slow), "worker")
        assert isinstance(killed, bytes)
        next(p for p in stack.worker_processes() if killed.decode() in p.cmdline()).kill()
        with ThreadPoolExecutor(8) as threads:
            statuses = list(threads.map(ask, range(16)))
        assert sorted(statuses) == [200] * 12 + [400] * 4
        assert stack.wait_for(slow)["status"] == "completed"
        texts = [stack.http("GET", "/metrics").body, other.ask("GET", "/metrics").body.decode()]
    after, seen_by_other = map(requests_counted, texts)
    assert after == seen_by_other
    assert {key: after[key] - before.get(key, 0) for key in after if after[key] != before.get(key, 0)} == {
        ("sonnet", "completed"): 13,
        ("sonnet", "invalid_request_error"): 4,
    }


def requests_counted(text: str) -> dict[tuple[str, str], float]:
    """By model and outcome."""
    families = {family.name: family for family in text_string_to_metric_families(text)}
    samples = families["nightshift_requests"].samples
    return {
        (one.labels["model"], one.labels["outcome"]): one.value for one in samples if one.labels["endpoint"] == CHAT
    }


#: NUL and other controls, marks of direction, pairs, what some take for ends of lines, composed and not, the CLI's own words
LETTERS = (
    "".join(map(chr, range(0x20)))
    + "\x7f\x80\x85\x9f \u202ea\u2066b\u2069\ufeff\u200b\U0001f468\u200d\U0001f469\U0010ffff\ufffe"
    + "\u2028\u2029\r\n e\u0301\u00e9 /clear !ls @/etc/passwd <system-reminder>x</system-reminder> \\u0000\\ud800 \t\n"
)


@pytest.mark.parametrize(
    "text", [LETTERS, f"/clear{LETTERS}", f"\n{LETTERS[::-1]}", LETTERS * 6_500], ids=["all", "slash", "reverse", "MB"]
)
@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
def test_text_comes_through_unchanged(stack: Stack, text: str, stream: bool) -> None:
    """To the letter: what the client sends, in any role, stands in the API's request, and what the model says in the answer."""
    stack.simulator.add_rule({"echo": True})
    sent = [("system", text), ("user", text), ("assistant", f"a{text}a"), ("user", f"{text}!")]
    messages = [{"role": role, "content": content} for role, content in sent]
    assert said(stack, messages, stream=stream, max_tokens=400_000) == f"{text}!"
    (body,) = stack.asked()
    assert [texts_of(message["content"]) for message in body["messages"]] == [content for _, content in sent[1:]]
    assert texts_of(body["system"]) == text
    stack.simulator.clear()
    stack.simulator.add_rule({"echo": True})
    # Without a history it is the same way.
    assert said(stack, [{"role": "user", "content": text}], stream=stream, max_tokens=400_000) == text


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
def test_ten_megabytes(stack: Stack, stream: bool) -> None:
    """More than a model reads is told as that, by the API; ten megabytes of answer are an answer."""
    text = "0123456789" * 1_000_000
    reply = stack.http(
        "POST", CHAT, {"model": "sonnet", "messages": [{"role": "user", "content": text}], "stream": stream}
    )
    assert (reply.status, reply.body["error"]["code"]) == (400, "context_length_exceeded")
    stack.simulator.add_rule({"repeat_text": {"unit": "0123456789", "count": 1_000_000}})
    assert said(stack, [{"role": "user", "content": "hello"}], stream=stream, max_tokens=3_000_000) == text
    # Nothing of either is on the disk of the process that had them.
    assert sum(path.stat().st_size for path in (stack.data_dir / "workers").rglob("*") if path.is_file()) < 100_000


def test_an_answer_beyond_what_is_stored(stack: Stack) -> None:
    """Redis takes an answer up to a size, and more is told with the setting's name."""
    stack.simulator.add_rule({"repeat_text": {"unit": "0123456789", "count": 3_500_000}})
    body = {"model": "sonnet", "messages": [{"role": "user", "content": "hello"}], "max_tokens": 10_000_000}
    error = stack.http("POST", CHAT, body).body["error"]
    assert (error["code"], "NIGHTSHIFT_MAX_RESULT_BYTES" in error["message"]) == ("result_too_large", True)


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
def test_half_a_character_of_the_models(stack: Stack, stream: bool) -> None:
    """It is no character, and becomes the one that stands for such; the worker lives, and pairs are kept."""
    stack.simulator.add_rule({"text": "a\ud800b" + "c" * 16 + "\ud83d\ude00"})
    hello = [{"role": "user", "content": "hello"}]
    assert said(stack, hello, stream=stream) == "a\ufffdb" + "c" * 16 + "\U0001f600"


def test_a_model_that_calls_what_is_not_there(stack: Stack) -> None:
    """Where JSON is wanted the CLI would ask again for ever: it is ended, tried again like any fault, and told."""
    stack.simulator.add_rule({"tool_calls": [{"name": "nobodys", "input": {}}]})
    schema = {"type": "json_schema", "json_schema": {"name": "x", "schema": {"type": "object"}}}
    body = {
        "model": "sonnet",
        "messages": [{"role": "user", "content": "loop"}],
        "response_format": schema,
        "max_attempts": 1,
    }
    assert stack.http("POST", CHAT, body).status in (422, 502)
    assert len(stack.asked("loop")) < 10


def said(stack: Stack, messages: list[dict[str, Any]], **fields: Any) -> str:
    """The answer's text."""
    create: Any = stack.client(timeout=60).chat.completions.create
    answer = create(model="sonnet", messages=messages, **fields)
    if not fields["stream"]:
        return str(answer.choices[0].message.content)
    return "".join(choice.delta.content or "" for chunk in answer for choice in chunk.choices)


def texts_of(content: Any) -> str:
    """The text of a message's content."""
    return content if isinstance(content, str) else "".join(block["text"] for block in content)
