"""Message Batches over HTTP: each call once, by a client that tries nothing again and follows no redirect."""

from __future__ import annotations

import json
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from typing import IO, TYPE_CHECKING, Any

import httpx2

from app.messages.failure import FailureKind, TurnFailed
from workers.messages_api.client import base_url, blocking_client
from workers.messages_api.failures import failure_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from app.settings import Settings

PATH = "v1/messages/batches"
#: without a byte for so long a call has failed; one that sends a part may wait longer, since nobody may send it twice, seconds
SILENCE_SECONDS = 60.0
CREATE_SECONDS = 300.0
#: of an answer that is not results, bytes
MAX_ANSWER_BYTES = 8 * 1024 * 1024
#: batches on one page of the list
PAGE = 100
#: what the API does not say it has refused for good: a request like it may have been taken
_MAYBE_TAKEN = frozenset({408, 409})
_OVERLOADED = 529


class MaybeSentError(Exception):
    """The answer to a part's sending was lost, or does not say whether the API has taken it."""


@dataclass(frozen=True)
class BatchAtApi:
    """A message batch as the API describes it. Times are seconds since the epoch."""

    id: str
    status: str
    created_at: float
    ended_at: float | None
    results_url: str | None
    #: requests by what became of them, and `processing`
    counts: Mapping[str, int] = field(default_factory=dict)

    @property
    def requests(self) -> int:
        """How many it has."""
        return sum(self.counts.values())

    @property
    def has_ended(self) -> bool:
        """Whether its results can be read."""
        return self.status == "ended"


class BatchesApi:
    """For one thread. Raises `TurnFailed` for what the API refuses, or where it can't be reached."""

    def __init__(self, settings: Settings) -> None:
        """Raises `SettingsError`."""
        self._client = blocking_client(settings, silence_seconds=SILENCE_SECONDS)
        self._base = base_url(settings.claude_environment)

    def create(self, body: IO[bytes], size: int, betas: str) -> BatchAtApi:
        """Send a part. Raises `TurnFailed` where the API has not taken it for certain, else `MaybeSentError`."""
        headers = {"content-type": "application/json", "content-length": str(size)}
        if betas:
            headers["anthropic-beta"] = betas
        try:
            with self._client.stream(
                "POST", PATH, content=body, headers=headers, timeout=httpx2.Timeout(CREATE_SECONDS, connect=20.0)
            ) as response:
                status, found = response.status_code, _read(response)
        except (httpx2.ConnectError, httpx2.ConnectTimeout) as error:
            raise _unreachable(error) from None
        except (httpx2.HTTPError, OSError, ValueError) as error:
            raise MaybeSentError(f"the connection broke ({type(error).__name__})") from None
        if 200 <= status < 300:
            try:
                return _described(found)
            except (LookupError, TypeError, ValueError, AttributeError):
                raise MaybeSentError("the answer can't be read") from None
        if status in _MAYBE_TAKEN or (status >= 500 and status != _OVERLOADED):
            raise MaybeSentError(f"the answer has the status {status}")
        raise failure_of(status, found, response.headers)

    def retrieve(self, batch_id: str) -> BatchAtApi:
        """How far a part is."""
        return self._described("GET", f"{PATH}/{batch_id}")

    def cancel(self, batch_id: str) -> BatchAtApi:
        """Begin to cancel a part. What is done of it has results."""
        return self._described("POST", f"{PATH}/{batch_id}/cancel")

    def since(self, moment: float) -> Iterator[BatchAtApi]:
        """All batches that were created since then, newest first."""
        after = ""
        while True:
            page = self._ask("GET", f"{PATH}?limit={PAGE}{after}")
            try:
                found = [_described(one) for one in page["data"]]
                has_more = bool(page["has_more"])
            except (LookupError, TypeError, ValueError, AttributeError) as error:
                raise _unreadable(error) from None
            yield from (one for one in found if one.created_at >= moment)
            if not has_more or not found or found[-1].created_at < moment:
                return
            after = f"&after_id={found[-1].id}"

    def check_login(self) -> None:
        """Ask for something that costs nothing."""
        self._ask("GET", f"{PATH}?limit=1")

    @contextmanager
    def results(self, batch: BatchAtApi) -> Iterator[Iterator[bytes]]:
        """The pieces of a part's results, as they come. Raises `TurnFailed` also for a connection that breaks in between."""
        try:
            with self._client.stream("GET", self._results_url(batch)) as response:
                if response.status_code != 200:
                    raise failure_of(response.status_code, _read(response), response.headers)
                yield response.iter_raw()
        except httpx2.HTTPError as error:
            raise _unreachable(error) from None

    def _results_url(self, batch: BatchAtApi) -> httpx2.URL | str:
        """As the API names it, where that is the API itself: only there goes the key. Else, and from a gateway, as documented."""
        if batch.results_url:
            named = httpx2.URL(batch.results_url)
            if (named.scheme, named.host, named.port) == (self._base.scheme, self._base.host, self._base.port):
                return named
        return f"{PATH}/{batch.id}/results"

    def _described(self, method: str, path: str) -> BatchAtApi:
        found = self._ask(method, path)
        try:
            return _described(found)
        except (LookupError, TypeError, ValueError, AttributeError) as error:
            raise _unreadable(error) from None

    def _ask(self, method: str, path: str) -> Any:
        try:
            with self._client.stream(method, path) as response:
                found = _read(response)
        except (httpx2.HTTPError, OSError, ValueError) as error:
            raise _unreachable(error) from None
        if response.status_code != 200:
            raise failure_of(response.status_code, found, response.headers)
        return found

    def close(self) -> None:
        """End its connections."""
        self._client.close()


def _read(response: httpx2.Response) -> Any:
    """The answer's JSON; None when it is none. Raises `ValueError` when it is too large."""
    found = bytearray()
    for piece in response.iter_raw():
        found += piece
        if len(found) > MAX_ANSWER_BYTES:
            raise ValueError("the answer is too large")
    try:
        return json.loads(found)
    except ValueError:
        return None


def _described(found: Any) -> BatchAtApi:
    """By what is known of it: other fields are left aside. Raises `LookupError`, `TypeError`, `ValueError` or `AttributeError`."""
    ended_at, results_url = found.get("ended_at"), found.get("results_url")
    if not isinstance(found["id"], str) or not found["id"]:
        raise ValueError("it has no id")
    return BatchAtApi(
        id=found["id"],
        status=str(found["processing_status"]),
        created_at=datetime.fromisoformat(found["created_at"]).timestamp(),
        ended_at=None if ended_at is None else datetime.fromisoformat(ended_at).timestamp(),
        results_url=results_url if isinstance(results_url, str) else None,
        counts={str(name): int(count) for name, count in found["request_counts"].items()},
    )


def _unreachable(error: Exception) -> TurnFailed:
    words = str(error) or type(error).__name__
    return TurnFailed(FailureKind.SERVER, f"Claude's API could not be reached: {words}")


def _unreadable(error: Exception) -> TurnFailed:
    return TurnFailed(FailureKind.SERVER, f"Claude's API sent what can't be read ({type(error).__name__}).")
