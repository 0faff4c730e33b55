"""Answers that are cut here, at stop sequences of white space."""

from __future__ import annotations

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from app.messages import to_claude
from app.messages.answer import Answer, CallDelta, Delta, TextDelta, ToolCall
from app.messages.stops import Cutter, cut


def answer(text: str, **fields: object) -> Answer:
    known = {"stop_reason": "end_turn", "model": "m", "usage": {"output_tokens": 9}, "cost_usd": 0.5}
    return Answer(text=text, **{**known, **fields})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("stop", "native", "here"),
    [
        (None, (), ()),
        ("\n\n", (), ("\n\n",)),
        ("END", ("END",), ()),
        (["\n", "Q:", "\t ", "\nQ"], ("Q:", "\nQ"), ("\n", "\t ")),
    ],
)
def test_white_space_is_cut_here(stop: object, native: tuple[str, ...], here: tuple[str, ...]) -> None:
    """Claude takes each sequence that has something else in it."""
    request = {"messages": [{"role": "user", "content": "Hello."}], "stop": stop}
    asked = to_claude({"claude_model": "sonnet", "request": request})
    assert (asked.stop_sequences, asked.output.cut_at) == (native, here)


@pytest.mark.parametrize(
    ("text", "left", "sequence"),
    [
        ("one\n\ntwo\n\nthree", "one", "\n\n"),
        ("one\ttwo\n\nthree", "one", "\t"),
        ("\n\n", "", "\n\n"),
        ("one\ntwo", "one\ntwo", None),
    ],
)
def test_an_answer_ends_at_the_first_sequence(text: str, left: str, sequence: str | None) -> None:
    """As if Claude had stopped there; what it wrote is paid for, so that the usage stays."""
    found = cut(answer(text, stop_reason="max_tokens"), ("\n\n", "\t"))
    assert (found.text, found.stop_sequence, found.usage) == (left, sequence, {"output_tokens": 9})
    assert found.stop_reason == ("stop_sequence" if sequence else "max_tokens")


def test_calls_behind_the_cut_are_left_out() -> None:
    """A model that had stopped would not have made them; without a cut they stay."""
    call = ToolCall("c", "f", {})
    assert cut(answer("a\n\nb", tool_calls=(call,), stop_reason="tool_use"), ("\n\n",)).tool_calls == ()
    assert cut(answer("a", tool_calls=(call,), stop_reason="tool_use"), ("\n\n",)).tool_calls == (call,)


def test_a_refusal_is_not_cut() -> None:
    """It is no answer to which the client's stop sequences belong."""
    assert cut(answer("No.\n\nSorry.", stop_reason="refusal"), ("\n\n",)).text == "No.\n\nSorry."


@settings(max_examples=1000)
@example([" \t", " "])
@given(st.lists(st.text("ab \n\t", max_size=5), max_size=8))
def test_pieces_are_the_answer_that_is_cut(texts: list[str]) -> None:
    """However an answer is cut into pieces: they are its beginning, and no more is held back than might be a sequence."""
    sequences = ("\n\n", " \t ", "\t")
    told: list[Delta] = []
    cutter = Cutter(sequences, told.append)
    for text in texts:
        cutter.put(TextDelta(text, "m"))
    shown = "".join(piece.text for piece in told if isinstance(piece, TextDelta))
    whole = cut(answer("".join(texts)), sequences)
    assert whole.text.startswith(shown)
    assert whole.stop_sequence is None or shown == whole.text
    assert len(whole.text) - len(shown) <= 2
    assert all(piece.text for piece in told if isinstance(piece, TextDelta))


def test_no_call_is_told_behind_the_cut() -> None:
    """Calls before it are told as they come."""
    told: list[Delta] = []
    cutter = Cutter(("\n\n",), told.append)
    first, second = (CallDelta(n, f"c{n}", "f", is_begin=True, arguments="", model="m") for n in (0, 1))
    for piece in (TextDelta("a", "m"), first, TextDelta("\n", "m"), TextDelta("\n", "m"), second):
        cutter.put(piece)
    assert told == [TextDelta("a", "m"), first]
