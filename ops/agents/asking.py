"""Tools for single questions, in the background: `ask`, `answer`, `cancel_question`."""

from __future__ import annotations

import time
from typing import Annotated, Any

import anyio
from pydantic import Field

from ops.agents import words
from ops.agents.tool import PAGE, Arguments, Desk, JobId, Refused, Tool, waited

_POLL_SECONDS = 0.5
#: clients of the protocol give a call a minute
_MAX_WAIT = 50
_ENDED = ("completed", "failed", "cancelled")


class Ask(Arguments):
    """Of `ask`."""

    prompt: Annotated[str, Field(min_length=1, description="the question, whole: nothing else is known to who answers")]
    model: Annotated[str, Field(description="haiku (cheapest), sonnet, opus, or an id that begins with claude-")] = (
        "sonnet"
    )
    system: Annotated[str | None, Field(description="the system prompt")] = None
    answer_schema: Annotated[
        dict[str, Any] | None, Field(description="a JSON schema; the answer is then JSON that satisfies it")
    ] = None
    max_tokens: Annotated[int | None, Field(gt=0, description="the answer's length at most, tokens")] = None


class Answer(Arguments):
    """Of `answer`."""

    id: Annotated[JobId, Field(description="as `ask` gave it")]
    wait_seconds: Annotated[float, Field(ge=0, le=_MAX_WAIT, description="wait so long at most for the answer")] = 20
    from_character: Annotated[int, Field(ge=0, description="of a long answer: where to go on")] = 0


class Cancel(Arguments):
    """Of `cancel_question`."""

    id: Annotated[JobId, Field(description="as `ask` gave it")]


async def _ask(desk: Desk, sent: Ask) -> str:
    messages = [{"role": "system", "content": sent.system}] if sent.system else []
    body: dict[str, Any] = {"model": sent.model, "messages": [*messages, {"role": "user", "content": sent.prompt}]}
    if sent.max_tokens is not None:
        body["max_completion_tokens"] = sent.max_tokens
    if sent.answer_schema is not None:
        schema = {"name": "answer", "schema": sent.answer_schema, "strict": True}
        body["response_format"] = {"type": "json_schema", "json_schema": schema}
    job = await waited(desk.server.ask, body)
    return f'{job["id"]} is {job["status"]}. Go on with other work, then call answer(id="{job["id"]}").'


async def _answer(desk: Desk, sent: Answer) -> str:
    until = time.monotonic() + sent.wait_seconds
    job = await waited(desk.server.job, sent.id)
    while job["status"] not in _ENDED and time.monotonic() < until:
        await anyio.sleep(_POLL_SECONDS)
        job = await waited(desk.server.job, sent.id)
    if job["status"] not in _ENDED:
        where = "" if job.get("position") is None else f", {job['position']:,} before it"
        waits = f" It waits for: {job['waiting_for']}." if job.get("waiting_for") else ""
        return f"{job['id']} is {job['status']}{where}: no answer yet.{waits} `status` says how the whole of it goes."
    if job["status"] == "failed":
        error = job["error"] or {}
        raise Refused(f"{job['id']} failed: {error.get('code') or error.get('type')}: {error.get('message')}")
    if job["status"] == "cancelled":
        raise Refused(f"{job['id']} was cancelled: there is no answer.")
    text = words.answer(job)
    shown, end = text[sent.from_character :][:PAGE], sent.from_character + PAGE
    if end < len(text):
        return f'{shown}\n\n[{len(text):,} characters in all. More: answer(id="{job["id"]}", from_character={end})]'
    return f"{shown}\n\n[cut: max_tokens was reached]" if words.is_cut(job) else shown


async def _cancel(desk: Desk, sent: Cancel) -> str:
    job = await waited(desk.server.cancel_job, sent.id)
    return f"{job['id']} is {job['status']}."


TOOLS = (
    Tool(
        "ask",
        "Ask Claude in the background",
        "Ask Claude one question in the background and get an id at once; `answer` gives its answer later. The question is kept,"
        " whatever happens, until it has one outcome. It costs money or a part of a subscription's limit. For many rows of one"
        " kind use batch_submit.",
        Ask,
        _ask,
        changes=True,
    ),
    Tool(
        "answer",
        "Get the answer to a question",
        "The answer to a question that `ask` gave an id to. Waits for it up to wait_seconds; if there is none yet, says why and"
        " may be called again.",
        Answer,
        _answer,
    ),
    Tool(
        "cancel_question",
        "Cancel a question",
        "Cancel a question that was asked with `ask` and has no answer yet.",
        Cancel,
        _cancel,
        changes=True,
        destroys=True,
    ),
)
