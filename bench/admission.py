"""What a key's limits and its budget cost: CPU of the API for a request that is accepted, against one without a key."""

from __future__ import annotations

import http.client
import json
import statistics
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from bench.children import BenchError
from bench.gateway import Gateway
from bench.processes import CpuMeter
from bench.run import say
from bench.sizes import PROMPT
from bench.table import section

if TYPE_CHECKING:
    from pathlib import Path

#: rounds of each kind, one after the other, and requests in each
ROUNDS, REQUESTS = 12, 250
_LIMITS = {
    "name": "bench",
    "requests_per_minute": 10**9,
    "tokens_per_minute": 10**9,
    "max_queued": 10**6,
    "models": ["sonnet"],
    "budget": "1000000/month,1000000000tokens/day",
}
_NO_KEY, _NAMED, _LIMITED = "without a key", "with a key", "with a key, all its limits and two budgets"
_BODY = json.dumps({"model": "sonnet", "messages": [{"role": "user", "content": PROMPT}]}).encode()


class _Asker:
    """Sends requests whose answers nobody waits for."""

    def __init__(self, url: str) -> None:
        self._connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=60)

    def post(self, path: str, body: bytes, **headers: str) -> dict[str, str]:
        """The answer. Raises `BenchError`."""
        self._connection.request("POST", path, body, {"Content-Type": "application/json", **headers})
        response = self._connection.getresponse()
        read = response.read()
        if response.status >= 300:
            raise BenchError(f"the gateway answered {response.status}: {read[:500]!r}")
        found: dict[str, str] = json.loads(read)
        return found

    def ask(self, key: str) -> None:
        """One request, accepted."""
        headers = {"Authorization": f"Bearer {key}"} if key else {}
        self.post("/v1/chat/completions", _BODY, Prefer="respond-async", **headers)


def run(directory: Path) -> dict[str, float]:
    """Milliseconds of the API's CPU for a request, the median of the rounds, by kind. Raises `BenchError`."""
    gateway = Gateway(directory / "gateway", 1, {"NIGHTSHIFT_WAYS": "api", "NIGHTSHIFT_MAX_QUEUED": "100000"})
    try:
        gateway.wait()
        asker = _Asker(gateway.url)
        asker.post("/v1/gate/pause", b"{}")
        named = asker.post("/v1/keys", json.dumps({"name": "named"}).encode())["key"]
        keys = {_NO_KEY: "", _NAMED: named, _LIMITED: asker.post("/v1/keys", json.dumps(_LIMITS).encode())["key"]}
        found: dict[str, list[float]] = {kind: [] for kind in keys}
        for number in range(ROUNDS + 1):
            say(f"round {number} of {ROUNDS}")
            for kind, key in keys.items():
                meter = CpuMeter([gateway.pid])
                for _ in range(REQUESTS):
                    asker.ask(key)
                # In the first round processes warm up.
                if number:
                    found[kind].append(1000 * meter.spent()["api"] / REQUESTS)
        return {kind: statistics.median(times) for kind, times in found.items()}
    finally:
        gateway.close()


def text(found: dict[str, float]) -> str:
    """The table."""
    base = found[_NO_KEY]
    rows = [(kind, f"{ms:.2f} ms", f"{ms - base:+.2f} ms" if kind != _NO_KEY else "") for kind, ms in found.items()]
    return "\n".join(section("CPU of the API for a request that is accepted (aim: at most 0.3 ms more)", rows))
