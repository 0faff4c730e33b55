"""The machines that share a Redis, made of the rows of their processes."""

from __future__ import annotations

from typing import Any

from app.hosts import Host, hosts_of, shared_logins
from app.supervisors import SupervisorStatus
from app.worker_status import WorkerState, WorkerStatus

TOKEN = "subscription 3fa09c"


def worker(name: str, **fields: Any) -> WorkerStatus:
    return WorkerStatus(name=name, state=WorkerState.IDLE, rss_mb=200, python_rss_mb=40, beat_at=1.0, **fields)


def supervisor(host: str, part: str, **fields: Any) -> SupervisorStatus:
    return SupervisorStatus(name=f"{host}:1", part=part, host=host, data_dir="/d", **fields)


def test_each_machine_has_a_row() -> None:
    """One with workers of older code, which have their machine in their name alone, and one that has none, too."""
    found = hosts_of(
        [
            worker("x-1", host="night-2", login_label=TOKEN, version="0.2.0", clock_skew_seconds=-2.0),
            worker("x-2", host="night-2", login_label=TOKEN, version="0.1.0"),
            worker("old-box-77-worker-1-0a1b2c"),
        ],
        [supervisor("night-2", "worker", version="0.2.0", clock_skew_seconds=0.5), supervisor("api-1", "api")],
    )
    assert [(host.name, host.workers) for host in found] == [("api-1", 0), ("night-2", 2), ("old-box", 1)]
    assert found[1] == Host(
        name="night-2",
        parts=("worker",),
        workers=2,
        memory_mb=480,
        logins=(TOKEN,),
        versions=("0.1.0", "0.2.0"),
        clock_skew_seconds=-2.0,
    )
    assert [host.clock_is_off for host in found] == [False, True, False]


def test_machines_that_share_a_login_are_named() -> None:
    """A kind without letters says nothing of whose it is."""
    found = hosts_of(
        [
            worker("a", host="a", login_label=TOKEN),
            worker("b", host="b", login_label=TOKEN),
            worker("c", host="c", login_label="api_key 000000"),
            worker("d", host="d", login_label="subscription"),
            worker("e", host="e", login_label="subscription"),
        ],
        [],
    )
    said = [one.in_words for one in shared_logins(found)]
    assert said == [
        "2 machines share one subscription (3fa09c): its limits hold for both. They are a, b.",
    ]
    assert shared_logins(hosts_of([worker("a", host="a", login_label=TOKEN)] * 2, [])) == []
