"""The clients of a run: each a thread that asks again and again until it is told to stop."""

from __future__ import annotations

import http.client
import json
import random
import threading
import time
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from chaos.ledger import SECRET, Accepted, Ledger, Secrets, text_of
from chaos.receiver import Receiver

if TYPE_CHECKING:
    from collections.abc import Mapping

    from chaos.stack import Reply
    from chaos.wires import Wires

_CHAT = "/v1/chat/completions"
#: refusals that a fault explains; any other is a complaint
_EXPECTED = {
    "redis_unavailable",
    "server_stopping",
    "stream_interrupted",
    "login_required",
    "no_worker",
    "no_worker_ready",
}
_PAUSE_SECONDS = 0.2
#: how many of those that may want several answers do
_SEVERAL = 0.25


class Client:
    """What they share."""

    kind = ""

    def __init__(self, wires: Wires, ledger: Ledger, *, seed: str, callback_url: str) -> None:
        self.stop = threading.Event()
        self._wires = wires
        self._ledger = ledger
        self._secrets = Secrets(seed)
        self._chance = random.Random(seed)
        self._callback_url = callback_url
        self.thread = threading.Thread(target=self._run, name=seed, daemon=True)

    def _run(self) -> None:
        try:
            while not self.stop.wait(self._chance.uniform(0.0, _PAUSE_SECONDS)):
                self.once(self._secrets.next())
        except Exception as error:  # noqa: BLE001 - a client that dies is a run that tests nothing
            self._ledger.complain(f"the {self.kind} client failed: {error!r}")

    def once(self, secret: str) -> None:
        """One request, from its beginning to its end."""
        raise NotImplementedError

    def body(self, secret: str, *, words: int = 40, **fields: Any) -> dict[str, Any]:
        """A request of about a second; some that nobody streams want several answers, `n`."""
        if not fields.get("stream") and self._chance.random() < _SEVERAL:
            fields["n"] = self._chance.choice((2, 3))
        filler = " ".join(f"w{number}" for number in range(self._chance.randrange(4, words)))
        return {"model": "sonnet", "messages": [{"role": "user", "content": f"{secret} {filler}"}], **fields}

    def refused(self, status: int, body: Any, headers: Mapping[str, str]) -> None:
        """Note an error answer (0: in a stream); it has to be one that a fault explains, and to say when to come back."""
        error = body.get("error") if isinstance(body, dict) else None
        code = error.get("code") if isinstance(error, dict) else None
        self._ledger.count(self._ledger.refused, f"{status or 'in a stream'} {code}")
        if code not in _EXPECTED or status not in (0, 502, 503):
            self._ledger.complain(f"the {self.kind} client got {status}: {body}")
        elif status == 503 and "Retry-After" not in headers:
            self._ledger.complain(f"a 503 without Retry-After: {body}")
        self.stop.wait(0.5)

    def broke(self) -> None:
        """Note a broken connection, which tells nothing."""
        self._ledger.count(self._ledger.broken, self.kind)
        self.stop.wait(0.3)

    def check_secrets(self, secret: str, text: str) -> None:
        """No answer contains another request's secret."""
        if others := set(SECRET.findall(text)) - {secret}:
            self._ledger.complain(f"the answer to {secret} contains {sorted(others)}")


class SyncClient(Client):
    """Waits for each answer."""

    kind = "sync"

    def once(self, secret: str) -> None:
        """200 is an outcome; a broken connection tells nothing."""
        reply = self._wires.ask("POST", _CHAT, self.body(secret))
        if reply is None:
            self.broke()
        elif reply.status == 200:
            text = text_of(reply.body)
            self.check_secrets(secret, text)
            self._ledger.accept(reply.body["id"], Accepted(self.kind, secret))
            self._ledger.got(reply.body["id"], text)
        else:
            self.refused(reply.status, reply.body, reply.headers)


class StreamClient(Client):
    """Reads each answer while it is written."""

    kind = "stream"

    def once(self, secret: str) -> None:
        """A stream that began is accepted, and ends with `[DONE]`, an error, or its connection."""
        body = json.dumps(self.body(secret, stream=True)).encode()
        try:
            with self._wires.request("POST", _CHAT, body, {"Content-Type": "application/json"}) as response:
                if response.status != 200:
                    self.refused(response.status, json.loads(response.read()), dict(response.headers.items()))
                    return
                self._read(secret, response)
        except (OSError, ValueError, http.client.HTTPException):
            self.broke()

    def _read(self, secret: str, response: http.client.HTTPResponse) -> None:
        job_id, text = "", ""
        while line := response.readline():
            if not line.startswith(b"data: "):
                continue
            if line.strip() == b"data: [DONE]":
                self._ledger.got(job_id, text)
                return
            event = json.loads(line[6:])
            if "error" in event:
                self.refused(0, event, {})
                return
            if not job_id:
                job_id = event["id"]
                self._ledger.accept(job_id, Accepted(self.kind, secret))
            text += "".join(choice["delta"].get("content") or "" for choice in event["choices"])
            self.check_secrets(secret, text)
        self.broke()


class AsyncClient(Client):
    """Wants a callback, and repeats its request with one idempotency key until it is accepted."""

    kind = "async"

    def once(self, secret: str) -> None:
        """202 is a promise; the same key gives the same job, whatever broke in between."""
        has_callback = self._chance.random() < 0.8
        extra: dict[str, Any] = {"callback_url": self._callback_url} if has_callback else {}
        body = self.body(secret, **extra)
        accepted = self._until_accepted(secret, body, has_callback=has_callback)
        if accepted and self._chance.random() < 0.2:
            self._until_accepted(secret, body, has_callback=has_callback)
        self.stop.wait(self._chance.uniform(1.0, 2.5))

    def _until_accepted(self, secret: str, body: Any, *, has_callback: bool) -> bool:
        headers = {"Prefer": "respond-async", "Idempotency-Key": secret}
        while not self.stop.is_set():
            reply = self._wires.ask("POST", _CHAT, body, headers)
            if reply is not None and reply.status == 202:
                self._ledger.accept(reply.body["id"], Accepted(self.kind, secret, has_callback))
                return True
            if reply is None:
                self.broke()
            else:
                self.refused(reply.status, reply.body, reply.headers)
        return False


class BatchClient(Client):
    """Makes one batch after the other."""

    kind = "batch"
    metadata: Mapping[str, str] = MappingProxyType({})

    def __init__(self, *shared: Any, lines: int, **more: Any) -> None:
        super().__init__(*shared, **more)
        self._lines = lines

    def once(self, secret: str) -> None:
        """A batch, waited for until it has ended or the run has."""
        ids = [secret, *(self._secrets.next() for _ in range(self._lines - 1))]
        uploaded = self._insist("/v1/files", *_multipart(self._file(ids)))
        if uploaded is None:
            return
        new = {
            "input_file_id": uploaded.body["id"],
            "endpoint": _CHAT,
            "completion_window": "24h",
            "metadata": {"callback_url": self._callback_url, **self.metadata},
            "notify": [Receiver.notify_url(self._callback_url)],
        }
        made = self._insist("/v1/batches", json.dumps(new).encode(), "application/json")
        if made is None:
            return
        with self._ledger.lock:
            self._ledger.batches[made.body["id"]] = ids
            self._ledger.ports[made.body["id"]] = self._wires.port
        while not self.stop.wait(1.0):
            seen = self._wires.ask("GET", f"/v1/batches/{made.body['id']}")
            if seen is not None and seen.status == 404:
                self._ledger.complain(f"{made.body['id']} was accepted and is not known")
                return
            if seen is not None and seen.status == 200 and seen.body["status"] in ("completed", "failed", "expired"):
                return

    def _file(self, ids: list[str]) -> bytes:
        lines = [{"custom_id": one, "method": "POST", "url": _CHAT, "body": self.body(one, words=10)} for one in ids]
        return b"".join(json.dumps(line).encode() + b"\n" for line in lines)

    def _insist(self, path: str, body: bytes, content_type: str) -> Reply | None:
        while not self.stop.is_set():
            reply = self._wires.ask("POST", path, body, {"Content-Type": content_type})
            if reply is None:
                self.broke()
            elif reply.status == 200:
                return reply
            else:
                self.refused(reply.status, reply.body, reply.headers)
        return None


class PartsClient(BatchClient):
    """The same by Message Batches alone."""

    kind = "parts"
    metadata = MappingProxyType({"way": "batches"})


def _multipart(content: bytes) -> tuple[bytes, str]:
    boundary = f"chaos-{time.monotonic_ns()}"
    head = (
        f'--{boundary}\r\nContent-Disposition: form-data; name="purpose"\r\n\r\nbatch\r\n'
        f'--{boundary}\r\nContent-Disposition: form-data; name="file"; filename="chaos.jsonl"\r\n'
        "Content-Type: application/jsonl\r\n\r\n"
    )
    return head.encode() + content + f"\r\n--{boundary}--\r\n".encode(), f"multipart/form-data; boundary={boundary}"
