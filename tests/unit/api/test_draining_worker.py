"""gunicorn's worker, as it ends: who has just connected is not cut off."""

from __future__ import annotations

import selectors
import socket
from collections import deque
from concurrent.futures import Future
from typing import Any

from gunicorn.config import Config
from gunicorn.workers import gthread

from api.gunicorn_parts import Connection, Worker


def test_who_has_just_connected_may_still_ask() -> None:
    """Nothing of the request had come at the first look, and the process was told to end before that look was back."""
    ours, client = socket.socketpair()
    worker: Any = Worker.__new__(Worker)
    worker.alive, worker.nr_conns = False, 1
    worker.pending_conns, worker.poller = deque(), selectors.DefaultSelector()
    with ours, client, worker.poller:
        found: Future[Any] = Future()
        found.set_result(gthread._DEFER)
        worker.finish_request(Connection(Config(), ours, "client", "server"), found)
        client.sendall(b"GET / HTTP/1.1\r\n")
        ((key, _),) = worker.poller.select(5)
        assert key.fileobj is ours
        assert worker.nr_conns == 1
