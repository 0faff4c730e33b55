"""Steering a running simulator from a test or a benchmark, with nothing but the standard library."""

import http.client
import json
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import quote, urlencode, urlsplit

#: Seconds that one call may take.
TIMEOUT_SECONDS = 60


class SimulatorControlError(RuntimeError):
    """The simulator refused a control call, or is not there; the message says why."""


class SimulatorControl:
    """The control side of the simulator at ``base_url``, such as ``http://127.0.0.1:8123``.

    Each method is one HTTP request on a connection of its own, so that an object can be shared by threads.

    Raises:
        SimulatorControlError: by every method, when the call cannot be made or is refused.
    """

    def __init__(self, base_url: str, timeout_seconds: float = TIMEOUT_SECONDS) -> None:
        self.base_url = base_url.rstrip("/")
        self._timeout_seconds = timeout_seconds

    def add_rule(
        self,
        respond: Mapping[str, Any] | None = None,
        *,
        match: Mapping[str, Any] | None = None,
        times: int | None = None,
        after: int = 0,
        probability: float = 1,
        seed: int = 0,
        latency_ms: float | None = None,
        tokens_per_second: float | None = None,
    ) -> int:
        """Append a rule and return its id; the fields are those of :class:`simulator.rules.Rule`.

        For example ``add_rule({"error": {"status": 529}}, match={"contains": "please"}, times=1)``.
        """
        rule = {
            "match": dict(match or {}),
            "times": times,
            "after": after,
            "probability": probability,
            "seed": seed,
            "respond": dict(respond or {}),
            "latency_ms": latency_ms,
            "tokens_per_second": tokens_per_second,
        }
        return self.add_rules([rule])[0]

    def add_rules(self, rules: Sequence[Mapping[str, Any]]) -> list[int]:
        """Append rules given as JSON objects and return their ids."""
        return list(self._call("POST", "/rules", list(rules))["ids"])

    def set_rules(self, rules: Sequence[Mapping[str, Any]]) -> list[int]:
        """Put ``rules`` in the place of all others and return their ids."""
        return list(self._call("PUT", "/rules", list(rules))["ids"])

    def remove_rule(self, rule_id: int) -> None:
        """Remove one rule; an error when there is none of that id."""
        self._call("DELETE", f"/rules/{rule_id}")

    def rules(self) -> list[dict[str, Any]]:
        """Return the rules in force, each as ``{"id", "matched", "used", "rule"}``."""
        return list(self._call("GET", "/rules")["rules"])

    def clear_rules(self) -> None:
        """Remove every rule."""
        self._call("DELETE", "/rules")

    def clear(self) -> None:
        """Remove every rule and forget every request and count."""
        self.clear_rules()
        self.clear_requests()

    def requests(self, contains: str = "", *, after: int = -1, limit: int = 1_000) -> list[dict[str, Any]]:
        """Return the logged requests, oldest first; see :class:`simulator.request_log.Entry` for the fields.

        Only those with an index above ``after``, and with ``contains`` in their body.
        """
        query = urlencode({"contains": contains, "after": after, "limit": limit}, quote_via=quote)
        return list(self._call("GET", f"/requests?{query}")["requests"])

    def dropped(self) -> int:
        """Return how many requests the log had no room for."""
        return int(self.stats()["dropped"])

    def clear_requests(self) -> None:
        """Forget the logged requests and start the counts again."""
        self._call("DELETE", "/requests")

    def stats(self) -> dict[str, Any]:
        """Return the counts since the start or the last :meth:`clear_requests`.

        ``by_status`` (status to count), ``answered``, ``running``, ``max_running`` (at once), ``client_gone``,
        ``logged``, ``logged_bytes`` and ``dropped``.
        """
        return dict(self._call("GET", "/stats"))

    def is_up(self) -> bool:
        """Return whether the simulator answers."""
        try:
            self.stats()
        except SimulatorControlError:
            return False
        return True

    def _call(self, method: str, path: str, body: Any = None) -> Any:
        parts = urlsplit(self.base_url)
        connection = http.client.HTTPConnection(parts.netloc, timeout=self._timeout_seconds)
        try:
            connection.request(method, f"{parts.path}/_control{path}", None if body is None else json.dumps(body))
            response = connection.getresponse()
            data = response.read()
        except (OSError, http.client.HTTPException) as error:
            raise SimulatorControlError(f"{method} {path} at {self.base_url}: {error}") from error
        finally:
            connection.close()
        if response.status >= 400:
            raise SimulatorControlError(f"{method} {path}: {response.status} {data.decode(errors='replace')}")
        return json.loads(data) if data else None
