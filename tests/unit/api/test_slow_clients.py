"""Clients that drip: each read ends in its time, whatever comes now and then."""

from __future__ import annotations

import socket
import threading
from typing import TYPE_CHECKING

import pytest

from api import client_socket
from api.client_socket import PacedSocket, SlowClientError

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def ends(monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[PacedSocket, socket.socket]]:
    """The server's end and the client's, with little patience."""
    monkeypatch.setattr(client_socket, "HEAD_SECONDS", 0.2)
    monkeypatch.setattr(client_socket, "BODY_SECONDS", 0.2)
    ours, theirs = socket.socketpair()
    with ours, theirs:
        yield PacedSocket(ours), theirs


def drip(client: socket.socket, until: threading.Event) -> None:
    while not until.wait(0.02):
        client.sendall(b"x")


def read_on(paced: PacedSocket) -> None:
    while paced.recv(100):
        pass


@pytest.mark.parametrize("is_body", [False, True])
def test_dripping(ends: tuple[PacedSocket, socket.socket], is_body: bool) -> None:
    """Headers end as if the client had hung up, bodies with an error that is told."""
    paced, client = ends
    if is_body:
        paced.begin_body()
    over = threading.Event()
    dripping = threading.Thread(target=drip, args=(client, over))
    dripping.start()
    try:
        if is_body:
            with pytest.raises(SlowClientError):
                read_on(paced)
        else:
            read_on(paced)
    finally:
        over.set()
        dripping.join()


def test_what_comes_earns_time(ends: tuple[PacedSocket, socket.socket], monkeypatch: pytest.MonkeyPatch) -> None:
    """A body that comes at the pace may take as long as it is."""
    monkeypatch.setattr(client_socket, "BYTES_PER_SECOND", 10)
    paced, client = ends
    paced.begin_body()
    client.sendall(b"x" * 100)
    assert len(paced.recv(100)) == 100
    late = threading.Timer(0.5, client.sendall, (b"more",))
    late.start()
    assert paced.recv(100) == b"more"
    late.join()


def test_a_limit_of_single_reads(ends: tuple[PacedSocket, socket.socket]) -> None:
    """As gunicorn asks for, for what is left of a body: a plain `TimeoutError`."""
    paced, _ = ends
    paced.settimeout(0.01)
    with pytest.raises(TimeoutError) as caught:
        paced.recv(1)
    assert not isinstance(caught.value, SlowClientError)
