"""What an ASGI request says: its headers, its path and its body."""

from starlette.types import Receive, Scope


def header_dict(scope: Scope) -> dict[str, str]:
    """Return the headers by their lower-case names."""
    return {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}


def path_of(scope: Scope) -> str:
    """Return the path with its query."""
    query = scope["query_string"].decode("latin-1")
    return f"{scope['path']}?{query}" if query else str(scope["path"])


async def read_body(receive: Receive, max_bytes: int) -> bytes | None:
    """Return the request's body, None when the client left before its end.

    Of a body that is too large only the beginning is kept, one byte more than is allowed.
    """
    pieces: list[bytes] = []
    size = 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            return None
        piece = message.get("body", b"")[: max_bytes + 1 - size]
        size += len(piece)
        pieces.append(piece)
        if not message.get("more_body"):
            return b"".join(pieces)
