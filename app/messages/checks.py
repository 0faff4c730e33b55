"""Whether an answer is what was wanted, held against the client's own schemas; and the words for a second try."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from app.schemas.sandbox import TooSlowError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from app.messages.answer import Answer, ToolCall
    from app.messages.output_spec import OutputSpec, ToolSpec, Value
    from app.messages.schema import Shape

#: how many faults are named, and how long each may be, characters
MAX_FAULTS = 5
MAX_FAULT = 300
#: how much of a wrong answer is shown to the model again, characters
MAX_QUOTED = 20_000
#: answers that are cut or refused are handed out as they are
_ENDED_OTHERWISE = frozenset({"max_tokens", "model_context_window_exceeded", "refusal", "stop_sequence"})
_FENCE = re.compile(r"\s*```(?:json)?\s*\n(.*)\n\s*```\s*", re.DOTALL)


@dataclass(frozen=True)
class FunctionCall:
    """A call as the client gets it."""

    id: str
    name: str
    #: JSON text
    arguments: str


@dataclass(frozen=True)
class Checked:
    """An answer's parts, as they were wanted."""

    text: str | None = None
    calls: tuple[FunctionCall, ...] = ()


class Mismatch(Exception):
    """It is not what was wanted. `faults` says why, for people and for the model; `given` is what came, as text."""

    def __init__(self, faults: str, given: str) -> None:
        super().__init__(faults)
        self.faults = faults
        self.given = given


def check(answer: Answer, output: OutputSpec) -> Checked:
    """The answer in the client's terms. Raises `Mismatch`."""
    if answer.stop_reason in _ENDED_OTHERWISE:
        return _as_it_is(answer, output)
    if answer.tool_calls:
        calls = tuple(
            _call(call, output.functions[call.name]) for call in answer.tool_calls if call.name in output.functions
        )
        if calls:
            return Checked(answer.text or None, calls)
    if output.value is not None:
        return _valued(answer, output.value)
    if output.is_forced:
        raise Mismatch("no function was called, and one has to be", answer.text)
    return Checked(answer.text)


def repair_words(mismatch: Mismatch) -> str:
    """What is added to the request for the second try."""
    return (
        "A first answer to this request was not valid and has been discarded. It was:\n\n"
        f"{mismatch.given[:MAX_QUOTED]}\n\nWhat was wrong with it: {mismatch.faults}\n\n"
        "Answer the request again, completely, so that the answer is valid."
    )


def _valued(answer: Answer, spec: Value) -> Checked:
    """The value as the answer's text, or each call of the function by which it came."""
    if spec.function is None:
        given = answer.value_calls[-1] if answer.value_calls else None
        return Checked(_dump(_value(answer, given, spec)))
    calls = [(call.id, _value(answer, call, spec)) for call in answer.value_calls]
    # Without a call its text may be the arguments.
    calls = calls or [(f"toolu_{answer.message_ids[-1].removeprefix('msg_')}", _value(answer, None, spec))]
    return Checked(None, tuple(FunctionCall(id_, spec.function, _dump(value)) for id_, value in calls))


def _value(answer: Answer, call: ToolCall | None, spec: Value) -> Any:
    """The first of the readings of an answer that fits. Models now and then give JSON as text, or forget the wrapper."""
    faults = ""
    for reading in _readings(answer, call, spec):
        found = _faults(reading, spec.shape)
        if not found:
            return reading
        faults = faults or found
    raise Mismatch(faults or "it is no JSON", call.arguments if call is not None else answer.text)


def _readings(answer: Answer, call: ToolCall | None, spec: Value) -> Iterator[Any]:
    if call is None:
        yield from _parsed(answer.text)
        return
    value = spec.shape.value_of(call.input)
    yield value
    if isinstance(value, str):
        yield from _parsed(value)
    if spec.shape.is_wrapped:
        yield call.input


def _parsed(text: str) -> Iterator[Any]:
    fenced = _FENCE.fullmatch(text)
    try:
        yield json.loads(fenced[1] if fenced else text, parse_constant=_refuse_constant)
    except (ValueError, RecursionError):
        return


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is no JSON")


def _dump(value: Any) -> str:
    """JSON text. Half a surrogate pair has no UTF-8, so that text stays escaped."""
    text = json.dumps(value, ensure_ascii=False)
    try:
        text.encode()
    except UnicodeEncodeError:
        return json.dumps(value)
    return text


def _call(call: ToolCall, tool: ToolSpec) -> FunctionCall:
    if not tool.shape.is_wrapped and not tool.is_checked:
        return FunctionCall(call.id, tool.name, call.arguments)
    arguments = tool.shape.value_of(call.input)
    if tool.is_checked and (faults := _faults(arguments, tool.shape)):
        raise Mismatch(f"the arguments of '{tool.name}': {faults}", call.arguments)
    return FunctionCall(call.id, tool.name, _dump(arguments))


def _as_it_is(answer: Answer, output: OutputSpec) -> Checked:
    """A cut answer: what there is of it, which is no JSON that anybody could read to its end."""
    calls = tuple(
        FunctionCall(call.id, tool.name, tool.shape.text_of(call.arguments))
        for call in answer.tool_calls
        if (tool := output.functions.get(call.name)) is not None
    )
    value = output.value
    if value is None or not answer.value_calls:
        return Checked(answer.text or ("" if not calls else None), calls)
    if value.function is None:
        return Checked(value.shape.text_of(answer.value_calls[-1].arguments))
    given = [FunctionCall(call.id, value.function, value.shape.text_of(call.arguments)) for call in answer.value_calls]
    return Checked(None, tuple(given))


def _faults(value: Any, shape: Shape) -> str:
    """What is wrong, in words; empty: nothing."""
    found: list[str] = []
    try:
        faults = shape.validator.iter_errors(value)
    except TooSlowError as slow:
        return f"it could not be checked: {slow}"
    for error in faults:
        place = "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in error.instance_path)
        found.append(f"at '${place}': {error.message}"[:MAX_FAULT])
        if len(found) == MAX_FAULTS:
            break
    return "; ".join(found)
