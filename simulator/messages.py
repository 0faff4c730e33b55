"""The endpoints of the Messages API: from a request to the script that answers it."""

import json
import time
from dataclasses import dataclass, field, replace
from typing import Any
from uuid import uuid4

from simulator import usage_limits
from simulator.answers import Answer, answer
from simulator.errors import ApiError, error_body
from simulator.message_request import MessageRequest
from simulator.prompt_cache import PromptCache
from simulator.request_log import Entry
from simulator.rule_book import RuleBook, RuleInForce
from simulator.rules import ErrorSpec, Rule
from simulator.script import Pace, Script, Write, stream_script, whole_script
from simulator.settings import Settings
from simulator.validation import check_prompt, check_request

_NO_RULE = Rule()


def new_request_id() -> str:
    """Return an id for the ``request-id`` header."""
    return f"req_sim_{uuid4().hex[:24]}"


@dataclass
class MessagesApi:
    """Answers by the rules in force and, where none fits, by default."""

    settings: Settings
    rules: RuleBook = field(default_factory=RuleBook)
    cache: PromptCache = field(default_factory=PromptCache)
    #: Of Message Batches.
    batch_cache: PromptCache = field(default_factory=PromptCache)

    def create_message(self, headers: dict[str, str], raw_body: bytes, entry: Entry) -> Script:
        """Return the script that answers ``POST /v1/messages``, and note in ``entry`` what it is."""
        request_id = new_request_id()
        try:
            body = check_request(parse_json(raw_body), headers.get("anthropic-beta", ""))
            request = MessageRequest(body, headers)
            self.check_length(request)
        except ApiError as error:
            refused = self.refused_login(headers, entry)
            return error_script(refused or error, request_id, entry, at=self.settings.latency_ms / 1000)
        taken = self.rules.take(request)
        entry.rule = taken.id if taken else None
        return self._by_rule(request, taken, request_id, entry)

    def count_tokens(self, raw_body: bytes, entry: Entry) -> Script:
        """Return the script that answers ``POST /v1/messages/count_tokens``."""
        request_id = new_request_id()
        try:
            request = MessageRequest(check_prompt(parse_json(raw_body)), {})
        except ApiError as error:
            return error_script(error, request_id, entry)
        entry.kind, entry.status = "count_tokens", 200
        body = json.dumps({"input_tokens": request.input_tokens}).encode()
        return Script(200, {"request-id": request_id}, [Write(0, body)])

    def _by_rule(self, request: MessageRequest, taken: RuleInForce | None, request_id: str, entry: Entry) -> Script:
        rule = taken.rule if taken else _NO_RULE
        respond = rule.respond
        pace = self.pace(rule)
        limit = respond.usage_limit
        if limit is not None and limit.status == "rejected":
            error = usage_limits.rejection(limit, time.time())
            error.headers.update(respond.headers)
            script = error_script(error, request_id, entry, pace.latency_seconds + respond.hang_seconds, "usage_limit")
            return replace(script, held=0) if respond.held else script
        if respond.error is not None:
            error = given_error(respond.error, respond.headers)
            script = error_script(error, request_id, entry, pace.latency_seconds + respond.hang_seconds)
            return replace(script, held=0) if respond.held else script
        out_headers = {"request-id": request_id}
        if limit is not None:
            out_headers |= usage_limits.headers(limit, time.time())
        hang = respond.hang_seconds if respond.hang_after_deltas is None else 0
        cached = self.cache.usage(request, begins_after=pace.latency_seconds + hang)
        message = answer(request, respond, cached)
        _note(message, entry)
        make = stream_script if request.stream else whole_script
        return make(message, respond, pace, out_headers | respond.headers)

    def refused_login(self, headers: dict[str, str], entry: Entry) -> ApiError | None:
        """Return the error of a rule that refuses the login: the API looks at who asks before it looks at what is asked."""
        taken = self.rules.take_refused_login(headers)
        if taken is None or taken.rule.respond.error is None:
            return None
        entry.rule = taken.id
        return given_error(taken.rule.respond.error, taken.rule.respond.headers)

    def pace(self, rule: Rule) -> Pace:
        """Return the pace of ``rule``, or else the simulator's."""
        settings = self.settings
        latency = settings.latency_ms if rule.latency_ms is None else rule.latency_ms
        rate = settings.tokens_per_second if rule.tokens_per_second is None else rule.tokens_per_second
        return Pace(latency / 1000, rate)

    def check_length(self, request: MessageRequest) -> None:
        """Raise a 400 :class:`ApiError` for a prompt that is too long."""
        maximum = self.settings.max_input_tokens
        if request.input_tokens > maximum:
            raise ApiError(400, f"prompt is too long: {request.input_tokens} tokens > {maximum} maximum")


def parse_json(raw_body: bytes) -> Any:
    """Return the JSON value of a request body; a 400 :class:`ApiError` when it is none."""
    try:
        return json.loads(raw_body)
    except ValueError as error:
        raise ApiError(400, "The request body is not valid JSON") from error


def error_script(error: ApiError, request_id: str, entry: Entry, at: float = 0, kind: str = "error") -> Script:
    """Return the script that answers with ``error`` ``at`` seconds after the request."""
    entry.kind, entry.status = kind, error.status
    headers = {"request-id": request_id, **error.headers}
    return Script(error.status, headers, [Write(at, error_body(error, request_id))])


def _note(message: Answer, entry: Entry) -> None:
    entry.status = 200
    entry.stop_reason = message.stop_reason
    entry.kind = message.stop_reason if message.stop_reason in ("tool_use", "refusal") else "message"


def given_error(given: ErrorSpec, headers: dict[str, str]) -> ApiError:
    """Return the error that a rule gives, with ``headers`` and its own."""
    message = given.message or f"Simulated error {given.status}"
    return ApiError(given.status, message, given.type, headers | given.headers)
