"""Host names to addresses, in bounded time: `getaddrinfo` takes no timeout, so it runs in a thread of its own."""

from __future__ import annotations

import queue
import socket
import threading
from collections.abc import Callable
from ipaddress import IPv4Address, IPv6Address, ip_address

IPAddress = IPv4Address | IPv6Address

#: (host, port) -> addresses. Raises `OSError` when the name does not resolve.
Resolver = Callable[[str, int], list[str]]

#: lookups under way at once in this process; a thread that hangs in the C library cannot be ended
MAX_LOOKUPS = 32
_places = threading.BoundedSemaphore(MAX_LOOKUPS)


def system_resolver(host: str, port: int) -> list[str]:
    """All addresses that the system knows for the name, /etc/hosts included, in its order of preference."""
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return [str(sockaddr[0]) for _family, _type, _proto, _name, sockaddr in found]


def resolve(host: str, port: int, *, resolver: Resolver, timeout_seconds: float) -> tuple[IPAddress, ...]:
    """Every address of the host, without duplicates, in the resolver's order; never empty.

    Raises:
        OSError: the name has no address, or there was no answer in time (`TimeoutError`).
    """
    if not _places.acquire(timeout=timeout_seconds):
        raise TimeoutError("too many name lookups are under way")
    answers: queue.SimpleQueue[list[str] | Exception] = queue.SimpleQueue()

    def look_up() -> None:
        try:
            answers.put(resolver(host, port))
        except Exception as error:  # noqa: BLE001 - handed to the waiting thread, which raises it
            answers.put(error)
        finally:
            _places.release()

    threading.Thread(target=look_up, name="lookup", daemon=True).start()
    try:
        answer = answers.get(timeout=timeout_seconds)
    except queue.Empty:
        raise TimeoutError(f"no answer from DNS within {timeout_seconds:.0f} s") from None
    if isinstance(answer, UnicodeError):  # from the idna codec: a label that is empty or too long
        raise OSError("not a host name") from answer
    if isinstance(answer, Exception):
        raise answer
    # A zone ("fe80::1%eth0") names an interface of this machine; such addresses are link-local, and stay so without.
    addresses = tuple(dict.fromkeys(ip_address(text.partition("%")[0]) for text in answer))
    if not addresses:
        raise OSError("the name has no address")
    return addresses
