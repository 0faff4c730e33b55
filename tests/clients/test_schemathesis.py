"""schemathesis asks the API everything that its OpenAPI document allows, and much that it forbids."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from tests.integration.api.running import ROOT, RunningApi, api

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.redis_server import RedisForTests

#: of each operation; more are for a night by hand
EXAMPLES = os.environ.get("NIGHTSHIFT_FUZZ_EXAMPLES", "5")
_CHECKS = (
    "errors_are_openais",
    "status_code_conformance",
    "content_type_conformance",
    "response_schema_conformance",
    "unsupported_method",
)


@pytest.fixture(scope="module")
def server(_redis_for_session: RedisForTests, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningApi]:
    """An API without workers, so that each request is answered at once or after a moment."""
    data = tmp_path_factory.mktemp("data")
    settings = {"NIGHTSHIFT_REQUEST_TIMEOUT_SECONDS": "0.3", "NIGHTSHIFT_DATA_DIR": str(data)}
    with api(_redis_for_session.url, **settings) as running:
        yield running


def test_no_request_breaks_the_api(server: RunningApi, tmp_path: Path) -> None:
    """Whatever is sent, the answer is one that the document tells of, errors in OpenAI's shape, and none is our fault."""
    run = subprocess.run(
        [
            *(sys.executable, "-m", "schemathesis.cli", "run", f"http://127.0.0.1:{server.port}/openapi.json"),
            *("--max-examples", EXAMPLES, "--checks", ",".join(_CHECKS), "--continue-on-failure"),
            *(
                "--header",
                "Prefer: respond-async",
                "--request-timeout",
                "20",
                "--seed",
                "1",
                "--generation-deterministic",
            ),
            *("--warnings", "off"),
        ],
        cwd=tmp_path,
        env={**os.environ, "SCHEMATHESIS_HOOKS": "tests.clients.schemathesis_hooks", "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stdout[-20_000:] + run.stderr[-2000:]
    assert not [line for line in server.lines if "[INTERNAL]" in line]
    assert server.ask("GET", "/health").status == 200
