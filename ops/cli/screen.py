"""The one screen that `nightshift up` shows when everything runs."""

from __future__ import annotations

import ipaddress
import shlex
import socket
from typing import TYPE_CHECKING

from app.loopback import is_loopback
from app.ways import Way
from ops.supervisor import probe

if TYPE_CHECKING:
    from app.settings import Settings
    from app.ways import Step

OFFLINE = "OFFLINE: answers are simulated. No request leaves this machine; without --offline Claude answers."

_WAYS = {
    Way.CLI: "Claude's command line (cli)",
    Way.API: "Claude's API (api)",
    Way.BATCHES: "Message Batches (batches, for lines of batches)",
}


def url(settings: Settings) -> str:
    """Where this machine finds the API."""
    host = probe.reachable(settings.host)
    return f"http://{f'[{host}]' if ':' in host else host}:{settings.port}"


def text(
    settings: Settings,
    address: tuple[str, int],
    login: str | None,
    new_secret: str | None,
    *,
    embedded: bool,
    is_kept: bool = False,
    trouble: str = "",
) -> str:
    """What runs where, and how to try it.

    `address`: the socket's own; `new_secret`: made at this start, shown this once, but not on a screen that `is_kept` (a journal);
    `trouble`: why nothing is served yet.
    """
    base = url(settings)
    rows = [
        ("Listens on", _listens_on(*address)),
        ("API", f"{base}/v1"),
        ("Page", f"{base}/"),
        ("Health", f"{base}/health"),
        ("Login", "none needed (offline)" if settings.offline else login or "unknown"),
        ("Workers", f"{settings.workers}, by {', then '.join(map(_way, settings.ways))}"),
        ("Data", f"{settings.data_dir}{'' if embedded else ' (jobs: in the Redis of REDIS_URL)'}"),
    ]
    if settings.storage:
        rows.append(("Files", settings.storage))
    if new_secret:
        file = settings.data_dir / "webhook-secret"
        shown = f"the secret in {file}" if is_kept else new_secret
        rows.append(("Webhooks", f"signed with {shown}"))
        rows.append(("", "made just now" if is_kept else f"made just now, kept in {file}, not shown again"))
    title = f"Nightshift runs, and can't answer yet. {trouble}" if trouble else "Nightshift is up."
    lines = ["", title + (f"  {OFFLINE}" if settings.offline else ""), ""]
    lines += [f"  {name:<10} {value}" for name, value in rows]
    lines += ["", "Try it:", "", *_curl(settings, base), "", "Ctrl-C or `nightshift stop` ends it.", ""]
    return "\n".join(lines)


def _way(step: Step) -> str:
    login = f" with {step.login.replace('_', ' ')}" if step.login else ""
    return _WAYS[step.way] + login + (f" up to {step.cap}" if step.cap else "")


def _listens_on(host: str, port: int) -> str:
    """Who can reach it, which the address to try it by does not say."""
    place = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    if is_loopback(host):
        return f"{place}, for this machine only"
    if ipaddress.ip_address(host.partition("%")[0]).is_unspecified:
        return f"{place}, every address of this machine ({socket.gethostname()})"
    return place


def _curl(settings: Settings, base: str) -> list[str]:
    body = '{"model": "haiku", "messages": [{"role": "user", "content": "Say hello."}]}'
    key = ["    -H 'Authorization: Bearer ONE-OF-NIGHTSHIFT_API_KEYS' \\"] if settings.api_keys else []
    return [
        f"  curl {shlex.quote(base + '/v1/chat/completions')} \\",
        *key,
        "    -H 'Content-Type: application/json' \\",
        f"    -d '{body}'",
    ]
