"""Where requests and replies end: as much of RESP 2 and 3 as that takes (https://redis.io/docs/latest/develop/reference/protocol-spec/)."""

from __future__ import annotations

from typing import NamedTuple

_CRLF = b"\r\n"
_LINES = b"+-:_#,("
_BYTES = b"$=!"
_LISTS = b"*~>"
_PAIRS = b"%|"
#: of a connection that is being set up: no client's own wish
_SET_UP = frozenset({b"HELLO", b"AUTH", b"SELECT", b"CLIENT", b"PING", b"READONLY"})
_SUBSCRIBING = frozenset({b"SUBSCRIBE", b"PSUBSCRIBE", b"SSUBSCRIBE", b"MONITOR"})


class ProtocolError(ValueError):
    """These bytes are no RESP."""


class Request(NamedTuple):
    """What Redis does in one step: a command, or a MULTI with all up to its EXEC (clients send these in one piece)."""

    commands: tuple[tuple[bytes, ...], ...]
    raw: bytes

    @property
    def names(self) -> tuple[bytes, ...]:
        """The commands' names, in capitals."""
        return tuple(command[0].upper() for command in self.commands)

    @property
    def is_set_up(self) -> bool:
        """Whether it only sets up the connection."""
        return _SET_UP.issuperset(self.names)

    @property
    def subscribes(self) -> bool:
        """Whether what comes after it answers nothing."""
        return not _SUBSCRIBING.isdisjoint(self.names)

    def has(self, *parts: str) -> bool:
        """Whether each part is in some argument (or name) of it."""
        text = b"\n".join(b"\n".join(command) for command in self.commands)
        return all(part.encode() in text for part in parts)


def first_request(buffer: bytes | bytearray) -> Request | None:
    """The request that the buffer begins with; None when it is not all there yet. Raises `ProtocolError`."""
    commands: list[tuple[bytes, ...]] = []
    at = 0
    while True:
        found = _command(buffer, at)
        if found is None:
            return None
        command, at = found
        commands.append(command)
        if commands[0][0].upper() != b"MULTI" or command[0].upper() in (b"EXEC", b"DISCARD"):
            return Request(tuple(commands), bytes(buffer[:at]))


def end_of_reply(buffer: bytes | bytearray, at: int = 0) -> int | None:
    """Where the reply that begins there ends; None when it is not all there yet. Raises `ProtocolError`."""
    line = _line(buffer, at)
    if line is None:
        return None
    kind, text, at = line
    if kind in _LINES:
        return at
    size = _number(text)
    if kind in _BYTES:
        at += size + 2 if size >= 0 else 0
        return at if at <= len(buffer) else None
    if kind not in _LISTS + _PAIRS:
        raise ProtocolError(f"a reply does not begin with {kind!r}")
    # An attribute is followed by what it is one of.
    for _ in range(size if kind in _LISTS else 2 * size + (kind == b"|")):
        end = end_of_reply(buffer, at)
        if end is None:
            return None
        at = end
    return at


def is_push(reply: bytes) -> bool:
    """Whether it answers nothing (RESP 3)."""
    return reply[:1] == b">"


def _command(buffer: bytes | bytearray, at: int) -> tuple[tuple[bytes, ...], int] | None:
    line = _line(buffer, at)
    if line is None:
        return None
    kind, text, at = line
    if kind != b"*":
        raise ProtocolError(f"a command does not begin with {kind!r}")
    arguments: list[bytes] = []
    for _ in range(_number(text)):
        line = _line(buffer, at)
        if line is None:
            return None
        kind, text, at = line
        size = _number(text)
        if kind != b"$":
            raise ProtocolError(f"an argument does not begin with {kind!r}")
        if at + size + 2 > len(buffer):
            return None
        arguments.append(bytes(buffer[at : at + size]))
        at += size + 2
    return tuple(arguments), at


def _line(buffer: bytes | bytearray, at: int) -> tuple[bytes, bytes, int] | None:
    """(kind, text, where it ends)."""
    end = buffer.find(_CRLF, at)
    if end < 0:
        return None
    return bytes(buffer[at : at + 1]), bytes(buffer[at + 1 : end]), end + 2


def _number(text: bytes) -> int:
    try:
        return int(text)
    except ValueError as error:
        raise ProtocolError(f"{text[:40]!r} is no number") from error
