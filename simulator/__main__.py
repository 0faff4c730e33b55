"""``python -m simulator``: the simulator as a process of its own."""

import argparse
import asyncio
import contextlib
import os
import signal
import socket
import sys
from collections.abc import Iterator
from pathlib import Path

import uvicorn

from simulator.app import create_app
from simulator.rules import RuleError, load_rules
from simulator.settings import DEFAULT_LOG_BYTES, DEFAULT_MAX_INPUT_TOKENS, Settings


def main(argv: list[str] | None = None) -> int:
    """Serve until SIGTERM or SIGINT, which end the process at once, open streams included."""
    parser = _parser()
    options = parser.parse_args(argv)
    try:
        rules = load_rules(options.rules) if options.rules else []
    except (OSError, RuleError) as error:
        parser.error(f"--rules {options.rules}: {error}")
    settings = Settings(
        latency_ms=options.latency_ms,
        tokens_per_second=options.tokens_per_second,
        log_bytes=options.log_bytes,
        log_file=options.log_file,
        max_input_tokens=options.max_input_tokens,
    )
    try:
        listener = _listen(options.host, options.port)
    except OSError as error:
        parser.error(f"cannot listen on {options.host}:{options.port}: {error}")
    config = uvicorn.Config(
        create_app(settings, rules),
        access_log=False,
        log_level="critical",
        lifespan="off",
        ws="none",
        server_header=False,
        date_header=False,
        timeout_keep_alive=120,
    )
    asyncio.run(_serve(_Server(config, options.port_file), listener))
    return 0


class _Server(uvicorn.Server):
    """Says where it listens, and leaves the signals to :func:`_serve`."""

    def __init__(self, config: uvicorn.Config, port_file: Path | None) -> None:
        super().__init__(config)
        self._port_file = port_file

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        host, port = (sockets or [])[0].getsockname()[:2]
        if self._port_file:
            _write_atomically(self._port_file, f"{port}\n")
        name = f"[{host}]" if ":" in host else host
        sys.stdout.write(f"Simulated Messages API on http://{name}:{port}\n")
        sys.stdout.flush()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


async def _serve(server: _Server, listener: socket.socket) -> None:
    serving = asyncio.ensure_future(server.serve(sockets=[listener]))
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, serving.cancel)
    # Cancelled, the server waits for no open stream; the end of the process closes them.
    with contextlib.suppress(asyncio.CancelledError):
        await serving


def _listen(host: str, port: int) -> socket.socket:
    family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    # asyncio turns Nagle's delay (40 ms a request) off only for sockets that name their protocol.
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind(address)
    return listener


def _write_atomically(path: Path, text: str) -> None:
    draft = path.with_name(f"{path.name}.{os.getpid()}.tmp")
    draft.write_text(text)
    draft.replace(path)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m simulator", description="A simulated Messages API on loopback.")
    add = parser.add_argument
    add("--host", default="127.0.0.1", help="address to listen on")
    add("--port", type=int, default=0, help="port to listen on; 0 takes a free one")
    add("--port-file", type=Path, help="file that gets the port once it listens")
    add("--rules", type=Path, help="JSON file with the rules to begin with")
    add("--latency-ms", type=float, default=0, help="wait before the first byte")
    add("--tokens-per-second", type=float, default=0, help="pace of a stream; 0 sends it whole")
    add("--max-input-tokens", type=int, default=DEFAULT_MAX_INPUT_TOKENS, help="beyond it: prompt is too long")
    add("--log-bytes", type=int, default=DEFAULT_LOG_BYTES, help="memory for the request log")
    add("--log-file", type=Path, help="file that gets one JSON line per request")
    return parser


if __name__ == "__main__":
    raise SystemExit(main())
