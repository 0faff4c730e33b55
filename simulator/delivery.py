"""Playing a script to a client: write what is due, and notice when nobody listens any more."""

import asyncio
from collections.abc import Callable

from starlette.types import Receive, Send

from simulator.script import Script

#: Seconds between two looks whether an answer is still held.
LOOK_SECONDS = 0.02


async def deliver(
    script: Script, receive: Receive, send: Send, started: float, is_held: Callable[[], bool] = lambda: False
) -> bool:
    """Write ``script`` and return whether the client was there to the end.

    ``started`` is the event loop's time from which the writes' moments count. ``is_held`` says whether what a held
    script holds back is held back still. The request's body must have been read. A broken script leaves the answer without its end; the server then closes the connection.
    """
    if script.writes and script.writes[-1].at == 0 and script.held is None:
        await _write(script, send)
        return True
    listening = asyncio.ensure_future(_wait_for_disconnect(receive))
    try:
        return await _write_on_time(script, listening, send, started, is_held)
    finally:
        listening.cancel()


async def _write(script: Script, send: Send) -> None:
    await _start(script, send)
    for number, write in enumerate(script.writes, 1):
        await _body(script, send, write.data, number)


async def _write_on_time(
    script: Script, listening: asyncio.Future[None], send: Send, started: float, is_held: Callable[[], bool]
) -> bool:
    clock = asyncio.get_running_loop().time
    for number, write in enumerate(script.writes, 1):
        if number - 1 == script.held:
            began = clock()
            while is_held() and not listening.done():
                await asyncio.wait([listening], timeout=LOOK_SECONDS)
            started += clock() - began
        delay = started + write.at - clock()
        if delay > 0:
            await asyncio.wait([listening], timeout=delay)
        if listening.done():
            return False
        if number == 1:
            await _start(script, send)
        await _body(script, send, write.data, number)
    return True


async def _start(script: Script, send: Send) -> None:
    headers = {"content-type": script.content_type, **script.headers}
    if "text/event-stream" not in script.content_type and not script.broken:
        headers["content-length"] = str(sum(len(write.data) for write in script.writes))
    raw = [(name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in headers.items()]
    await send({"type": "http.response.start", "status": script.status, "headers": raw})


async def _body(script: Script, send: Send, data: bytes, number: int) -> None:
    more = script.broken or number < len(script.writes)
    await send({"type": "http.response.body", "body": data, "more_body": more})


async def _wait_for_disconnect(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
