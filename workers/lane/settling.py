"""What becomes of a line by its results: an outcome as a worker would publish it, or another try."""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, NamedTuple

from app import errors, messages, price_file
from app.batches.change import LineRuns
from app.batches.formats.line import LineError, parsed
from app.batches.parts.entries import Entry
from app.batches.queueing import job_of
from app.messages import stops
from app.messages.failure import FailureKind, TurnFailed
from app.openai.payload import answers, as_asked, merged
from app.outcome import COST_HEADER, Outcome
from app.prices import cache_saved_usd, cost_usd
from app.ways import Way
from workers.after_failure import callers_fault
from workers.messages_api.failures import failure_of
from workers.messages_api.message import answer_of
from workers.models import model_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from app.batches.change import LineJob
    from app.batches.parts.record import Part
    from app.batches.record import BatchRecord
    from app.messages.request import MessagesRequest
    from app.settings import Settings
    from workers.asking import Unsupported
    from workers.lane.composing import Composer
    from workers.lane.results import Results

log = logging.getLogger(__name__)

_INVALID = "invalid_request_error"
_BAD_REQUEST = 400


@dataclass(frozen=True)
class Again:
    """A request that is to be sent again."""

    why: str
    #: whether that uses up one of its attempts, and whether it may have been answered
    counts: bool = True
    was_sent: bool = True
    #: what the answer cost that is of no use, US dollars
    paid_usd: float = 0.0


class EndedPart(NamedTuple):
    """A part, and what the API has of it; None: nothing."""

    record: BatchRecord
    part: Part
    results: Results | None


#: nobody knows what became of it
LOST = Again("its answer was lost", counts=False)


class Settler:
    """Makes entries of results."""

    def __init__(self, settings: Settings, composer: Composer, unsupported: Unsupported) -> None:
        self._settings = settings
        self._composer = composer
        self._unsupported = unsupported
        self._prices = price_file.in_use(settings.prices)

    def settle(self, ended: EndedPart, number: int, raw: bytes, runs: LineRuns) -> Entry:
        """One line's."""
        record, part, results = ended
        try:
            job = job_of(record, number, raw, runs, self._settings)
        except LineError as error:
            # The settings are others than when it was sent.
            outcome = Outcome(error=errors.invalid_request(str(error), error.param, error.code))
            return Entry(number, parsed(raw).custom_id, outcome, runs)
        job = replace(job, record=replace(job.record, attempts=runs.attempts + 1, started_at=part.sent_at))
        choices = range(answers(job.payload))
        found = [None for _ in choices] if results is None else results.read(number, choices)
        settled = [self._settled(job, choice, result) for choice, result in enumerate(found)]
        ending = self._whole(job, [one for one in settled if isinstance(one, Outcome)], len(settled))
        again = [one for one in settled if isinstance(one, Again)]
        was_sent = not again or any(one.was_sent for one in again)
        after = LineRuns(
            runs.attempts + (not again or any(one.counts for one in again)),
            runs.deaths,
            runs.sends + (was_sent and job.record.max_sends > 0),
        )
        if ending is None:
            ending = self._last(job, after, again[0])
        paid_usd = sum(one.paid_usd if isinstance(one, Again) else one.cost_usd or 0.0 for one in settled)
        if ending is not None:
            if ending.error is not None and paid_usd:
                # Of the answers that nobody gets, as an error of a worker's has it.
                ending = replace(ending, headers=ending.headers | {COST_HEADER: f"{paid_usd:.6f}"})
            paid_usd = 0.0
        return Entry(number, job.record.metadata["custom_id"], ending, after, paid_usd)

    def _whole(self, job: LineJob, outcomes: Sequence[Outcome], count: int) -> Outcome | None:
        """Of all answers, or the first that is an error; None while some are missing."""
        failed = next((one for one in outcomes if one.error is not None), None)
        if failed is None and len(outcomes) < count:
            return None
        outcome = failed or (outcomes[0] if count == 1 else merged(outcomes, job.record.id))
        if outcome.size() > (limit := self._settings.max_result_bytes):
            outcome = Outcome(error=errors.result_too_large(limit))
        return outcome.by(Way.BATCHES)

    def _last(self, job: LineJob, after: LineRuns, again: Again) -> Outcome | None:
        """The error of a line that may not be sent again; None: it may."""
        if 0 < job.record.max_sends <= after.sends:
            return Outcome(error=errors.not_sent_again(again.why)).by(Way.BATCHES)
        if again.counts and after.attempts >= job.record.max_attempts:
            words = f"Claude failed after {after.attempts} attempts: {again.why}"
            return Outcome(error=errors.upstream_failed(words)).by(Way.BATCHES)
        return None

    def _settled(self, job: LineJob, choice: int, result: dict[str, Any] | None) -> Outcome | Again:
        if result is None:
            return LOST
        try:
            match result["type"]:
                case "succeeded":
                    outcome = self._answered(job, choice, result["message"])
                case "errored":
                    outcome = self._errored(job, choice, failure_of(_BAD_REQUEST, result["error"], {}))
                case "expired" | "canceled" as kind:
                    return Again(f"Claude's API says that it is {kind}", counts=False, was_sent=False)
                case kind:
                    return Again(f"Claude's API says that it is '{str(kind)[:100]}'")
        except LookupError:
            return Again("Claude's API sent what can't be read")
        if isinstance(outcome, Again):
            log.info("[PART] job=%s: again: %s", job.record.id, outcome.why)
            return outcome
        return as_asked(outcome, job.payload, job.record, choice)

    def _answered(self, job: LineJob, choice: int, message: dict[str, Any]) -> Outcome | Again:
        request = self._composer.request(job, choice, fetches=False)
        value = request.output.value
        try:
            answer = answer_of(message, None if value is None else value.tool_name, Way.BATCHES)
        except TurnFailed as failure:
            if failure.kind is FailureKind.UNKNOWN_END:
                return Outcome(error=errors.upstream_failed(failure.message))
            return Again(failure.message)
        if request.output.cut_at:
            answer = stops.cut(answer, request.output.cut_at)
        model = model_of(request, self._composer.aliases)
        cost, saved = (
            price(model, answer.usage, half=True, prices=self._prices) for price in (cost_usd, cache_saved_usd)
        )
        try:
            checked = messages.check(answer, request.output)
        except messages.Mismatch as mismatch:
            is_repaired = job.record.attempts > 1
            if is_repaired or job.record.max_sends == 1:
                error = errors.structured_output_failed(mismatch.faults, is_repaired=is_repaired)
                return Outcome(error=error, headers={COST_HEADER: f"{cost:.6f}"} if cost else {})
            return Again("the answer was not what was wanted", paid_usd=cost or 0.0)
        return messages.to_openai(replace(answer, cost_usd=cost, cache_saved_usd=saved), checked, job.record)

    def _errored(self, job: LineJob, choice: int, failure: TurnFailed) -> Outcome | Again:
        """Only a request that is wrong is so for good."""
        if failure.kind is not FailureKind.CALLER or failure.error_type != _INVALID:
            return Again(failure.message)
        request: MessagesRequest = self._composer.request(job, choice, fetches=False)
        if job.record.max_sends != 1 and self._unsupported.learn(request, failure, self._settings):
            return Again(failure.message)
        return Outcome(error=callers_fault(failure))
