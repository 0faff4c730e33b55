"""Looks at addresses: is something there, does it answer, may we have it."""

from __future__ import annotations

import contextlib
import http.client
import json
import socket

from ops.supervisor.errors import StackError

_SECONDS = 1.0


def listens(host: str, port: int) -> bool:
    """Whether something accepts connections there."""
    with contextlib.suppress(OSError), socket.create_connection((reachable(host), port), timeout=_SECONDS):
        return True
    return False


def status(host: str, port: int, path: str) -> int | None:
    """The HTTP status that a GET of the path is answered with; None: no answer."""
    client = http.client.HTTPConnection(reachable(host), port, timeout=_SECONDS)
    try:
        client.request("GET", path)
        return client.getresponse().status
    except (OSError, http.client.HTTPException):
        return None
    finally:
        client.close()


def not_ready(host: str, port: int) -> tuple[str, str] | None:
    """Why the API says that no request would be served: the error's code and message, both empty when it does not answer. None: it would."""
    client = http.client.HTTPConnection(reachable(host), port, timeout=_SECONDS)
    try:
        client.request("GET", "/health/ready")
        answer = client.getresponse()
        error = {} if answer.status == 200 else json.loads(answer.read())["error"]
        return (str(error["code"]), str(error["message"])) if error else None
    except (OSError, http.client.HTTPException, ValueError, KeyError, TypeError):
        return "", ""
    finally:
        client.close()


def reachable(host: str) -> str:
    """An address to connect to for one that means `every address of this machine`."""
    return {"0.0.0.0": "127.0.0.1", "::": "::1", "": "127.0.0.1"}.get(host, host)  # noqa: S104 - compared, not bound


def claim_port(host: str, port: int) -> int:
    """Check that we can listen there; 0 finds a free port. Raises `StackError` saying why not."""
    with bound(host, port) as probe:
        return int(probe.getsockname()[1])


def bound(host: str, port: int) -> socket.socket:
    """A socket that is bound there, and does not listen yet. Raises `StackError` saying why not."""
    try:
        family, kind, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[
            0
        ]
        found = socket.socket(family, kind)
        try:
            found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            found.bind(address)
        except BaseException:
            found.close()
            raise
        return found
    except (OSError, OverflowError) as error:
        reason = getattr(error, "strerror", None) or error
        raise StackError(
            f"Can't listen on {host} port {port}: {reason}. Choose others with --host and --port."
        ) from error
