"""One question and its checked answer: asked once, and once more when the answer is not what was wanted."""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from app import clock, errors, logs, messages
from app.messages import stops
from app.messages.answer import add_usage
from app.messages.failure import TurnFailed
from workers import run_spans, unsupported

if TYPE_CHECKING:
    from collections.abc import Callable

    from app.messages import Checked, MessagesRequest
    from app.messages.answer import Answer, Delta
    from workers.run import Run

log = logging.getLogger(__name__)


#: of this process
_unsupported = unsupported.Unsupported()


@dataclass(frozen=True)
class Asked:
    """An answer that is what was wanted."""

    answer: Answer
    checked: Checked
    #: parameters of the request that the model does not take, and was asked without
    ignored: tuple[str, ...] = ()


def ask(run: Run, request: MessagesRequest, on_event: Callable[[Delta], None] | None) -> Asked:
    """The answer, with the usage of all that was asked for it. Raises `TurnFailed`, and `ErrorReply` after two tries."""
    ignored = _unsupported.known(request, run.settings)
    request = unsupported.without(request, ignored)
    try:
        answer = _turn(run, request, on_event)
    except TurnFailed as failure:
        refused = _unsupported.learn(request, failure, run.settings)
        if not refused or run.record.max_sends == 1:
            raise
        log.info("[SAMPLING] job=%s: %s takes no %s", run.record.id, request.model, " and ".join(refused))
        ignored += refused
        request = unsupported.without(request, refused)
        answer = _turn(run, request, on_event)
    try:
        return Asked(answer, messages.check(answer, request.output), ignored)
    except messages.Mismatch as mismatch:
        if run.record.max_sends == 1:
            raise errors.structured_output_failed(mismatch.faults, is_repaired=False) from None
        log.info("[REPAIR] job=%s: the answer was not what was wanted", run.record.id)
        second = _turn(run, request.again(messages.repair_words(mismatch)), None)
    usage = add_usage(answer.usage, second.usage)
    costs = [one.cost_usd for one in (answer, second) if one.cost_usd is not None]
    answer = replace(second, usage=usage, cost_usd=sum(costs) if len(costs) == 2 else None)
    try:
        return Asked(answer, messages.check(answer, request.output), ignored)
    except messages.Mismatch as mismatch:
        raise errors.structured_output_failed(mismatch.faults) from None


def _turn(run: Run, request: MessagesRequest, on_event: Callable[[Delta], None] | None) -> Answer:
    deadline = time.monotonic() + run.record.deadline_at - clock.now()
    with run_spans.turn(run) as span:
        logs.content("prompt", request.messages[-1]["content"])
        try:
            answer = run.engine.ask(request, deadline, on_event, headers=span.context.headers())
        except TurnFailed as failure:
            span.fail(str(failure.kind))
            raise
        logs.content("answer", answer.text or answer.structured or [vars(one) for one in answer.tool_calls])
        span.set(run_spans.of_answer(answer))
        return stops.cut(answer, request.output.cut_at)
