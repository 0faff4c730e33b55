"""What the stock client makes of our answers."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import openai
import pytest

from app import errors
from app.error_codes import ErrorCode
from tests.integration.api.running import api

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.fake_worker import FakeWorker
    from tests.integration.api.running import RunningApi


@pytest.fixture
def stock(server: RunningApi) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=server.url, api_key="unused", max_retries=0, timeout=120) as client:
        yield client


def ask(client: openai.OpenAI, **fields: object) -> openai.types.chat.ChatCompletion:
    found: openai.types.chat.ChatCompletion = client.chat.completions.create(
        **{"model": "gpt-4o", "messages": [{"role": "user", "content": "hi"}], **fields}  # type: ignore[call-overload]
    )
    return found


def test_completion(stock: openai.OpenAI, worker: FakeWorker) -> None:
    """It reads the completion, and the mapped model reaches the worker."""
    with ThreadPoolExecutor(1) as pool:
        asked = pool.submit(ask, stock, user="me")
        lease, record = worker.take()
        worker.answer(lease, "hello you")
        completion = asked.result(10)
    assert completion.choices[0].message.content == "hello you"
    assert completion.id == record.id
    assert record.model == "sonnet"
    assert completion._request_id == record.request_id


@pytest.mark.parametrize(
    ("error", "raised"),
    [
        (errors.invalid_request("no", param="messages"), openai.BadRequestError),
        (errors.conflict("no", ErrorCode.CANCELLED), openai.ConflictError),
        (errors.rate_limited("no", ErrorCode.OVERLOADED, 1), openai.RateLimitError),
        (errors.upstream_failed("no"), openai.InternalServerError),
        (errors.unavailable("no", ErrorCode.LOGIN_REQUIRED, 1), openai.InternalServerError),
    ],
)
def test_outcome_errors(
    stock: openai.OpenAI, worker: FakeWorker, error: errors.ErrorReply, raised: type[openai.APIStatusError]
) -> None:
    """Each error of a job raises the client's own class, with our four keys on it."""
    with ThreadPoolExecutor(1) as pool:
        asked = pool.submit(ask, stock)
        lease, _ = worker.take()
        worker.fail(lease, error)
        with pytest.raises(raised) as caught:
            asked.result(10)
    assert caught.value.code == error.code
    assert caught.value.type == error.type
    assert caught.value.param == error.param
    assert caught.value.request_id is not None
    assert error.message in str(caught.value)


def test_unknown_model(stock: openai.OpenAI) -> None:
    """An unknown model is OpenAI's `model_not_found`."""
    with pytest.raises(openai.NotFoundError) as caught:
        ask(stock, model="gpt-none")
    assert (caught.value.code, caught.value.param) == ("model_not_found", "model")


def test_refused_field(stock: openai.OpenAI) -> None:
    """A field that would be a lie to accept is a 400 that names it."""
    with pytest.raises(openai.BadRequestError) as caught:
        ask(stock, logprobs=True)
    assert caught.value.param == "logprobs"


def test_fault_deep_inside(stock: openai.OpenAI) -> None:
    """A fault deep inside the request is named in OpenAI's spelling."""
    with pytest.raises(openai.BadRequestError) as caught:
        ask(stock, messages=[{"role": "user", "content": [{"type": "text", "text": 5}]}])
    assert (caught.value.param, caught.value.code) == ("messages[0].content[0].text", "invalid_type")


def test_models(stock: openai.OpenAI) -> None:
    """It lists and retrieves models."""
    ids = [model.id for model in stock.models.list()]
    assert {"haiku", "sonnet", "opus", "gpt-4o"} <= set(ids)
    assert stock.models.retrieve("gpt-4o").owned_by == "nightshift"
    with pytest.raises(openai.NotFoundError):
        stock.models.retrieve("gpt-none")


def test_keys(redis_url: str) -> None:
    """With keys, a wrong one raises the client's AuthenticationError and a right one passes."""
    with api(redis_url, NIGHTSHIFT_API_KEYS="k1,k2") as server:
        for key in ("k1", "k2"):
            with openai.OpenAI(base_url=server.url, api_key=key, max_retries=0) as client:
                assert client.models.list().data
        for key in ("k3", "k", "k1k2"):
            with openai.OpenAI(base_url=server.url, api_key=key, max_retries=0) as client:
                with pytest.raises(openai.AuthenticationError) as caught:
                    client.models.list()
                assert caught.value.code == "invalid_api_key"


def test_own_retry_of_the_client(server: RunningApi, worker: FakeWorker) -> None:
    """A read timeout is a hang-up: the client sends again, and the second try gets the first one's job, which ran once."""
    with (
        openai.OpenAI(base_url=server.url, api_key="unused", max_retries=4, timeout=2) as client,
        ThreadPoolExecutor(1) as pool,
    ):
        asked = pool.submit(ask, client)
        lease, record = worker.take()
        with pytest.raises(AssertionError, match="a job in the queue"):
            worker.take(timeout=3)
        worker.answer(lease)
        assert asked.result(60).id == record.id
