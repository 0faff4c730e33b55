"""Messages to people, from a batch's hold to the service that shows them."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import TYPE_CHECKING

from app.settings import Settings
from chaos.until import wait_until
from tests.acceptance.stack import ROOT
from tests.integration.webhooks import receiver
from workers.notices import reports

if TYPE_CHECKING:
    from pathlib import Path

    from tests.acceptance.stack import Stack

TOKEN = "a-token-of-a-user"


def test_a_night_that_says_when_it_needs_somebody(stack: Stack, tmp_path: Path) -> None:
    """One message when the first rows were tried, one when all are done; the URL is shown nowhere."""
    (tmp_path / "rows.csv").write_text("id,text\n1,notified one\n2,notified two\n3,notified three\n")
    with receiver.running() as hook:
        (tmp_path / "urls").write_text(f"json://127.0.0.1:{hook.port}/{TOKEN}\n")
        table = ["rows.csv", "--template", "Kind? {text}", "--model", "haiku"]

        def nightshift(*arguments: str) -> subprocess.CompletedProcess[str]:
            return subprocess.run(
                [sys.executable, "-P", "-m", "ops.cli.main", "batch", *arguments, "--url", stack.url],
                cwd=tmp_path,
                env={"PATH": "/usr/bin:/bin", "PYTHONPATH": str(ROOT), "HOME": str(tmp_path)},
                capture_output=True,
                text=True,
                check=False,
            )

        refused = nightshift("submit", *table, "--notify", f"json://127.0.0.1/{TOKEN}")
        assert refused.returncode == 2 and "takes a file" in refused.stderr
        held = nightshift("submit", *table, "--try", "1", "--notify", "urls")
        assert held.returncode == 4, held
        batch = held.stdout.split()[0]
        hook.wait_for(1)
        assert nightshift("continue", batch, "--watch").returncode == 0
        hook.wait_for(2)
    tried, done = (json.loads(one.body) for one in hook.received)
    assert tried["title"] == f"rows.csv ({batch}) waits: its first requests were tried"
    assert done["title"] == f"rows.csv ({batch}) is done" and "3 of 3 answered" in done["message"]
    assert "notified" not in str([tried, done])
    (report,) = reports.fetch(Settings(port=stack.port), [batch], tmp_path)
    page = report.read_text()
    assert report.name == f"{batch}.html" and batch in page and "notified one" not in page
    sent = f"ended message about {batch} to json://: sent"
    wait_until(lambda: sent in stack.log.read_text(), "the line that says so")
    shown = [stack.http("GET", path).body for path in ("/v1/batches", f"/v1/batches/{batch}", "/health", "/v1/events")]
    assert TOKEN not in json.dumps(shown) + stack.log.read_text()
