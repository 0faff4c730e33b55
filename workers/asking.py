"""One question and its checked answer: asked once, and once more when the answer is not what was wanted.

Sampling parameters that a model refuses are left out of the next try, and of later requests to that model. The API's own
400 is the only information about what a model takes, and costs only time. So it is asked, once an hour.
"""

from __future__ import annotations

import logging
import re
import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from app import clock, errors, logs, messages
from app.messages import stops
from app.messages.answer import add_usage
from app.messages.failure import FailureKind, TurnFailed
from workers import run as runs

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from app.messages import Checked, MessagesRequest
    from app.messages.answer import Answer, Delta
    from app.settings import Settings
    from workers.run import Run

log = logging.getLogger(__name__)

LEARNED_SECONDS = 3600.0
#: clients choose the models' names
MAX_LEARNED = 100

#: (model, parameters sent): what of them it refuses, and until when that is believed, `time.monotonic()`
Refusals = dict[tuple[str, frozenset[str]], tuple[tuple[str, ...], float]]

_NAMED = re.compile(r"\b(temperature|top_p)\b")
_TOGETHER = re.compile(r"\b(both|together|only one)\b", re.IGNORECASE)
#: what the API says of a value that no model takes
_RANGE = re.compile(r"range|should be|greater than|less than", re.IGNORECASE)


class Unsupported:
    """What one worker has learned. For one thread."""

    def __init__(self) -> None:
        self._refusals: Refusals = {}

    def known(self, request: MessagesRequest, settings: Settings) -> tuple[str, ...]:
        """What this request's model has refused of its parameters lately."""
        if settings.unsupported_sampling == "error":
            return ()
        names, until = self._refusals.get(_key(request), ((), 0.0))
        return names if time.monotonic() < until else ()

    def learn(self, request: MessagesRequest, failure: TurnFailed, settings: Settings) -> tuple[str, ...]:
        """What the model has refused now; empty when it is something else, or has to be the client's error."""
        if settings.unsupported_sampling == "error" or failure.kind is not FailureKind.CALLER or failure.status != 400:
            return ()
        names = refused_sampling(request.sampling, failure.message)
        if names:
            while len(self._refusals) >= MAX_LEARNED:
                self._refusals.pop(next(iter(self._refusals)))
            self._refusals[_key(request)] = (names, time.monotonic() + LEARNED_SECONDS)
        return names


#: of this process
_unsupported = Unsupported()


@dataclass(frozen=True)
class Asked:
    """An answer that fits its output spec."""

    answer: Answer
    checked: Checked
    #: parameters of the request that the model does not take, and was asked without
    ignored: tuple[str, ...] = ()


def ask(run: Run, request: MessagesRequest, on_delta: Callable[[Delta], None] | None) -> Asked:
    """The answer, with the usage of all that was asked for it. Raises `TurnFailed`, and `ErrorReply` after two tries."""
    ignored = _unsupported.known(request, run.settings)
    request = without(request, ignored)
    try:
        answer = _turn(run, request, on_delta)
    except TurnFailed as failure:
        refused = _unsupported.learn(request, failure, run.settings)
        if not refused or run.record.max_sends == 1:
            raise
        log.info("[SAMPLING] job=%s: %s takes no %s", run.record.id, request.model, " and ".join(refused))
        ignored += refused
        request = without(request, refused)
        answer = _turn(run, request, on_delta)
    try:
        return Asked(answer, messages.check(answer, request.output), ignored)
    except messages.Mismatch as mismatch:
        if run.record.max_sends == 1:
            raise errors.structured_output_failed(mismatch.faults, is_repaired=False) from None
        log.info("[REPAIR] job=%s: the answer was not what was wanted", run.record.id)
        second = _turn(run, request.again(messages.repair_words(mismatch)), None)
    usage = add_usage(answer.usage, second.usage)
    costs = [one.cost_usd for one in (answer, second) if one.cost_usd is not None]
    saved = (answer.cache_saved_usd or 0.0) + (second.cache_saved_usd or 0.0)
    answer = replace(second, usage=usage, cost_usd=sum(costs) if len(costs) == 2 else None, cache_saved_usd=saved)
    try:
        return Asked(answer, messages.check(answer, request.output), ignored)
    except messages.Mismatch as mismatch:
        raise errors.structured_output_failed(mismatch.faults) from None


def _turn(run: Run, request: MessagesRequest, on_delta: Callable[[Delta], None] | None) -> Answer:
    deadline = time.monotonic() + run.record.deadline_at - clock.now()
    with runs.turn_span(run) as span:
        logs.content("prompt", request.messages[-1]["content"])
        try:
            answer = run.engine.ask(request, deadline, on_delta, headers=span.context.headers())
        except TurnFailed as failure:
            span.fail(str(failure.kind))
            raise
        run.costs.append(answer.cost_usd)
        logs.content("answer", answer.text or [vars(one) for one in (*answer.value_calls, *answer.tool_calls)])
        span.set(runs.of_answer(answer))
    cut_at = request.output.cut_at
    return stops.cut(answer, cut_at) if cut_at else answer


def refused_sampling(sampling: Mapping[str, float], message: str) -> tuple[str, ...]:
    """What to leave out for the model that refused with this message; empty when it refused something else.

    Of two that it does not take together `temperature` stays; a model that takes none of them names one.
    """
    named = _NAMED.findall(message.lower())
    if not named or _RANGE.search(message) or not set(named) & sampling.keys():
        return ()
    if _TOGETHER.search(message) and len(sampling) > 1:
        return ("top_p",)
    return tuple(sorted(sampling))


def without(request: MessagesRequest, names: tuple[str, ...]) -> MessagesRequest:
    """The request without these parameters."""
    kept = {name: value for name, value in request.sampling.items() if name not in names}
    return replace(request, sampling=kept) if names else request


def _key(request: MessagesRequest) -> tuple[str, frozenset[str]]:
    return request.model, frozenset(request.sampling)
