"""What becomes of one request of a batch: the same answer as by ``/v1/messages``, as a line of the results."""

import json
from dataclasses import replace
from typing import Any

from simulator import sse, usage_limits
from simulator.answers import answer
from simulator.batches.batch import Batch
from simulator.batches.checks import check_params
from simulator.errors import ApiError, error_object
from simulator.message_request import MessageRequest
from simulator.messages import MessagesApi, given_error
from simulator.rules import Rule
from simulator.validation import check_request


def answer_next(batch: Batch, api: MessagesApi) -> None:
    """Answer the next request of ``batch`` by the rules in force, and note its line."""
    number = len(batch.results)
    custom_id = json.dumps(batch.custom_ids[number]).encode()
    result_type, result = _result(json.loads(batch.params[number]), batch, api)
    batch.add_result(result_type, b'{"custom_id":%s,"result":%s}' % (custom_id, result))


def _result(params: Any, batch: Batch, api: MessagesApi) -> tuple[str, bytes]:
    headers = batch.headers
    try:
        check_params(params)
        request = MessageRequest(check_request(params, headers.get("anthropic-beta", "")), headers, is_batched=True)
        api.check_length(request)
        taken = api.rules.take(request)
        respond = (taken.rule if taken else Rule()).respond
        if respond.usage_limit is not None and respond.usage_limit.status == "rejected":
            raise usage_limits.rejection(respond.usage_limit, 0)
        if respond.error is not None:
            raise given_error(respond.error, {})
    except ApiError as error:
        found = {"type": "errored", "error": error_object(error.error_type, error.message)}
        return "errored", json.dumps(found, separators=(",", ":")).encode()
    if respond.batch_result is not None:
        return respond.batch_result, json.dumps({"type": respond.batch_result}).encode()
    message = answer(request, respond, api.batch_cache.usage(request, writer=batch.id))
    body = sse.message_body(replace(message, usage=message.usage | {"service_tier": "batch"}))
    return "succeeded", b'{"type":"succeeded","message":%s}' % body
