"""Lines as requests of a message batch: each is accepted, read and translated here as a worker would do it, before it is sent."""

from __future__ import annotations

import json
from dataclasses import dataclass, field, replace
from typing import IO, TYPE_CHECKING, Any

from app import errors, messages
from app.batches.change import NO_RUNS, LineJob, LineRuns
from app.batches.formats.line import BodyError, LineError, parsed
from app.batches.parts import entries
from app.batches.parts.entries import Entry
from app.batches.parts.record import request_id
from app.batches.queueing import job_of
from app.messages.request import NEVER, ONE_HOUR, CachePlan
from app.openai.payload import answers, as_asked, as_chat_payload
from app.outcome import Outcome
from workers import remote_images
from workers.asking import Unsupported, without
from workers.messages_api.body import betas_of, body_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from app.batches.parts.record import Part
    from app.batches.record import BatchRecord
    from app.messages.request import MessagesRequest
    from app.settings import Settings

#: a part's body, unless one line by itself is larger, bytes
MAX_BODY_BYTES = 32 * 1024 * 1024
#: the API takes twice as many
MAX_REQUESTS = 50_000
_BEGIN, _END = b'{"requests":[', b"]}"


@dataclass
class Composed:
    """What was written."""

    #: lines that are in it, or were refused; the part's others did not fit
    lines: int = 0
    requests: int = 0
    body_bytes: int = 0
    betas: set[str] = field(default_factory=set)
    refused: int = 0


class Composer:
    """Makes requests of lines."""

    def __init__(self, settings: Settings, aliases: Mapping[str, str], unsupported: Unsupported) -> None:
        self._settings = settings
        self.aliases = aliases
        self._unsupported = unsupported

    def compose(
        self,
        record: BatchRecord,
        part: Part,
        lines: Iterable[tuple[int, bytes]],
        runs: Mapping[int, LineRuns],
        files: tuple[IO[bytes], IO[bytes]],
    ) -> Composed:
        """Write a part's body, and the entries of lines that are refused, into these files."""
        body, refused = files
        found = Composed(body_bytes=body.write(_BEGIN) + len(_END))
        for number, raw in lines:
            made = self._line(record, part, number, raw, runs.get(number, NO_RUNS))
            if isinstance(made, Entry):
                refused.write(entries.encode(made))
                found.refused += 1
            else:
                texts, betas = made
                text = b",\n".join(texts)
                is_full = found.body_bytes + len(text) > MAX_BODY_BYTES or found.requests + len(texts) > MAX_REQUESTS
                if found.requests and is_full:
                    break
                found.body_bytes += body.write(b",\n" + text if found.requests else text)
                found.requests += len(texts)
                found.betas |= betas
            found.lines += 1
        body.write(_END)
        return found

    def _line(
        self, record: BatchRecord, part: Part, number: int, raw: bytes, runs: LineRuns
    ) -> Entry | tuple[list[bytes], set[str]]:
        """Its requests, one for each answer that it wants, and what they ask for by header; or why there are none."""
        try:
            job = job_of(record, number, raw, runs, self._settings)
        except LineError as error:
            reply = errors.invalid_request(str(error), error.param, error.code)
            outcome = Outcome(error=error.reply if isinstance(error, BodyError) else reply)
            return Entry(number, parsed(raw).custom_id, outcome, runs)
        custom_id = job.record.metadata["custom_id"]
        if job.record.is_spent:
            return Entry(number, custom_id, Outcome(error=errors.not_sent_again("it was sent before")), runs)
        texts, betas = [], set[str]()
        for choice in range(answers(job.payload)):
            try:
                request = self.request(job, choice, fetches=True)
            except errors.ErrorReply as error:
                outcome = as_asked(Outcome(error=error), job.payload, job.record, choice)
                return Entry(number, custom_id, outcome, runs)
            params = body_of(replace(request, cache=_plan(request, record)), self.aliases)
            del params["stream"]
            betas |= set(filter(None, betas_of(request, params).get("anthropic-beta", "").split(",")))
            found = {"custom_id": request_id(record.id, part.id, number, choice), "params": params}
            texts.append(json.dumps(found, separators=(",", ":")).encode())
        return texts, betas

    def request(self, job: LineJob, choice: int, *, fetches: bool) -> MessagesRequest:
        """The Messages API's request for one of a line's answers. Raises `ErrorReply`.

        `fetches`: with the images that it names by an address; without them it is good enough to read the answer.
        """
        chat: dict[str, Any] = as_chat_payload(job.payload, choice)
        if fetches and messages.remote_images(chat["request"]["messages"]):
            chat = remote_images.inlined(chat, self._settings)
        request = messages.to_claude(chat)
        return without(request, self._unsupported.known(request, self._settings))


def _plan(request: MessagesRequest, record: BatchRecord) -> CachePlan:
    """What is kept is kept for an hour. Where no line went first it is not worth the writing: no request of a message batch reads what others write."""
    plan = request.cache or CachePlan()
    return replace(plan, ttl=ONE_HOUR if record.is_primed and plan.ttl != NEVER else NEVER)
