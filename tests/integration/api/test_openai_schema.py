"""Our files and batches against OpenAI's own description of them, where it is at hand beside the project."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jsonschema_rs
import pytest

from app.batches.feeder import Feeder
from app.settings import Settings

if TYPE_CHECKING:
    from redis import Redis

    from tests.integration.api.conftest import MakeClient

SCHEMA = Path(__file__).parents[4] / "shared" / "openai-openapi" / "subset.patched.json"

pytestmark = pytest.mark.skipif(not SCHEMA.exists(), reason="OpenAI's description is not beside the project")


def check(name: str, value: Any) -> None:
    found = json.loads(SCHEMA.read_text())
    validator = jsonschema_rs.Draft202012Validator(
        {"$ref": f"#/components/schemas/{name}", "components": found["components"]}
    )
    assert [f"{one.instance_path}: {one.message}" for one in validator.iter_errors(value)] == []


def test_files_and_batches_are_openais(
    make_client: MakeClient, connection: Redis, redis_url: str, tmp_path: Path
) -> None:
    """Each object and list, in each state that is reached here, satisfies OpenAI's schema."""
    client = make_client(data_dir=tmp_path)
    feeder = Feeder(connection, Settings(redis_url=redis_url, data_dir=tmp_path))
    sent = client.post("/v1/files", data={"purpose": "batch", "file": (io.BytesIO(b"no request\n"), "x.jsonl")})
    file = sent.get_json()
    check("OpenAIFile", file)
    check("ListFilesResponse", client.get("/v1/files").get_json())
    body = {"input_file_id": file["id"], "endpoint": "/v1/chat/completions", "completion_window": "24h"}
    batch = client.post("/v1/batches", json=body).get_json()
    check("Batch", batch)
    feeder.run_once()
    failed = client.get(f"/v1/batches/{batch['id']}").get_json()
    assert failed["status"] == "failed"
    check("Batch", failed)
    check("Batch", client.post("/v1/batches", json=body | {"metadata": {"a": "b"}}).get_json())
    check("ListBatchesResponse", client.get("/v1/batches").get_json())
    check("DeleteFileResponse", client.delete(f"/v1/files/{file['id']}").get_json())
    feeder.close()
