"""Feeders as processes, killed in the middle of what they do: another goes on, and nothing is lost or twice."""

from __future__ import annotations

import os
import random
import subprocess
import sys
import threading
from typing import TYPE_CHECKING

from redis import Redis

from app.batches.record import BatchStatus
from app.jobs import tickets
from tests.integration.batches.conftest import Night, line
from tests.redis_server import wait_until

if TYPE_CHECKING:
    from pathlib import Path

#: a supervisor's loop, with a short lease; it kills itself at a random moment of its work
FEEDER = """
import os, random, signal, sys, threading, time
from pathlib import Path
from app.batches import leadership, output
from app.batches.feeder import Feeder
from app.connection import connect
from app.settings import Settings
from app.parent import die_with_parent

die_with_parent()
leadership.LEASE_SECONDS = 0.5
url, data_dir, seed = sys.argv[1:]
seed = int(seed)
if seed:
    moment = random.Random(seed).uniform(0.3, 1.2)
    threading.Timer(moment, os.kill, (os.getpid(), signal.SIGKILL)).start()
feeder = Feeder(connect(url), Settings(data_dir=Path(data_dir), redis_url=url, batch_in_queue=20))
while True:
    feeder.run_once()
    time.sleep(0.02)
"""


def start(url: str, data_dir: Path, seed: int) -> subprocess.Popen[bytes]:
    argv = [sys.executable, "-c", FEEDER, url, str(data_dir), str(seed)]
    environ = {name: os.environ[name] for name in ("PATH", "PYTHONPATH") if name in os.environ}
    return subprocess.Popen(argv, env=environ)


def test_feeders_that_are_killed_again_and_again(night: Night) -> None:
    """With two feeders, one of which is killed again and again, each of 400 lines is in the output once."""
    url, data_dir = night.settings.redis_url or "", night.settings.data_dir
    batch = night.start([line(str(n)) for n in range(400)])
    night.feeder.close()
    night.connection.delete(night.lease)
    stopping = threading.Event()
    errors: list[BaseException] = []

    def work() -> None:
        pace = random.Random(1)
        with Redis.from_url(url) as connection:
            hands = Night(connection, night.settings, night.batches, night.feeder)
            while not stopping.wait(pace.uniform(0.001, 0.02)):
                try:
                    if tickets.queue(connection).count:
                        hands.answer()
                except BaseException as error:  # noqa: BLE001 - told in the test's thread
                    errors.append(error)
                    return

    worker = threading.Thread(target=work)
    worker.start()
    mortal = [start(url, data_dir, seed) for seed in (1, 2)]
    kills = 0
    try:
        while not night.batches.require(batch.id).status.is_final:
            assert errors == []
            for index, process in enumerate(mortal):
                if process.poll() is not None:
                    kills += 1
                    mortal[index] = start(url, data_dir, kills + 2 if kills < 12 else 0)
            stopping.wait(0.05)
    finally:
        stopping.set()
        worker.join()
        for process in mortal:
            process.kill()
            process.wait()
    ended = night.batches.require(batch.id)
    assert kills >= 3
    assert (ended.status, ended.completed) == (BatchStatus.COMPLETED, 400)
    found = [one["custom_id"] for one in night.output(ended)]
    assert sorted(found, key=int) == [str(n) for n in range(400)]
    assert sorted(one.number for one in night.line_stats(ended)) == list(range(400))
    assert night.connection.keys("*batch_req*") == []


def test_another_takes_over_within_seconds(night: Night) -> None:
    """A feeder that is killed is followed by the next one when its lease has ended."""
    url, data_dir = night.settings.redis_url or "", night.settings.data_dir
    batch = night.start([line("a")])
    night.feeder.close()
    night.connection.delete(night.lease)
    first = start(url, data_dir, 0)
    try:
        wait_until(lambda: night.connection.get(night.lease) is not None, "a feeder")
        before = night.connection.get(night.lease)
        second = start(url, data_dir, 0)
        try:
            first.kill()
            night.answer()
            wait_until(lambda: night.batches.require(batch.id).status is BatchStatus.COMPLETED, "the successor")
            assert night.connection.get(night.lease) != before
        finally:
            second.kill()
            second.wait()
    finally:
        first.kill()
        first.wait()
