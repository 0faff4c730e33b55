"""The batches that there are, newest first, and the work on them."""

import asyncio
import json
import time
from typing import Any

from simulator.batch_spec import BatchSpec
from simulator.batches.answering import answer_next
from simulator.batches.batch import EXPIRES_AFTER_SECONDS, Batch, Wait
from simulator.batches.checks import Page
from simulator.errors import ApiError
from simulator.messages import MessagesApi
from simulator.request_log import RequestLog

#: Requests that are taken in or answered before others of the simulator's clients have their turn.
_SLICE = 20


class BatchStore:
    """Creates, finds, cancels and forgets batches, and answers their requests by ``api``."""

    def __init__(self, api: MessagesApi, log: RequestLog) -> None:
        self._api = api
        self._log = log
        self._batches: dict[str, Batch] = {}
        self._work: set[asyncio.Task[None]] = set()

    async def create(
        self,
        requests: list[dict[str, Any]],
        first_params: dict[str, Any],
        headers: dict[str, str],
        spec: BatchSpec,
        rule_id: int | None,
    ) -> Batch:
        """Return a new batch of checked ``requests``, which are taken out of their list. Each is noted in the log."""
        now = time.time()
        batch = Batch(
            headers=headers,
            first_params=first_params,
            wait=self._wait(spec, rule_id, 0),
            answers=spec.answers,
            created_at=now,
            expires_at=now + (spec.expires_in_seconds or EXPIRES_AFTER_SECONDS),
        )
        requests.reverse()
        while requests:
            request = requests.pop()
            batch.custom_ids.append(request["custom_id"])
            params = json.dumps(request["params"], separators=(",", ":")).encode()
            batch.params.append(params)
            path = f"/v1/messages/batches/{batch.id}/requests/{request['custom_id']}"
            self._log.note("POST", path, headers, params, "batched")
            if len(requests) % _SLICE == 0:
                await asyncio.sleep(0)
        self._batches[batch.id] = batch
        work = asyncio.ensure_future(self._answer(batch))
        self._work.add(work)
        work.add_done_callback(self._work.discard)
        return batch

    def find(self, batch_id: str) -> Batch:
        """Return the batch of that id; a 404 :class:`ApiError` when there is none."""
        try:
            return self._batches[batch_id]
        except KeyError:
            raise ApiError(404, f"Message batch {batch_id} not found.") from None

    def cancel(self, batch: Batch, spec: BatchSpec, rule_id: int | None) -> None:
        """Begin to cancel a batch; again is nothing, and a 400 :class:`ApiError` when it has ended (not documented)."""
        if batch.status == "ended":
            raise ApiError(400, f"Message batch {batch.id} has already ended and cannot be canceled.")
        if batch.cancel_initiated_at is None:
            batch.cancel_initiated_at = time.time()
            batch.wait = self._wait(spec, rule_id, batch.looks)

    def delete(self, batch: Batch) -> None:
        """Forget a batch; a 400 :class:`ApiError` while it is not ended."""
        if batch.status != "ended":
            raise ApiError(400, f"Message batch {batch.id} cannot be deleted before it has ended; cancel it first.")
        self._batches.pop(batch.id).close()

    def page(self, page: Page) -> tuple[list[Batch], bool]:
        """Return the batches of a page, newest first, and whether there are more in its direction."""
        batches = list(reversed(self._batches.values()))
        ids = [batch.id for batch in batches]
        for given in (page.before_id, page.after_id):
            if given is not None and given not in ids:
                raise ApiError(404, f"Message batch {given} not found.")
        if page.before_id is not None:
            end = ids.index(page.before_id)
            begin = max(0, end - page.limit)
            return batches[begin:end], begin > 0
        begin = ids.index(page.after_id) + 1 if page.after_id is not None else 0
        end = begin + page.limit
        return batches[begin:end], end < len(batches)

    def _wait(self, spec: BatchSpec, rule_id: int | None, looks: int) -> Wait:
        return Wait(spec, time.time(), looks, lambda: rule_id is not None and self._api.rules.has(rule_id))

    async def _answer(self, batch: Batch) -> None:
        while batch.is_answering:
            answer_next(batch, self._api)
            if len(batch.results) % _SLICE == 0:
                await asyncio.sleep(0)
