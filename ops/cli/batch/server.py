"""The API as the command line uses it. Every method raises `ServerError`, whose message is for the user."""

from __future__ import annotations

import contextlib
import json
import sys
from typing import IO, TYPE_CHECKING, Any
from urllib.parse import quote, urlsplit

import httpx

from app import environment
from app.loopback import is_loopback
from app.settings import Settings
from ops.supervisor.data_dir import DataDirLock
from ops.supervisor.errors import StackError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

#: a large upload is answered when it is on the server's disk, seconds
_TIMEOUT_SECONDS = 600.0
_CONNECT_SECONDS = 5.0
#: the exit status for a batch that waits for somebody's word
HELD_STATUS = 4
FINAL = ("completed", "failed", "expired", "cancelled")
#: in a batch's metadata: which requests were submitted, see `source.Source.digest`
DIGEST = "nightshift_digest"
#: the same: of what batch it is a retry
RETRY_OF = "retry_of"


def address_of(given: str | None, environ: Mapping[str, str]) -> str:
    """What was given; else `NIGHTSHIFT_URL`, this machine's `NIGHTSHIFT_PORT`, what runs on the data dir, the default port."""
    found = given or environ.get("NIGHTSHIFT_URL") or _of_this_machine(environ)
    if "://" not in found:
        found = f"http://{found}"
    return found.rstrip("/").removesuffix("/v1")


def key_of(environ: Mapping[str, str]) -> str:
    """`NIGHTSHIFT_API_KEY`; else the first of this machine's keys, if any."""
    return environ.get("NIGHTSHIFT_API_KEY") or environ.get("NIGHTSHIFT_API_KEYS", "").split(",")[0].strip()


def may_need_a_proxy(address: str) -> bool:
    """Whether `HTTP_PROXY` and its like are for it: no proxy leads to this machine."""
    try:
        return not is_loopback(urlsplit(address).hostname or "")
    except ValueError:
        return True


def _of_this_machine(environ: Mapping[str, str]) -> str:
    if port := environ.get("NIGHTSHIFT_PORT"):
        return f"http://127.0.0.1:{port}"
    running = None
    with contextlib.suppress(ValueError):  # no home, no data dir in it
        running = DataDirLock.address(environment.home_path(environ.get("NIGHTSHIFT_DATA_DIR") or "~/.nightshift"))
    return running or f"http://127.0.0.1:{Settings.port}"


class ServerError(StackError):
    """The server refused, or is not there."""


class ServerAway(ServerError):
    """Nobody answers."""


class Server:
    """One server. Use with `with`."""

    def __init__(self, url: str | None, key: str | None = None) -> None:
        environ = environment.variables()
        #: its address
        self.url = address_of(url, environ)
        key = key_of(environ) if key is None else key
        headers = {"Authorization": f"Bearer {key}"} if key else {}
        timeout = httpx.Timeout(_TIMEOUT_SECONDS, connect=_CONNECT_SECONDS)
        self._http = httpx.Client(
            base_url=self.url, headers=headers, timeout=timeout, trust_env=may_need_a_proxy(self.url)
        )

    def __enter__(self) -> Server:
        return self

    def __exit__(self, *_: object) -> None:
        self._http.close()

    def upload(self, file: IO[bytes], name: str) -> str:
        """The file's id. It is streamed, however large."""
        form = {"purpose": (None, "batch"), "file": (name, file, "application/octet-stream")}
        return str(self._ask("POST", "/v1/files", files=form)["id"])

    def create(
        self, file_id: str, metadata: dict[str, str], completion_window: str, notify: Sequence[str] = ()
    ) -> dict[str, Any]:
        """The batch. `notify`: where messages about it go."""
        body = {
            "input_file_id": file_id,
            "endpoint": "/v1/chat/completions",
            "completion_window": completion_window,
            "metadata": metadata,
        } | ({"notify": list(notify)} if notify else {})
        return self._ask("POST", "/v1/batches", json=body)

    def check_model(self, name: str) -> None:
        """Raises `ServerError` for a model that the server does not know, before thousands of requests name it."""
        self._ask("GET", f"/v1/models/{quote(name, safe='')}")

    def made_since(self, second: float, name: str, value: str) -> dict[str, Any] | None:
        """The newest batch since then that has this in its metadata, if it ran or may yet run."""
        after = ""
        while True:
            found = self._ask("GET", f"/v1/batches?limit=100{after}")
            for batch in found["data"]:
                if batch["created_at"] < second:
                    return None
                if (batch["metadata"] or {}).get(name) == value and batch["status"] != "failed":
                    return dict(batch)
            if not found["has_more"]:
                return None
            after = f"&after={found['last_id']}"

    def batch(self, batch_id: str) -> dict[str, Any]:
        """The batch."""
        return self._ask("GET", f"/v1/batches/{batch_id}")

    def batches(self, limit: int) -> list[dict[str, Any]]:
        """The newest batches."""
        found: list[dict[str, Any]] = self._ask("GET", f"/v1/batches?limit={limit}")["data"]
        return found

    def cancel(self, batch_id: str) -> dict[str, Any]:
        """The batch afterwards."""
        return self._ask("POST", f"/v1/batches/{batch_id}/cancel")

    def go_on(self, batch_id: str, wanted: dict[str, Any]) -> dict[str, Any]:
        """The batch afterwards."""
        return self._ask("POST", f"/v1/batches/{batch_id}/continue", json=wanted)

    def retry(self, batch_id: str) -> dict[str, Any]:
        """The new batch."""
        return self._ask("POST", f"/v1/batches/{batch_id}/retry_failed")

    def output(self, batch_id: str, *, errors: bool = False) -> Iterator[bytes]:
        """The lines of the output (or of the error file) so far, each with its line feed."""
        yield from self._lines(f"/v1/batches/{batch_id}/output{'?errors=true' if errors else ''}")

    def report(self, batch_id: str) -> dict[str, Any]:
        """The morning report's numbers."""
        return self._ask("GET", f"/v1/batches/{batch_id}/report")

    def report_page(self, batch_id: str, answers: int) -> bytes:
        """The morning report as HTML, with so many answers, to be read anywhere."""
        return b"".join(self._pieces(f"/batches/{batch_id}?links=absolute&answers={answers}"))

    def download(self, file_id: str, path: Path) -> None:
        """A file's bytes to the disk."""
        with path.open("wb") as target:
            for piece in self._pieces(f"/v1/files/{file_id}/content"):
                target.write(piece)

    def schema(self, input_file_id: str) -> Any:
        """The JSON schema that the first request of a batch's input asks for; None: none, or the file was deleted."""
        try:
            first = next((line for line in self._lines(f"/v1/files/{input_file_id}/content") if line.strip()), b"{}")
        except ServerAway:
            raise
        except ServerError:
            return None
        sent = json.loads(first).get("body", {}).get("response_format") or {}
        return sent.get("json_schema", {}).get("schema")

    def _lines(self, path: str) -> Iterator[bytes]:
        rest = b""
        for piece in self._pieces(path):
            *lines, rest = (rest + piece).split(b"\n")
            yield from (line + b"\n" for line in lines)

    def _pieces(self, path: str) -> Iterator[bytes]:
        try:
            with self._http.stream("GET", path) as response:
                if response.status_code >= 400:
                    response.read()
                    raise _refused(response)
                yield from response.iter_bytes()
        except httpx.HTTPError as error:
            raise self._away(error) from error

    def health(self) -> dict[str, Any]:
        """What `/health` says."""
        return self._ask("GET", "/health")

    def readiness(self) -> dict[str, Any]:
        """What `/health/ready` says, as `/health` puts it: `ready` and `reason`."""
        try:
            self._ask("GET", "/health/ready")
        except ServerAway as error:
            return {"ready": False, "reason": str(error)}
        return {"ready": True, "reason": None}

    def failures(self, limit: int) -> list[dict[str, Any]]:
        """The newest jobs that failed, with their errors."""
        found = self._ask("GET", f"/v1/jobs?status=failed&limit={limit}")["data"]
        return [self._ask("GET", f"/v1/jobs/{job['id']}") for job in found]

    def ask(self, body: dict[str, Any]) -> dict[str, Any]:
        """The job of a chat completion that nobody waits for."""
        return self._ask("POST", "/v1/chat/completions", json=body, headers={"Prefer": "respond-async"})

    def job(self, job_id: str) -> dict[str, Any]:
        """The job object."""
        return self._ask("GET", f"/v1/jobs/{job_id}")

    def cancel_job(self, job_id: str) -> dict[str, Any]:
        """The job object afterwards."""
        return self._ask("POST", f"/v1/jobs/{job_id}/cancel")

    def takes_key(self) -> bool:
        """Whether the server takes the key that this sends, or none at all where there is none to send."""
        try:
            self._ask("GET", "/v1/models")
        except ServerAway:
            raise
        except ServerError:
            return False
        return True

    def create_key(self, wanted: dict[str, Any]) -> dict[str, Any]:
        """The key object, with its secret."""
        return self._ask("POST", "/v1/keys", json=wanted)

    def limit_key(self, name: str, wanted: dict[str, Any]) -> dict[str, Any]:
        """The key object with other limits."""
        return self._ask("POST", f"/v1/keys/{quote(name, safe='')}", json=wanted)

    def change_key(self, name: str, how: str) -> dict[str, Any]:
        """The key object after `rotate`, with its new secret, or `revoke`."""
        return self._ask("POST", f"/v1/keys/{quote(name, safe='')}/{how}")

    def keys(self) -> list[dict[str, Any]]:
        """All key objects."""
        found: list[dict[str, Any]] = self._ask("GET", "/v1/keys")["data"]
        return found

    def pause(self, until: float | None, reason: str) -> dict[str, Any]:
        """The gate object."""
        body = {"reason": reason} | ({} if until is None else {"until": until})
        return self._ask("POST", "/v1/gate/pause", json=body)

    def resume(self) -> dict[str, Any]:
        """The gate object."""
        return self._ask("POST", "/v1/gate/resume")

    def _ask(self, method: str, path: str, **fields: Any) -> dict[str, Any]:
        try:
            response = self._http.request(method, path, **fields)
        except httpx.HTTPError as error:
            raise self._away(error) from error
        if response.status_code >= 400:
            raise _refused(response)
        found: dict[str, Any] = response.json()
        return found

    def _away(self, error: httpx.HTTPError) -> ServerAway:
        return ServerAway(
            f"No answer from {self.url} ({type(error).__name__}). Is `nightshift up` running there?"
            " Another address: --url or NIGHTSHIFT_URL."
        )


def _refused(response: httpx.Response) -> ServerError:
    try:
        error = response.json()["error"]
        text = f"{error['message']}" + (f" ({error['param']})" if error.get("param") else "")
    except (ValueError, KeyError, TypeError):
        text = response.text[:300]
    if response.status_code == 503:
        return ServerAway(text)
    return ServerError(f"{text} [HTTP {response.status_code}]")


def status_of(batch: dict[str, Any]) -> int:
    """The exit status for a batch that has ended, or is held."""
    if batch["status"] not in FINAL:
        return HELD_STATUS
    if batch["status"] != "completed":
        return 1
    return 3 if batch["request_counts"]["failed"] else 0


def say(line: str) -> None:
    """For people, on stderr."""
    print(line, file=sys.stderr, flush=True)


def show_json(value: Any) -> None:
    """For scripts."""
    print(json.dumps(value, ensure_ascii=False))
