"""A data dir that version 0.1.0 left behind when all its processes were killed is gone on with.

`data/left_by_0.1.0.tar.gz` is what commit 70e8ab1 wrote: Redis' append-only file, the batches' directory, the secret, and `left.json`,
which says what had been asked for. A finished and a running batch, a job that ran, stored answers, an endpoint, and callbacks
that nobody took.
"""

from __future__ import annotations

import json
import re
import tarfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.acceptance.stack import Stack, running
from tests.redis_server import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator

_LEFT = Path(__file__).parent / "data" / "left_by_0.1.0.tar.gz"
#: seconds since the epoch, and milliseconds, of the weeks around the day on which it was left
_TIMES = re.compile(rb"(?<![0-9A-Za-z.])(179[5-9]\d{6})(?=(?:\d{3})?(?![0-9A-Za-z]))")


@pytest.fixture(scope="module")
def stack() -> Iterator[Stack]:
    """The code of today on it. It was left a minute ago: all its times are moved by as much."""
    found = Stack(settings={"NIGHTSHIFT_CALLBACK_ALLOWED_HOSTS": "127.0.0.1"})
    found.data_dir.mkdir()
    with tarfile.open(_LEFT) as tar:
        for member in tar:
            path, content = found.data_dir / member.name, tar.extractfile(member)
            assert content is not None, f"{member.name} is no file"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content.read())
    later = int(time.time() - 60 - left(found)["made_at"])
    log = found.data_dir / "redis/appendonlydir/appendonly.aof.1.incr.aof"
    log.write_bytes(_TIMES.sub(lambda match: b"%d" % (int(match[1]) + later), log.read_bytes()))
    yield from running(found)


def left(stack: Stack) -> dict[str, Any]:
    """What had been asked for, by what it is; the answers that had come."""
    return dict(json.loads((stack.data_dir / "left.json").read_bytes()))


def test_stored_answers_are_read(stack: Stack) -> None:
    """A stored completion, a response and a job say what they said."""
    known, client = left(stack), stack.client()
    kept = client.chat.completions.retrieve(known["stored_completion"])
    assert (kept.choices[0].message.content, kept.metadata) == (known["stored_text"], {"night": "first"})
    assert client.responses.retrieve(known["response"]).output_text == known["response_text"]
    again = client.responses.create(model="sonnet", input="and then?", previous_response_id=known["response"])
    assert again.output_text


def test_the_job_that_ran_is_run_again(stack: Stack) -> None:
    """Its worker is gone, and so is its lease."""
    assert stack.wait_for(left(stack)["queued"])["status"] == "completed"


def test_files_and_the_finished_batch_are_as_they_were(stack: Stack) -> None:
    """Byte for byte; its report can be read."""
    known, client = left(stack), stack.client()
    assert client.files.content(known["output_file"]).text == known["output"]
    assert client.files.content(known["input_file"]).text == known["input"]
    batch = client.batches.retrieve(known["batch"])
    assert (batch.status, batch.metadata) == ("completed", {"name": "first"})
    report = stack.http("GET", f"/v1/batches/{known['batch']}/report")
    assert (report.status, report.body["completed"]) == (200, 3)


def test_the_batch_that_ran_comes_to_its_end(stack: Stack) -> None:
    """Each line once in its output, those that had been answered and those that had not."""
    known, client = left(stack), stack.client()
    name = known["batch_in_progress"]
    wait_until(lambda: client.batches.retrieve(name).status == "completed", "the end of the batch")
    output = client.files.content(str(client.batches.retrieve(name).output_file_id)).text
    assert sorted(json.loads(line)["custom_id"] for line in output.splitlines()) == sorted(
        json.loads(line)["custom_id"] for line in known["input"].splitlines()
    )


def test_endpoints_and_undelivered_events_are_there(stack: Stack) -> None:
    """An endpoint keeps its name and secret; what nobody took is still to be delivered."""
    known = left(stack)
    endpoint = stack.http("GET", f"/v1/webhook_endpoints/{known['endpoint']}")
    assert (endpoint.status, endpoint.body["name"]) == (200, "night")
    events = stack.http("GET", "/v1/events?status=pending").body["data"]
    assert {"http://127.0.0.1:9/hook", "http://127.0.0.1:9/callback"} <= {event["delivery"]["url"] for event in events}
