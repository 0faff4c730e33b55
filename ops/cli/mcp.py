"""`nightshift mcp`: tools for agents, which talk to a running Nightshift as the other commands do."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from app import logs
from app.loopback import is_loopback
from app.settings import Settings
from ops.cli.options import Url, fail, whole_number
from ops.supervisor import probe


def mcp(
    *,
    allow_submit: Annotated[
        bool, Parameter(help="also the tools that spend: submit, continue, cancel, ask (default: only looking)")
    ] = False,
    files: Annotated[
        Path | None,
        Parameter(help="a directory: the agent may name files in it, tables to submit and new ones for results"),
    ] = None,
    http: Annotated[bool, Parameter(help="serve by HTTP at /mcp (default: stdin and stdout)")] = False,
    host: Annotated[str, Parameter(help="with --http: the address to listen on; others than loopback need keys")] = (
        "127.0.0.1"
    ),
    port: Annotated[
        int, Parameter(converter=whole_number(0, 65535), help="with --http (default 8205); 0: any that is free")
    ] = 8205,
    url: Url = None,
) -> int:
    """Serve until the client leaves; by HTTP until Ctrl-C."""
    if files is not None and http:
        fail("--files is for the client that started this: by HTTP leave it out.")
    if files is not None and not files.is_dir():
        fail(f"--files {files}: there is no such directory.")
    logs.configure(Settings.from_environment(), "mcp")
    if not http:
        from ops.agents import server  # noqa: PLC0415 - 44 MB that no other command needs

        server.by_stdio(url, files, may_submit=allow_submit)
        return 0
    from ops.agents import http as transport  # noqa: PLC0415 - as above

    if not is_loopback(host):
        transport.check(url)
    with probe.bound(host, port) as listener:
        # Who reads the address may ask at once.
        listener.listen()
        address = f"http://{f'[{host}]' if ':' in host else host}:{listener.getsockname()[1]}{transport.PATH}"
        print(f"nightshift mcp: {address}", file=sys.stderr, flush=True)
        transport.serve(listener, url, host, may_submit=allow_submit)
    return 0
