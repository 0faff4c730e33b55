"""A day of all kinds of traffic, and then nothing: Redis' keys and the data dir are where they began.

What is kept for days is brought to its end by hand: an end that is stored (a key's, an index's score) is moved to now. Whatever
has none stays, and is found.
"""

from __future__ import annotations

from collections import Counter
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import openai

from app.batches.file_record import EXPIRY
from app.batches.record import BATCH_RETENTION
from app.connection import texts
from app.jobs.record import RETENTION
from chaos.ledger import Ledger
from chaos.receiver import Receiver
from tests.acceptance.stack import Stack, stack_fixture
from tests.acceptance.test_batches import line, start, wait
from tests.redis_server import wait_until

if TYPE_CHECKING:
    from redis import Redis

#: what `TTL` says of a key that does not expire; of one that is gone it says another
_NEVER = -1
#: Workers beat: their keys are theirs as long as they live. `place` is the directory's, `rq:queues` names the two queues,
#: the key of the logins' labels is one and stays, and history and counters have their bounds elsewhere (`app/history`).
_LIVING = (
    "rq:worker:",
    "rq:queues",
    "nightshift:worker",
    "nightshift:batches:feeder",
    "nightshift:batches:place",
    "nightshift:history:",
    "nightshift:counters",
    "nightshift:login_labels:key",
)
#: indexes whose scores are ends
_ENDS = (RETENTION, BATCH_RETENTION, EXPIRY)

own_stack = stack_fixture(
    settings={
        "NIGHTSHIFT_RESULT_TTL_SECONDS": "10",
        "NIGHTSHIFT_CALLBACK_ALLOWED_HOSTS": "127.0.0.1",
        "NIGHTSHIFT_ABANDON_GRACE_SECONDS": "0.2",
    },
)


def test_a_day_leaves_nothing(own_stack: Stack) -> None:
    """When all ends have come there is no key more, no entry of an index, no file."""
    before = sizes(own_stack.redis), files(own_stack)
    with Receiver(Ledger()) as receiver:
        day(own_stack, receiver.url)
    let_a_long_time_pass(own_stack)
    # The first rounds after the start remove what is due.
    with suppress(AssertionError):
        wait_until(lambda: (sizes(own_stack.redis), files(own_stack)) == before, "the end of it all")
    assert sizes(own_stack.redis) - before[0] == Counter()
    assert set(files(own_stack)) - set(before[1]) == set()


def day(stack: Stack, callback_url: str) -> None:
    """All kinds of requests and ends."""
    stack.simulator.clear()
    stack.simulator.add_rule({"error": {"status": 400}}, match={"contains": "will-fail"})
    stack.simulator.add_rule({"hang_seconds": 30}, match={"contains": "will-hang"})
    client = stack.client(timeout=120)
    endpoint = client.webhooks.create(
        name="day", url=callback_url, event_types=["response.completed", "batch.completed"]
    )

    def ask(prompt: str, **fields: Any) -> Any:
        message: Any = {"role": "user", "content": prompt}
        return client.chat.completions.create(model="haiku", messages=[message], **fields)

    ask("plain")
    ask("stored", store=True, metadata={"a": "b"})
    ask("keyed", extra_headers={"Idempotency-Key": "k"})
    assert list(ask("streamed", stream=True))
    with suppress(openai.BadRequestError):
        ask("will-fail")
    with suppress(openai.APITimeoutError):
        ask("will-hang", timeout=1)
    with suppress(openai.APIStatusError):
        ask("will-hang", extra_headers={"X-Request-Timeout": "1"})
    jobs = [
        stack.submit("later"),
        stack.submit("called back", callback_url=callback_url),
        stack.submit("will-hang later"),
    ]
    stack.wait_for(jobs[0])
    stack.http("POST", f"/v1/jobs/{jobs[2]}/cancel")
    response = client.responses.create(model="haiku", input="first")
    client.responses.create(model="haiku", input="second", previous_response_id=response.id)
    client.responses.create(model="haiku", input="background", background=True)
    client.responses.delete(response.id)
    batch = start(stack, [line("a"), line("b", "will-fail"), line("c")])
    done = wait(stack, batch.id)
    cancelled = start(stack, [line("a", "will-hang")])
    wait(stack, cancelled.id, "in_progress")
    client.batches.cancel(cancelled.id)
    for ended in (done, wait(stack, cancelled.id)):
        # They are their client's, as at OpenAI: without an end that it has asked for, they stay until it deletes them.
        for file_id in filter(None, (ended.output_file_id, ended.error_file_id)):
            client.files.delete(file_id)
    client.files.delete(client.files.create(file=("x.jsonl", b"{}\n"), purpose="batch").id)
    client.webhooks.test(endpoint.id, event_type="response.completed")
    wait_until(lambda: not stack.redis.exists("nightshift:events:due"), "the callbacks")
    client.webhooks.delete(endpoint.id)


def let_a_long_time_pass(stack: Stack) -> None:
    """All ends come, and then another start."""
    redis = stack.redis
    for index in _ENDS:
        for member in texts(redis.zrange(index, 0, -1)):
            redis.zadd(index, {member: 1})
    for key in redis.scan_iter(count=1000):
        if not key.decode().startswith(_LIVING) and redis.ttl(key) > 0:
            redis.pexpire(key, 1)
    stack.stop()
    stack.start()


def sizes(redis: Redis) -> Counter[str]:
    """Entries of each key; keys that are named after something are counted together."""
    found: Counter[str] = Counter()
    count: Any = {
        b"string": redis.strlen,
        b"hash": redis.hlen,
        b"list": redis.llen,
        b"set": redis.scard,
        b"zset": redis.zcard,
        b"stream": redis.xlen,
    }
    for key in redis.scan_iter(count=1000):
        name = key.decode()
        if redis.ttl(key) == _NEVER and not name.startswith(_LIVING):
            kind: Any = redis.type(key)
            found[name] += count[kind](key)
    return found


def files(stack: Stack) -> list[str]:
    """Of the data dir, but for Redis' own and the workers' private ones: those live."""
    found = (path.relative_to(stack.data_dir) for path in stack.data_dir.rglob("*") if path.is_file())
    return sorted({str(path) for path in found if path.parts[0] not in ("redis", "workers")} - {"batches/.place"})
