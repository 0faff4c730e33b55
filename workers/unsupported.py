"""Sampling parameters that a model refuses: left out of the next try, and of later requests to that model.

The API's own 400 is the only word on what a model takes, and costs nothing but its time. So it is asked, once an hour.
"""

from __future__ import annotations

import time
from dataclasses import replace
from typing import TYPE_CHECKING

from app.messages import sampling
from app.messages.failure import FailureKind

if TYPE_CHECKING:
    from app.messages import MessagesRequest
    from app.messages.failure import TurnFailed
    from app.settings import Settings

LEARNED_SECONDS = 3600.0
#: clients choose the models' names
MAX_LEARNED = 100

#: (model, parameters sent): what of them it refuses, and until when that is believed, `time.monotonic()`
Refusals = dict[tuple[str, frozenset[str]], tuple[tuple[str, ...], float]]


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
        names = sampling.refused(request.sampling, failure.message)
        if names:
            while len(self._refusals) >= MAX_LEARNED:
                self._refusals.pop(next(iter(self._refusals)))
            self._refusals[_key(request)] = (names, time.monotonic() + LEARNED_SECONDS)
        return names


def without(request: MessagesRequest, names: tuple[str, ...]) -> MessagesRequest:
    """The request without these parameters."""
    kept = {name: value for name, value in request.sampling.items() if name not in names}
    return replace(request, sampling=kept) if names else request


def _key(request: MessagesRequest) -> tuple[str, frozenset[str]]:
    return request.model, frozenset(request.sampling)
