"""The endpoints of Message Batches: from a call to its answer."""

import asyncio
import json
import time
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl

from starlette.types import Receive, Scope, Send

from simulator.batch_spec import BatchCall, BatchSpec
from simulator.batches.batch import Batch
from simulator.batches.checks import MAX_BODY_BYTES, check_batch, check_page, readable_first
from simulator.batches.results import is_broken, result_bytes
from simulator.batches.store import BatchStore
from simulator.delivery import deliver
from simulator.errors import ApiError
from simulator.message_request import MessageRequest
from simulator.messages import MessagesApi, error_script, given_error, new_request_id, parse_json
from simulator.reading import header_dict, path_of, read_body
from simulator.request_log import Entry, RequestLog
from simulator.rule_book import RuleInForce
from simulator.rules import Rule
from simulator.script import Script, Write

#: Calls a minute that the headers speak of; nobody is refused for more, unless a rule says so.
_CALLS_A_MINUTE = 4_000

_CALLS: dict[tuple[str, str], BatchCall] = {
    ("GET", ""): "retrieve",
    ("DELETE", ""): "delete",
    ("POST", "cancel"): "cancel",
    ("GET", "results"): "results",
}


@dataclass
class _Call:
    """One call: what it is, and by which rule it is answered."""

    name: BatchCall
    batch_id: str
    query: dict[str, str]
    headers: dict[str, str]
    host: str
    raw_body: bytes
    entry: Entry
    request_id: str
    body: Any = None
    taken: RuleInForce | None = None

    @property
    def rule(self) -> Rule:
        return self.taken.rule if self.taken else Rule()

    @property
    def spec(self) -> BatchSpec:
        return self.rule.respond.batch or BatchSpec()


class BatchesApi:
    """An ASGI application for ``/v1/messages/batches`` and what is below it."""

    def __init__(self, api: MessagesApi, log: RequestLog) -> None:
        self._api = api
        self._log = log
        self._store = BatchStore(api, log)
        self._minute, self._calls = 0, 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one call."""
        started = asyncio.get_running_loop().time()
        raw_body = await read_body(receive, MAX_BODY_BYTES)
        if raw_body is None:
            return
        headers = header_dict(scope)
        # The requests of a batch are noted one by one.
        entry = self._log.begin(scope["method"], path_of(scope), headers, b"")
        try:
            call = self._call(scope, headers, raw_body, entry)
            if call is None:
                error = ApiError(404, f"Not found: {scope['path']}")
                await deliver(error_script(error, new_request_id(), entry), receive, send, started)
                return
            await self._answer(call, receive, send, started)
        finally:
            self._log.end(entry)

    def _call(self, scope: Scope, headers: dict[str, str], raw_body: bytes, entry: Entry) -> _Call | None:
        batch_id, _, verb = scope["path"].removeprefix("/v1/messages/batches").strip("/").partition("/")
        name: BatchCall | None
        if batch_id:
            name = _CALLS.get((scope["method"], verb))
        else:
            name = {"POST": "create", "GET": "list"}.get(scope["method"])  # type: ignore[assignment]
        if name is None:
            return None
        query = dict(parse_qsl(scope["query_string"].decode("latin-1")))
        host = f"{scope['scheme']}://{headers.get('host', 'localhost')}"
        return _Call(name, batch_id, query, headers, host, raw_body, entry, new_request_id())

    async def _answer(self, call: _Call, receive: Receive, send: Send, started: float) -> None:
        call.entry.kind = f"batches_{call.name}"
        try:
            batch = self._begin(call)
            error = call.rule.respond.error
            accepted = error is None if call.spec.accepted is None else call.spec.accepted
            done = await self._do(call, batch) if accepted else b""
            if call.spec.no_answer:
                await _hang_up(receive)
                return
            if error is not None:
                raise given_error(error, call.rule.respond.headers)
        except ApiError as refused:
            at = call.rule.respond.hang_seconds
            script = error_script(refused, call.request_id, call.entry, at)
            script.headers.update(self._headers(call) | script.headers)
        else:
            call.entry.status = 200
            at = call.rule.respond.hang_seconds + self._api.pace(call.rule).latency_seconds
            if isinstance(done, Batch):
                await asyncio.sleep(at)
                await self._send_results(call, done, send)
                return
            script = Script(200, self._headers(call), [Write(at, done)])
        call.entry.client_gone = not await deliver(script, receive, send, started)

    def _begin(self, call: _Call) -> Batch | None:
        """Find the batch that the call is about, and the rule that answers it. Raises :class:`ApiError`."""
        if refused := self._api.refused_login(call.headers, call.entry):
            raise refused
        batch = self._store.find(call.batch_id) if call.batch_id else None
        first = batch.first_params if batch else {}
        if call.name == "create":
            if len(call.raw_body) > MAX_BODY_BYTES:
                raise ApiError(413, "Request exceeds the maximum size")
            call.body, call.raw_body = parse_json(call.raw_body), b""
            first = readable_first(call.body)
        request = MessageRequest({"model": "", "messages": [], **first}, call.headers, batch_call=call.name)
        call.taken = self._api.rules.take(request)
        call.entry.rule = call.taken.id if call.taken else None
        return batch

    async def _do(self, call: _Call, batch: Batch | None) -> bytes | Batch:
        """Do what the call asks for, and return its answer's body, or the batch whose results it is."""
        rule_id = call.taken.id if call.taken else None
        if batch is None:
            if call.name == "list":
                return self._list(call)
            first = readable_first(call.body)
            requests, call.body = check_batch(call.body), None
            batch = await self._store.create(requests, first, call.headers, call.spec, rule_id)
            return self._describe(batch, call)
        match call.name:
            case "retrieve":
                batch.look()
            case "cancel":
                self._store.cancel(batch, call.spec, rule_id)
            case "delete":
                self._store.delete(batch)
                return json.dumps({"id": batch.id, "type": "message_batch_deleted"}).encode()
            case "results":
                # Not documented: the reference says only that there is no `results_url` before the end.
                if batch.status != "ended":
                    raise ApiError(404, f"Message batch {batch.id} has no results before it has ended.")
                return batch
        return self._describe(batch, call)

    def _list(self, call: _Call) -> bytes:
        batches, has_more = self._store.page(check_page(call.query))
        for batch in batches:
            batch.look()
        page = {
            "data": [self._object(batch, call) for batch in batches],
            "has_more": has_more,
            "first_id": batches[0].id if batches else None,
            "last_id": batches[-1].id if batches else None,
        }
        return json.dumps(page).encode()

    def _describe(self, batch: Batch, call: _Call) -> bytes:
        return json.dumps(self._object(batch, call)).encode()

    def _object(self, batch: Batch, call: _Call) -> dict[str, Any]:
        return batch.describe(f"{call.host}/v1/messages/batches/{batch.id}/results") | call.spec.fields

    async def _send_results(self, call: _Call, batch: Batch, send: Send) -> None:
        headers = {"content-type": "application/x-jsonl", **self._headers(call)}
        raw = [(name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in headers.items()]
        await send({"type": "http.response.start", "status": 200, "headers": raw})
        for piece in result_bytes(batch, call.spec):
            await send({"type": "http.response.body", "body": piece, "more_body": True})
            await asyncio.sleep(0)
        if not is_broken(call.spec):
            await send({"type": "http.response.body", "body": b"", "more_body": False})

    def _headers(self, call: _Call) -> dict[str, str]:
        minute = int(time.time() // 60)
        if minute != self._minute:
            self._minute, self._calls = minute, 0
        self._calls += 1
        reset = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime((minute + 1) * 60))
        return {
            "request-id": call.request_id,
            "anthropic-ratelimit-requests-limit": str(_CALLS_A_MINUTE),
            "anthropic-ratelimit-requests-remaining": str(max(0, _CALLS_A_MINUTE - self._calls)),
            "anthropic-ratelimit-requests-reset": reset,
            **call.rule.respond.headers,
        }


async def _hang_up(receive: Receive) -> None:
    """Close the connection, which an ASGI application has no message for: the server's own cycle has its transport."""
    receive.__self__.transport.abort()  # type: ignore[attr-defined]
    while (await receive())["type"] != "http.disconnect":
        pass
