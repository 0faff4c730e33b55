"""Each record has an owner: what is made of another one has that one's, and what older code wrote is everybody's."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from app.batches.store import NewBatch
from app.ids import OWNER
from app.jobs import transitions
from app.outcome import Outcome
from app.webhooks.endpoints import Endpoint, Endpoints
from app.webhooks.outbox import Outbox
from tests.integration.batches.conftest import line

if TYPE_CHECKING:
    from tests.integration.batches.conftest import Night


def test_all_of_a_batch_is_its_files_owners(night: Night) -> None:
    """The batch, its lines' jobs and their choices, its output file, and the event of its end."""
    Endpoints(night.connection).create("mine", "https://example.com/", ["batch.completed"], owner="ada")
    uploaded = night.upload(json.dumps(line("a")).encode() + b"\n")
    night.connection.hset(f"nightshift:file:{uploaded}", "owner", "ada")
    batch = night.look(night.batches.create(NewBatch(input_file_id=uploaded, endpoint="/v1/chat/completions")))
    lease, job = night.take()
    transitions.fan_out(night.connection, night.settings, lease, 1)
    choice_lease, choice = night.take()
    assert (batch.owner, job.owner, choice.owner) == ("ada", "ada", "ada")
    body = {"id": choice.id, "choices": [{"index": 0}], "usage": {"prompt_tokens": 1}}
    outcome = Outcome(body=body, headers={"x-nightshift-attempts": "1"})
    transitions.publish(night.connection, night.settings, choice_lease, outcome)
    night.look(batch)
    output = night.batches.files.get(batch.output_file)
    assert output is not None and output.owner == "ada"
    assert [stored.event.owner for stored in Outbox(night.connection).page("pending")] == ["ada"]


def test_what_has_no_owner_yet_is_everybodys(night: Night) -> None:
    """Files and batches of version 0.1.0, say."""
    uploaded = night.upload(json.dumps(line("a")).encode() + b"\n")
    night.connection.hdel(f"nightshift:file:{uploaded}", "owner")
    batch = night.batches.create(NewBatch(input_file_id=uploaded, endpoint="/v1/chat/completions"))
    assert batch.owner == OWNER


def test_an_endpoint_can_be_read_by_older_code(night: Night) -> None:
    """It raises for a field that it does not know: an owner is stored once there are several."""
    made = Endpoints(night.connection).create("mine", "https://example.com/", ["batch.completed"])
    assert "owner" not in json.loads(made.to_json())
    text = json.dumps({**json.loads(made.to_json()), "owner": "ada", "of_newer_code": 1})
    assert Endpoint.from_json(text).owner == "ada"
    assert Endpoint.from_json(Endpoint.from_json(text).to_json()).owner == "ada"
