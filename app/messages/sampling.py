"""`temperature` and `top_p`: what of them is for Claude, and what follows when a model takes none.

Newer models refuse them, singly or together; many clients send them unasked. See `NIGHTSHIFT_UNSUPPORTED_SAMPLING`.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

#: the parameters, by what asks for nothing: the models' own value
NEUTRAL = {"temperature": 1, "top_p": 1}
#: beside thinking the API takes a temperature of 1 only, and no less of `top_p`
_LEAST_TOP_P = 0.95

_NAMED = re.compile(r"\b(temperature|top_p)\b")
_TOGETHER = re.compile(r"\b(both|together|only one)\b", re.IGNORECASE)
#: what the API says of a value that no model takes
_RANGE = re.compile(r"range|should be|greater than|less than", re.IGNORECASE)


def asked(request: Mapping[str, Any]) -> dict[str, float]:
    """Those of a chat request that ask for something."""
    return {name: request[name] for name, neutral in NEUTRAL.items() if request.get(name, neutral) != neutral}


def beside_thinking(sampling: Mapping[str, float]) -> dict[str, float]:
    """Those that the API takes of a model that thinks."""
    return {name: value for name, value in sampling.items() if name == "top_p" and value >= _LEAST_TOP_P}


def refused(sampling: Mapping[str, float], message: str) -> tuple[str, ...]:
    """What to leave out for the model that refused with this message; empty when it refused something else.

    Of two that it does not take together `temperature` stays; a model that takes none of them names one.
    """
    named = _NAMED.findall(message.lower())
    if not named or _RANGE.search(message) or not set(named) & sampling.keys():
        return ()
    if _TOGETHER.search(message) and len(sampling) > 1:
        return ("top_p",)
    return tuple(sorted(sampling))
