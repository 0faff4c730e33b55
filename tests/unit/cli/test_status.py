"""`nightshift status` as lines: what is said of each state, and nothing that a server sends moves the cursor."""

from __future__ import annotations

from typing import Any

from ops.cli import status

NOW = 1_795_000_000.0
WORKER = {
    "name": "host-1-worker-1-abc",
    "state": "busy",
    "alive": True,
    "reason": "",
    "job": "chatcmpl-1",
    "job_seconds": 75.0,
    "turns_total": 34,
    "errors": 1,
    "rss_mb": 300.0,
    "python_rss_mb": 90.0,
    "restarts": {"turns": 2},
}


def found(**health: Any) -> dict[str, Any]:
    """What `status.read` gives of a server that is well."""
    well: dict[str, Any] = {
        "status": "ok",
        "ready": True,
        "reason": None,
        "offline": False,
        "queue": {"queued": 1200, "in_progress": 1, "oldest_queued_seconds": 3700.0, "max_queued": 10000},
        "gate": {"open": True},
        "feeder": {"process": "host-1", "beat_seconds_ago": 0.1},
        "callbacks": {"waiting": 2, "undelivered": 0},
        "redis": {"reachable": True, "used_memory_mb": 12.0},
        "memory": {"rss_mb": 800.0},
        "disk": {"free_mb": 5000},
        "workers": [WORKER],
    }
    return {"url": "http://x", "health": well | health, "batches": [], "failures": []}


def text(what: dict[str, Any], width: int = 200) -> str:
    return "\n".join(status.text(what, NOW, width))


def test_a_server_that_is_well() -> None:
    """Serves: queue, worker with its job's age, turns, memory of both parts."""
    shown = text(found())
    assert "SERVES\n" in shown
    assert "1,200 wait, the oldest for 1:01:40; 1 run" in shown
    assert "busy" in shown
    assert "34 turns     1 errors     390 MB  replaced: 2 turns  chatcmpl-1 for 1:15" in shown
    assert status.status_of(found()) == 0


def test_a_limit_of_one_model_is_named() -> None:
    """The gate is open to the others, and the line of the way says for which model it is closed."""
    limit = {"open": False, "cause": "usage_limit", "reason": "used up", "until": NOW + 60}
    way = {"way": "cli", "login": None, "closed": None, "families": {"opus": limit}, "spent": None}
    said = text(found(gate={"open": True, "parked": 3}, ways=[way]))
    assert "Gate       open; 3 of those that wait are parked" in said
    assert "Way        cli  open; for opus closed, for 1:00, until " in said


def test_a_closed_gate_counts_down() -> None:
    """Why, how long yet, and until when; with no worker at all, that is what is said first."""
    gate = {"open": False, "cause": "usage_limit", "reason": "five hours", "until": NOW + 5025}
    assert "closed, for 1:23:45, until " in text(found(gate=gate))
    assert "WAITS" in text(found(gate=gate))
    assert "until it is resumed: paused: by hand" in text(
        found(gate={"open": False, "cause": "paused", "reason": "by hand", "until": None})
    )
    assert "No worker is running" in text(found(gate=gate, workers=[], ready=False, reason="No worker is running."))


def test_one_that_cannot_serve() -> None:
    """The reason is in the second line, and the exit status 1; also for a Redis that is away, or no details at all."""
    no_worker = found(ready=False, reason="No worker is running.", workers=[])
    assert "CAN'T SERVE  No worker is running." in text(no_worker)
    away = {
        "url": "x",
        "health": {"status": "degraded", "redis": {"reachable": False, "error": "refused"}, "workers": []},
    }
    assert "CAN'T SERVE  Redis is away: refused" in text({**away, "batches": [], "failures": []})
    assert [status.status_of(one) for one in (no_worker, away, {"health": {"status": "ok"}})] == [1, 1, 1]


def test_several_machines() -> None:
    """Each feeder is named, and nobody who feeds is said plainly."""
    feeders = [{"process": "a:1"}, {"process": "b:2"}]
    assert "Feeder     a:1, b:2" in text(found(feeders=feeders))
    assert "none: no batch goes on" in text(found(feeders=[], feeder=None))


def test_each_machine_has_a_line() -> None:
    """What it runs, its login and its clock; and what those have in common that share a login."""
    host = {"parts": ["worker"], "workers": 2, "memory_mb": 480.0, "versions": ["0.1.0"], "clock_skew_seconds": 0.01}
    hosts = [
        {**host, "name": "a", "logins": ["subscription 3fa09c"]},
        {**host, "name": "b", "logins": [], "clock_skew_seconds": -2.5},
    ]
    shared = [{"message": "2 machines share one subscription"}]
    said = text(found(hosts=hosts, shared_logins=shared))
    assert "a  worker  2 workers  480 MB  login: subscription 3fa09c  version: 0.1.0  clock: right" in said
    assert "login: none  version: 0.1.0  clock: -2.5 s" in said
    assert "2 machines share one subscription" in said
    assert "Machines" not in text(found(hosts=hosts[:1]))
    limit = {"open": False, "cause": "usage_limit", "reason": "used up", "until": NOW + 60}
    alone = [{"login": "subscription 3fa09c", "way": "cli", "family": "opus", **limit}]
    assert "Login      subscription 3fa09c with opus  closed, for 1:00" in text(found(login_limits=alone))


def test_times_are_the_servers() -> None:
    """How long things take is told by the server's time, whatever the clock is of the machine that asks."""
    what = found(now=NOW, gate={"open": False, "cause": "paused", "reason": "by hand", "until": NOW + 60})
    assert status.now_of(what) == NOW


def test_batches_and_failures() -> None:
    """A bar and an end for what runs, the cause of what failed; what ended long ago is left out."""
    ours = {"cost_usd": 1.5, "unrun": 0, "waiting_for": None, "waiting_until": None, "done_at": NOW + 600}
    counts = {"total": 1000, "completed": 480, "failed": 20}
    batch = {"id": "batch_1", "status": "in_progress", "request_counts": counts, "nightshift": ours}
    batch["usage"] = {"total_tokens": 12345}
    old = {**batch, "id": "batch_0", "status": "completed", "completed_at": NOW - 86400}
    job = {"id": "chatcmpl-9", "model": "haiku", "finished_at": NOW - 5, "created_at": 0}
    job["error"] = {"code": "upstream_error", "message": "bad\x1b[2J\nluck", "type": "x"}
    shown = text({**found(), "batches": [batch, old], "failures": [job]})
    assert "batch_1  [##########..........] 500/1,000  done in 10:00, at " in shown
    assert "12,345 tokens, $1.50, 20 failed" in shown
    assert "batch_0" not in shown
    assert r"chatcmpl-9  haiku  upstream_error: bad\x1b[2J\nluck" in shown


def test_a_narrow_terminal() -> None:
    """No line is longer than the terminal is wide."""
    assert max(len(line) for line in status.text(found(), NOW, 40)) == 40
