"""Stop sequences that Claude does not take, since they are white space only: the answer is cut at them here.

Claude writes on behind the cut, and its tokens are paid for: the usage says so.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from app.messages.answer import CallDelta

if TYPE_CHECKING:
    from collections.abc import Callable

    from app.messages.answer import Answer, Delta

#: answers that ended so are not what the stop sequences are about
_UNCUT = frozenset({"refusal"})


def cut(answer: Answer, sequences: tuple[str, ...]) -> Answer:
    """The answer up to the first of the sequences, as if Claude had stopped there: the calls behind it are left out, too."""
    at, sequence = _first(answer.text, sequences)
    if sequence is None or answer.stop_reason in _UNCUT:
        return answer
    return replace(answer, text=answer.text[:at], tool_calls=(), stop_reason="stop_sequence", stop_sequence=sequence)


class Cutter:
    """The same for the pieces of an answer while it is written: none of them is of what is behind the cut."""

    def __init__(self, sequences: tuple[str, ...], emit: Callable[[Delta], None]) -> None:
        self._sequences = sequences
        self._emit = emit
        #: what may be the beginning of a sequence
        self._held = ""
        self._is_cut = False

    def put(self, piece: Delta) -> None:
        """The next piece. What is held back at last comes with the outcome."""
        if self._is_cut:
            return
        if isinstance(piece, CallDelta):
            self._emit(piece)
            return
        text = self._held + piece.text
        at, sequence = _first(text, self._sequences)
        if sequence is None:
            at = len(text) - self._may_begin(text)
        self._is_cut = sequence is not None
        self._held = text[at:]
        if at:
            self._emit(replace(piece, text=text[:at]))

    def _may_begin(self, text: str) -> int:
        """How many characters at the end may be the beginning of a sequence."""
        longest = max(len(one) for one in self._sequences) - 1
        for length in range(min(longest, len(text)), 0, -1):
            if any(one.startswith(text[-length:]) for one in self._sequences):
                return length
        return 0


def _first(text: str, sequences: tuple[str, ...]) -> tuple[int, str | None]:
    """Where the sequence begins that is complete first, and which it is: who writes it stops there."""
    found = [(at + len(sequence), at, sequence) for sequence in sequences if (at := text.find(sequence)) >= 0]
    if not found:
        return 0, None
    _, at, which = min(found)
    return at, which
