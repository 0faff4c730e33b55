"""The engine without a Claude process against the simulated API: an error is never an answer, and every wait has an end."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, Any

import psutil
import pytest

from app.messages import MessagesRequest, to_claude
from app.messages.answer import TextDelta
from app.messages.failure import FailureKind, TurnFailed
from app.prices import cost_usd
from app.ways import Step, Way
from tests.integration.claude.conftest import settings_for
from workers.messages_api import ApiEngine

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from simulator.process import RunningSimulator


@pytest.fixture
def engine(simulator: RunningSimulator, tmp_path: Path) -> Iterator[ApiEngine]:
    children = psutil.Process().children()
    with ApiEngine(
        settings_for(simulator.base_url, tmp_path, stall_seconds=2.0, ways=(Step(Way.API),)), name="api"
    ) as made:
        yield made
        assert psutil.Process().children() == children


def asked(text: str = "please", model: str = "sonnet", **fields: Any) -> MessagesRequest:
    body = {"model": model, "messages": [{"role": "user", "content": text}]} | fields
    return to_claude({"claude_model": model, "request": body})


def failure_of(engine: ApiEngine, seconds: float = 20.0) -> TurnFailed:
    with pytest.raises(TurnFailed) as caught:
        engine.ask(asked(), time.monotonic() + seconds)
    return caught.value


@pytest.mark.parametrize(
    ("respond", "kind", "status"),
    [
        ({"error": {"status": 400, "message": "max_tokens: too many"}}, FailureKind.CALLER, 400),
        ({"error": {"status": 404}}, FailureKind.CALLER, 404),
        ({"error": {"status": 413}}, FailureKind.CALLER, 413),
        ({"error": {"status": 401}}, FailureKind.LOGIN, 401),
        ({"error": {"status": 402}}, FailureKind.LOGIN, 402),
        ({"error": {"status": 403}}, FailureKind.CALLER, 403),
        ({"error": {"status": 400, "message": "Your credit balance is too low"}}, FailureKind.LOGIN, 400),
        ({"error": {"status": 429}}, FailureKind.RATE_LIMITED, 429),
        ({"error": {"status": 500}}, FailureKind.SERVER, 500),
        ({"error": {"status": 529}}, FailureKind.OVERLOADED, 529),
        ({"text": "word " * 30, "break_after_deltas": 2}, FailureKind.SERVER, None),
        ({"text": "word " * 30, "stream_error": {"after_deltas": 2}}, FailureKind.OVERLOADED, None),
        ({"text": "word " * 30, "malformed_sse_after_deltas": 2}, FailureKind.SERVER, None),
        ({"text": "word " * 30, "hang_after_deltas": 2, "hang_seconds": 30}, FailureKind.STALLED, None),
        ({"text": "word", "stop_reason": "pause_turn"}, FailureKind.UNKNOWN_END, None),
    ],
)
def test_an_error_is_never_an_answer(
    engine: ApiEngine, simulator: RunningSimulator, respond: dict[str, Any], kind: FailureKind, status: int | None
) -> None:
    """Each has its kind and status, is sent once, and the next request is answered."""
    simulator.control.add_rule(respond, match={"contains": "please"})
    failure = failure_of(engine)
    assert (failure.kind, failure.status) == (kind, status)
    assert len(simulator.control.requests()) == 1
    assert engine.ask(asked("thanks"), time.monotonic() + 20).text == "Simulated answer to: thanks"


def test_the_apis_word_on_when_to_try_again(engine: ApiEngine, simulator: RunningSimulator) -> None:
    """`retry-after` is the API's own, in seconds."""
    simulator.control.add_rule({"error": {"status": 429}, "headers": {"retry-after": "7"}})
    assert failure_of(engine).retry_after == 7.0


def test_an_interrupt_ends_a_question_at_once(engine: ApiEngine, simulator: RunningSimulator) -> None:
    """Also before the first byte of its answer; the next question has its own answer."""
    simulator.control.add_rule({"text": "late", "hang_seconds": 30}, times=1)
    threading.Timer(0.3, engine.interrupt).start()
    started = time.monotonic()
    assert failure_of(engine).kind is FailureKind.INTERRUPTED
    assert time.monotonic() - started < 20
    assert engine.ask(asked("next"), time.monotonic() + 20).text == "Simulated answer to: next"


def test_the_deadline_holds_for_the_whole(engine: ApiEngine, simulator: RunningSimulator) -> None:
    """An answer that trickles passes each wait for a byte, and not this one."""
    simulator.control.add_rule({"text": "word " * 200}, times=1, tokens_per_second=20)
    assert failure_of(engine, seconds=0.7).kind is FailureKind.DEADLINE


def test_a_stream_tells_the_answer_and_its_true_usage(engine: ApiEngine, simulator: RunningSimulator) -> None:
    """The pieces are the text; usage is what the API reported last, and its cost is that usage at list prices."""
    simulator.control.add_rule({"text": "word " * 30, "usage": {"output_tokens": 77}})
    pieces: list[str] = []
    answer = engine.ask(
        asked(), time.monotonic() + 20, lambda piece: pieces.append(piece.text if isinstance(piece, TextDelta) else "")
    )
    assert "".join(pieces) == answer.text == "word " * 30
    assert answer.usage["output_tokens"] == 77
    assert answer.cost_usd is not None
    assert answer.cost_usd == cost_usd("claude-sonnet-5-5", answer.usage)


def test_a_model_without_a_price_has_no_cost(engine: ApiEngine) -> None:
    """None is made up."""
    assert engine.ask(asked(model="claude-other-9"), time.monotonic() + 20).cost_usd is None
