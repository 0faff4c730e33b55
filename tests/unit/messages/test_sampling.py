"""`temperature` and `top_p`, which newer models refuse."""

from __future__ import annotations

from typing import Any

import pytest

from app.errors import ErrorReply
from app.messages import to_claude
from app.openai.accept import accept
from app.settings import IGNORABLE_FIELDS, Settings, SettingsError
from workers.asking import refused_sampling

ASK = {"model": "sonnet", "messages": [{"role": "user", "content": "hi"}]}


def sent(**fields: Any) -> dict[str, float]:
    """What Claude is asked with."""
    return dict(to_claude(accept({**ASK, **fields}, Settings()).payload).sampling)


@pytest.mark.parametrize("value", [1, 1.0])
def test_what_asks_for_nothing_is_not_sent(value: float) -> None:
    """The models' own value would be refused by those that take none, and is not named as ignored."""
    assert sent(temperature=value, top_p=value) == {}
    assert sent(temperature=0, top_p=value) == {"temperature": 0}
    assert accept({**ASK, "temperature": value, "top_p": value}, Settings()).ignored == []


@pytest.mark.parametrize("value", [1.1, 2, -1])
def test_a_value_that_no_model_takes_is_refused_at_the_door(value: float) -> None:
    """Claude's range is 0 to 1, OpenAI's 0 to 2."""
    with pytest.raises(ErrorReply) as caught:
        accept({**ASK, "temperature": value}, Settings())
    assert (caught.value.status, caught.value.param) == (400, "temperature")


@pytest.mark.parametrize(
    ("fields", "left", "ignored"),
    [
        ({"temperature": 0}, {}, ["temperature"]),
        ({"temperature": 0, "top_p": 0.5}, {}, ["temperature", "top_p"]),
        ({"temperature": 1, "top_p": 0.95}, {"top_p": 0.95}, []),
        ({"temperature": 0, "max_tokens": 2000}, {"temperature": 0}, []),
        ({"temperature": 0, "response_format": {"type": "json_object"}}, {"temperature": 0}, ["reasoning_effort"]),
    ],
)
def test_what_is_not_taken_beside_thinking_is_named(fields: dict[str, Any], left: Any, ignored: list[str]) -> None:
    """Where it is known without Claude it is not tried; an effort that leads to no thinking changes nothing."""
    body = {**fields, "reasoning_effort": "low"}
    assert sent(**body) == left
    assert accept({**ASK, **body}, Settings()).ignored == ignored


def test_a_setting_keeps_the_400() -> None:
    """For who would rather know than have it ignored."""
    with pytest.raises(ErrorReply) as caught:
        accept({**ASK, "temperature": 0, "reasoning_effort": "low"}, Settings(unsupported_sampling="error"))
    assert (caught.value.status, caught.value.param) == (400, "temperature")


BOTH = {"temperature": 0.5, "top_p": 0.5}


@pytest.mark.parametrize(
    ("sampling", "message", "left_out"),
    [
        (BOTH, "`temperature` and `top_p` cannot both be specified for this model. Please use only one.", ("top_p",)),
        (BOTH, "`temperature` is deprecated for this model.", ("temperature", "top_p")),
        ({"top_p": 0.5}, "`top_p` is deprecated for this model.", ("top_p",)),
        ({"temperature": 0}, "Temperature is not supported by this model.", ("temperature",)),
        (BOTH, "`temperature` may only be set to 1 when thinking is enabled.", ("temperature", "top_p")),
        ({"temperature": 0}, "`top_p` is deprecated for this model.", ()),
        ({}, "`temperature` is deprecated for this model.", ()),
        (BOTH, "temperature: range: 0..1", ()),
        (BOTH, "temperature: Input should be less than or equal to 1", ()),
        (BOTH, "max_tokens: too many", ()),
        (BOTH, "prompt is too long: the temperatures of 1990", ()),
    ],
)
def test_what_a_model_refuses_is_read_off_its_error(
    sampling: dict[str, float], message: str, left_out: tuple[str, ...]
) -> None:
    """Of two that exclude each other one stays; what is wrong for another reason stays wrong."""
    assert refused_sampling(sampling, message) == left_out


@pytest.mark.parametrize("name", sorted(IGNORABLE_FIELDS))
def test_refused_fields_are_ignored_where_a_setting_says_so(name: str) -> None:
    """Some clients can't leave them out: they are named in the header, and others stay a 400."""
    settings = Settings(ignore_fields=(name,))
    value: Any = {"logprobs": True, "logit_bias": {"1": 2}, "prediction": {"type": "content"}}.get(name, 2)
    with pytest.raises(ErrorReply) as caught:
        accept({**ASK, name: value}, Settings())
    assert caught.value.param == name
    assert accept({**ASK, name: value}, settings).ignored == [name]
    with pytest.raises(ErrorReply):
        accept({**ASK, name: value, "audio": {"voice": "alloy"}}, settings)


def test_fields_that_can_not_be_ignored_are_no_setting() -> None:
    """Without its tools or its audio an answer is not the one that was asked for."""
    with pytest.raises(SettingsError, match="functions"):
        Settings.from_environment({"NIGHTSHIFT_IGNORE_FIELDS": "logprobs,functions"})
