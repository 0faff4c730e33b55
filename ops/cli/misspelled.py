"""Variables that look like settings and are none: a typo would otherwise have no effect and nobody would hear of it."""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING

from app.settings import variables

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

PREFIX = "NIGHTSHIFT_"
#: what is read elsewhere: by the commands that talk to a server, by `scripts/`, by `compose.yaml`, by the tests
_OTHERS = (
    "NIGHTSHIFT_API_KEY",
    "NIGHTSHIFT_FUZZ_EXAMPLES",
    "NIGHTSHIFT_PUBLISH",
    "NIGHTSHIFT_PYTHON",
    "NIGHTSHIFT_TEST_PYTHON",
    "NIGHTSHIFT_URL",
)
#: how alike two names must be, 0 to 1: what follows the prefix, to suggest the one for the other; whole names without it
_ALIKE, _NEARLY_THE_SAME = 0.6, 0.9


def complaints(environ: Mapping[str, str]) -> Iterator[str]:
    """A sentence for each variable that is no setting although it looks like one, with the nearest name if there is one."""
    known = {*variables(), *_OTHERS}
    for name in sorted(set(environ) - known):
        spelled = name.upper()
        near = _nearest(spelled, known)
        if near:
            yield f"{name} is not a setting, and has no effect. Did you mean {near}?"
        elif spelled.startswith(PREFIX):
            yield f"{name} is not a setting, and has no effect."


def _nearest(spelled: str, known: set[str]) -> str | None:
    ours = {name for name in known if name.startswith(PREFIX)}
    if not spelled.startswith(PREFIX):
        return next(iter(difflib.get_close_matches(spelled, ours, 1, _NEARLY_THE_SAME)), None)
    # Compared whole, the prefix would make all of them alike. NIGHTSHIFT_REDIS_URL is a near miss, too.
    ends = {name.removeprefix(PREFIX): name for name in known}
    found = difflib.get_close_matches(spelled.removeprefix(PREFIX), ends, 1, _ALIKE)
    return ends[found[0]] if found else None
