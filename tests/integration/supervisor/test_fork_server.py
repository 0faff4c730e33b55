"""Workers are forked from a process that has imported what they need, and are none the worse for it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil
import pytest

from chaos.until import wait_until
from ops.supervisor import orphans
from ops.supervisor.forks import Forked, ForkServer
from ops.supervisor.process import ProcessSpec
from tests.integration.supervisor.conftest import ROOT

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.integration.supervisor.conftest import Up

    Start = Callable[..., Up]

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="nothing is forked elsewhere")
PATIENCE_SECONDS = 60.0

#: what a forked program finds
PROGRAM = """
import gc, json, os, random, signal, sys, threading
import preloaded
found = {
    "argv": sys.argv[1:], "name": __name__, "file": os.path.basename(__file__), "value": preloaded.VALUE,
    "pid": os.getpid(), "parent": os.getppid(), "session": os.getsid(0), "random": random.random(), "environ": dict(os.environ),
    "files": sorted(int(n) for n in os.listdir("/proc/self/fd") if os.path.exists(f"/proc/self/fd/{n}")),
    "threads": threading.active_count(), "collects": gc.isenabled(),
    "handlers": [str(signal.getsignal(n)) for n in (signal.SIGCHLD, signal.SIGTERM, signal.SIGUSR2)],
    "masked": [int(n) for n in signal.pthread_sigmask(signal.SIG_BLOCK, [])],
    "title": open("/proc/self/cmdline").read().rstrip(chr(0)), "stdin": os.readlink("/proc/self/fd/0"),
}
with open(sys.argv[1] + ".draft", "w") as file:
    json.dump(found, file)
os.rename(sys.argv[1] + ".draft", sys.argv[1])
if sys.argv[2] == "stay":
    signal.pause()
sys.exit(int(sys.argv[2]))
"""


class Forks:
    """A fork server with a program of the test's, and what it forks."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.server = ForkServer()
        self.env = {"PATH": os.environ["PATH"], "PYTHONPATH": os.pathsep.join([str(directory), str(ROOT)])}
        self.made: list[Forked] = []
        (directory / "program.py").write_text(PROGRAM)
        self.preload("VALUE = 1")

    def preload(self, code: str) -> None:
        (self.directory / "preloaded.py").write_text(code)

    def spec(self, name: str, then: str = "stay") -> ProcessSpec:
        argv = [sys.executable, "-P", "-m", "program", str(self.directory / name), then]
        return ProcessSpec(name=name, argv=argv, env=self.env, preload="preloaded")

    def prepare(self) -> bool:
        """Whether it serves then."""
        self.server.prepare([self.spec("a"), self.spec("b")])
        return self.settle()

    def settle(self) -> bool:
        def is_settled() -> bool:
            self.server.tend()
            return not self.server.is_starting

        wait_until(is_settled)
        return bool(self.server.pids())

    def fork(self, name: str, then: str = "stay") -> Forked:
        found = self.server.fork(self.spec(name, then), frozenset())
        assert found is not None
        self.made.append(found)
        return found

    def said(self, name: str) -> dict[str, Any]:
        wait_until((self.directory / name).exists)
        return dict(json.loads((self.directory / name).read_text()))


@pytest.fixture
def forks(tmp_path: Path) -> Iterator[Forks]:
    """This process is its supervisor meanwhile."""
    orphans.adopt()
    found = Forks(tmp_path)
    yield found
    found.server.end()
    for one in found.made:
        one.send_signal(signal.SIGKILL)
        one.wait(PATIENCE_SECONDS)
    orphans.adopt(on=False)


def test_a_forked_program_is_as_a_started_one(forks: Forks) -> None:
    """It runs as `python -m` would run it, alone in its session, our child, with nothing of the fork server's but modules."""
    assert forks.prepare()
    one, two = forks.fork("one"), forks.fork("two")
    said, other = forks.said("one"), forks.said("two")
    plain = subprocess.run(
        [*forks.spec("plain").argv[:-1], "0"], env=forks.env, stdin=subprocess.DEVNULL, close_fds=True, check=True
    )
    started = forks.said("plain")
    assert plain.returncode == 0
    assert (said["pid"], said["parent"], said["session"]) == (one.pid, os.getpid(), one.pid)
    assert said["argv"] == [str(forks.directory / "one"), "stay"]
    assert said["title"] == " ".join(forks.spec("one").argv)
    assert psutil.Process(two.pid).cmdline() == list(forks.spec("two").argv)
    same = ("name", "file", "files", "threads", "collects", "handlers", "masked", "stdin", "environ", "value")
    assert {name: said[name] for name in same} == {name: started[name] for name in same}
    assert said["random"] != other["random"]


def test_its_end_is_told_to_us(forks: Forks) -> None:
    """Exit status and signal, as of any child; the fork server is not asked."""
    assert forks.prepare()
    assert forks.fork("seven", "7").wait(PATIENCE_SECONDS) == 7
    stays = forks.fork("stays")
    assert stays.poll() is None
    forks.server.end()
    forks.said("stays")
    assert stays.poll() is None
    stays.send_signal(signal.SIGTERM)
    assert stays.wait(PATIENCE_SECONDS) == -signal.SIGTERM


def test_a_replaced_one_loads_its_code_anew(forks: Forks) -> None:
    """What was imported before is what all are forked with, until it is replaced."""
    assert forks.prepare()
    forks.preload("VALUE = 2222")
    forks.fork("before")
    assert forks.said("before")["value"] == 1
    forks.server.replace()
    assert forks.settle()
    forks.fork("after")
    assert forks.said("after")["value"] == 2222


@pytest.mark.parametrize(
    "code",
    [
        "raise ImportError('broken')",
        "import threading; threading.Thread(target=threading.Event().wait, daemon=True).start()",
        "import os; FILE = os.open('/dev/null', os.O_RDONLY)",
    ],
)
def test_what_can_not_be_forked_is_started(forks: Forks, code: str) -> None:
    """A module that fails, starts a thread or opens a file: there is no fork server, until the next restart."""
    forks.preload(code)
    assert not forks.prepare()
    forks.server.tend()
    assert forks.server.fork(forks.spec("one"), frozenset()) is None
    forks.preload("VALUE = 1")
    forks.server.replace()
    assert forks.settle()


def test_one_alone_is_started(forks: Forks) -> None:
    """It would share its pages with nobody."""
    forks.server.prepare([forks.spec("one")])
    assert forks.server.pids() == {}


def test_another_environment_is_not_forked(forks: Forks) -> None:
    """A forked process has the fork server's."""
    assert forks.prepare()
    other = ProcessSpec(name="x", argv=forks.spec("x").argv, env={**forks.env, "X": "1"}, preload="preloaded")
    assert forks.server.fork(other, frozenset()) is None


def test_one_that_hangs_is_given_up(forks: Forks) -> None:
    """Whom it had forked without saying so is gone before anybody is started under the same name; another fork server comes."""
    assert forks.prepare()
    (pid,) = forks.server.pids()
    os.kill(pid, signal.SIGSTOP)
    before = {child.pid for child in psutil.Process().children()} - {pid}
    assert forks.server.fork(forks.spec("one"), before) is None
    assert {child.pid for child in psutil.Process().children()} == before
    wait_until(lambda: forks.settle() and forks.server.pids())
    forks.fork("two")
    assert forks.said("two")["value"] == 1


def test_whom_it_forked_without_saying_so(forks: Forks) -> None:
    """It hangs before it can tell: the process that it made is ended, since another is to be started under its name."""
    forks.preload(
        "import os, time\nVALUE, wait = 1, os.waitpid\nos.waitpid = lambda *given: (wait(*given), time.sleep(600))"
    )
    assert forks.prepare()
    (pid,) = forks.server.pids()
    before = {child.pid for child in psutil.Process().children()} - {pid}
    assert forks.server.fork(forks.spec("one"), before) is None
    assert {child.pid for child in psutil.Process().children()} == before


def is_forked(process: psutil.Process) -> bool:
    """Its command line is one text, which a started one's is not."""
    return Path(f"/proc/{process.pid}/cmdline").read_bytes().rstrip(b"\0").count(b"\0") == 0


def test_the_workers_of_up_are_forked(up: Start) -> None:
    """They are the supervisor's children, and end with it, however it ends."""
    one = up("--workers", "3").started()
    workers = one.running("_worker --name")
    assert [(is_forked(p), p.ppid()) for p in workers] == [(True, one.process.pid)] * 4
    assert not is_forked(one.named("api.server"))
    one.kill()
    wait_until(lambda: not [p for p in workers if p.is_running() and p.status() != psutil.STATUS_ZOMBIE])


def test_a_killed_fork_server_harms_nobody(up: Start) -> None:
    """The workers go on, another one comes, and the next worker is forked from it."""
    one = up("--workers", "2").started()
    workers = one.running("chat_worker")
    server = one.named("supervisor.fork_server")
    server.kill()
    wait_until(lambda: [p for p in one.running("supervisor.fork_server") if p.pid != server.pid])
    assert one.running("chat_worker") == workers
    workers[0].kill()
    wait_until(lambda: [p for p in one.running("chat_worker") if p not in workers and is_forked(p)])
    one.process.terminate()
    assert one.ended() == 0
    assert one.nothing_left()


def test_workers_without_a_fork_server(up: Start) -> None:
    """Where importing fails they are started one by one, and the log says so."""
    one = up("--workers", "2", BROKEN_PRELOAD="1").started()
    assert [is_forked(p) for p in one.running("_worker --name")] == [False] * 3
    assert one.running("supervisor.fork_server") == []
    assert "workers are started without it" in one.output


def test_a_stop_while_the_fork_server_hangs(up: Start) -> None:
    """Asked to stop, all is gone in ten seconds all the same."""
    one = up("--workers", "2").started()
    one.named("supervisor.fork_server").send_signal(signal.SIGSTOP)
    one.running("chat_worker")[0].kill()
    time.sleep(1)
    began = time.monotonic()
    one.process.terminate()
    assert one.ended() == 0
    assert time.monotonic() - began < 10
    assert one.nothing_left()
