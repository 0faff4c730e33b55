"""Which of the project's modules one chat request walks through; `scripts/walk` lists them."""

from __future__ import annotations

import inspect
import signal
import sys
import threading
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from api.app import create_app
from api.services import EXTENSION
from app.connection import connect
from app.settings import Settings
from tests.engine import ScriptedEngine, answer
from workers import tasks  # noqa: F401 - RQ imports it at the first job: what it makes then is no part of a walk
from workers.claude_worker import ClaudeWorker
from workers.engine_by_way import Engines

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import FrameType

_ROOT = Path(__file__).parents[1]
_PARTS = ("api", "app", "workers")
#: what everybody in a process uses
_SHARED_GROUND = ("app",)
#: what leads from one room to the next
_HALLS = ("api", "workers")


class Walk:
    """The modules of which a function ran in one thread (`app/openai/accept`), in the order of their first call."""

    def __init__(self) -> None:
        self.all: list[str] = []

    @contextmanager
    def followed(self) -> Iterator[None]:
        """Follow what this thread calls."""
        sys.setprofile(self._note)
        try:
            yield
        finally:
            sys.setprofile(None)

    def _note(self, frame: FrameType, event: str, _: Any) -> None:
        path = Path(frame.f_code.co_filename)
        if event != "call" or not frame.f_code.co_flags & inspect.CO_OPTIMIZED or not path.is_relative_to(_ROOT):
            return
        module = path.relative_to(_ROOT).with_suffix("").as_posix()
        if module.partition("/")[0] in _PARTS and module not in self.all:
            self.all.append(module)

    @property
    def modules(self) -> list[str]:
        """Without the shared ground: what lies at the top of `app`."""
        return [module for module in self.all if module.rpartition("/")[0] not in _SHARED_GROUND]

    def returns(self) -> list[str]:
        """The modules that are met in a room (a folder) that was left for another one. The tops of `api` and `workers` are halls."""
        left: set[str] = set()
        room, found = "", []
        for module in self.modules:
            into = module.rpartition("/")[0]
            if into in (room, *_HALLS):
                continue
            left.add(room)
            room = into
            if room in left:
                found.append(module)
        return found


def walk(redis_url: str, **fields: Any) -> tuple[Walk, Walk]:
    """One synchronous chat request: through the API, through a worker. Only in the main thread, for the sake of RQ's signals."""
    settings = Settings(redis_url=redis_url)
    app, asked, worked = create_app(settings), Walk(), Walk()
    engine = ScriptedEngine(answer("Good night."))
    worker = ClaudeWorker(
        f"w-{time.monotonic_ns()}", connect(redis_url), settings, Engines.holding(settings, {engine.way: engine})
    )
    statuses: list[int] = []

    def post() -> None:
        body = {"model": "sonnet", "messages": [{"role": "user", "content": "Hello."}], **fields}
        with asked.followed():
            statuses.append(app.test_client().post("/v1/chat/completions", json=body).status_code)

    take = worker.execute_job

    def execute_job(*args: Any) -> None:
        with worked.followed():
            take(*args)

    worker.execute_job = execute_job  # type: ignore[assignment, method-assign]
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGUSR2)}
    client = threading.Thread(target=post)
    client.start()
    worker.work(max_jobs=1)
    client.join()
    for number, handler in handlers.items():
        signal.signal(number, handler)
    app.extensions[EXTENSION].waiting.stop()
    assert statuses == [200]
    return asked, worked
