"""What a model's name says of it: whether there is such a model, its version, and what its version refuses.

By public reports the sampling parameters were withdrawn in two steps: from Opus 4.1 to Sonnet 4.6 a request may have one
of them, later models take none; and from the 4.6 models on a conversation must end with the user.
"""

import re

from simulator.errors import ApiError

#: Short model names that the CLI knows beside the full ones.
MODEL_ALIASES = frozenset({"default", "best", "opus", "sonnet", "haiku", "opusplan"})

_FAMILY = r"(?:opus|sonnet|haiku|fable)"
_VERSION = re.compile(rf"{_FAMILY}-(\d{{1,2}})(?:-(\d{{1,2}}))?(?!\d)")

_ONE_OF_TWO = (4, 1)
_NO_PREFILL = (4, 6)
_NO_SAMPLING = (4, 7)


def check_model(model: str) -> None:
    """Raise a 404 :class:`ApiError` unless ``model`` begins like a Claude model or is one of the aliases."""
    name = model.removesuffix("[1m]")
    if not name.startswith(("claude", "simulated")) and name not in MODEL_ALIASES:
        raise ApiError(404, f"model: {model}")


def version(model: str) -> tuple[int, int] | None:
    """Return ``(4, 5)`` for ``claude-sonnet-4-5-20250929``; None for a name without a version."""
    found = _VERSION.search(model)
    return (int(found[1]), int(found[2] or 0)) if found else None


def takes_prefill(model: str) -> bool:
    """Return whether a conversation may end with the beginning of the answer."""
    return (version(model) or (0, 0)) < _NO_PREFILL


def takes_sampling(model: str) -> bool:
    """Return whether the model takes ``temperature`` and ``top_p`` at all."""
    return (version(model) or (0, 0)) < _NO_SAMPLING


def takes_both(model: str) -> bool:
    """Return whether it takes ``temperature`` and ``top_p`` together."""
    return (version(model) or (0, 0)) < _ONE_OF_TWO
