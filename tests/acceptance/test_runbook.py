"""The runbook's commands do what it says, as they stand there."""

from __future__ import annotations

import re
import subprocess
import sys

import pytest

from tests.acceptance.stack import ROOT, SHARED_SETTINGS, Stack, stack_fixture
from tests.integration.webhooks import receiver
from tests.redis_server import wait_until

#: of a stack that runs alone, so that `nightshift doctor` finds nothing to say
shared_stack = stack_fixture("module", settings=SHARED_SETTINGS)
RUNBOOK = (ROOT / "docs" / "runbook.md").read_text()
COMMANDS = list(dict.fromkeys(re.findall(r"^    ((?:curl|nightshift|du) .*?)(?: +#.*)?$", RUNBOOK, re.MULTILINE)))


@pytest.fixture(scope="module")
def ids(shared_stack: Stack) -> dict[str, str]:
    """One of each that a command takes the id of."""
    file = shared_stack.client().files.create(file=("x.jsonl", b"{}"), purpose="batch")
    with receiver.running() as hook:
        job = shared_stack.submit("hello", callback_url=hook.url())
        hook.wait_for(1)
        events = "/v1/events?status=delivered"
        wait_until(lambda: bool(shared_stack.http("GET", events).body["data"]), "the event's end")
    event = shared_stack.http("GET", events).body["data"][0]["id"]
    return {"jobs": job, "files": file.id, "events": event}


@pytest.mark.parametrize("command", COMMANDS)
def test_command(command: str, shared_stack: Stack, ids: dict[str, str]) -> None:
    """It ends well, and says something."""
    command = command.replace("http://127.0.0.1:8204", shared_stack.url).replace(
        "~/.nightshift", str(shared_stack.data_dir)
    )
    command = re.sub(r"/v1/(\w+)/ID", lambda found: f"/v1/{found[1]}/{ids[found[1]]}", command)
    command = re.sub(r"^curl ", "curl --fail-with-body -sS ", command)
    command = re.sub(r"^nightshift ", f"{sys.executable} -m ops.cli.main ", command)
    environment = {**shared_stack._environment(), "NIGHTSHIFT_URL": shared_stack.url, "NIGHTSHIFT_OFFLINE": "1"}
    environment |= {"NIGHTSHIFT_DATA_DIR": str(shared_stack.data_dir), "NIGHTSHIFT_PORT": str(shared_stack.port)}
    done = subprocess.run(
        ["bash", "-o", "pipefail", "-c", command],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, bool(done.stdout)) == (0, True), f"{command}\n{done.stdout}{done.stderr}"


def test_marks_and_names_are_real() -> None:
    """Each mark to search for, each setting and each metric that the runbook names is in the code."""
    sources = "\n".join(
        path.read_text() for part in ("app", "api", "ops", "workers") for path in (ROOT / part).rglob("*.py")
    )
    for mark in set(re.findall(r"\[[A-Z]{3,}\]", RUNBOOK)):
        assert f'"{mark} ' in sources, mark
    for name in set(re.findall(r"NIGHTSHIFT_[A-Z_]+", RUNBOOK)):
        assert name in (ROOT / "docs/settings.md").read_text() or name in sources, name
    for code in set(re.findall(r"`((?:redis|queue|storage|structured|login)_[a-z_]+)`", RUNBOOK)):
        assert f'"{code}"' in sources, code
