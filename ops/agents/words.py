"""Batches and jobs as text for agents: short, with the next call to make."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Any

from app.batches.formats import answers
from ops.agents.tool import PAGE
from ops.cli.batch import forecast, watch
from ops.cli.batch.server import FINAL

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from ops.cli.batch.server import Server

_DETAIL = 2000


def batch(found: dict[str, Any], server: Server, *, is_listed: bool = False) -> str:
    """How it goes, why it waits, and what to do next."""
    return "\n".join(_batch(found, server, is_listed=is_listed))


def _batch(found: dict[str, Any], server: Server, *, is_listed: bool) -> Iterator[str]:
    counts, ours = found["request_counts"], found["nightshift"]
    done = counts["completed"] + counts["failed"] + ours["unrun"]
    details = watch.details(found).removeprefix(f"{found['status']}, ")
    yield f"{found['id']}: {found['status']}, {done:,} of {counts['total']:,} requests done, {details}"
    if reason := ours.get("waiting_reason"):
        yield f"Why it waits: {reason}"
    if done_at := ours.get("done_at"):
        yield f"Done by about {clock(done_at)}."
    if is_listed:
        return
    if watch.is_held(found) and ours["tried"]:
        yield from forecast.lines(found, server.report(found["id"]))
        yield f'Next: batch_results(batch_id="{found["id"]}") to see what was answered, then batch_continue or batch_cancel.'
    for fault in (found["errors"] or {"data": []})["data"][:20]:
        where = f"line {fault['line']}: " if fault["line"] else ""
        yield f"{where}{fault['code']}: {fault['message']}"[:_DETAIL]
    if found["status"] in FINAL and done:
        yield f'Next: batch_results(batch_id="{found["id"]}"); errors=true gives what failed.'
    yield f"For people: {server.url}/batches/{found['id']}"


def clock(at: float) -> str:
    """On the clock of this machine."""
    return time.strftime("%a %Y-%m-%d %H:%M %Z", time.localtime(at))


def line(raw: bytes) -> dict[str, Any]:
    """A line of an output or error file: `id`, and `answer` or `error`."""
    custom_id, (answer, error) = answers.of(raw)
    found = {"id": custom_id}
    if answer or not error:
        found["answer"] = answer
    return found | ({"error": error} if error else {})


def page(lines: Iterable[bytes], first: int, skip: int) -> tuple[list[str], int, int]:
    """Lines from number `first` on, of one page at most; and from where the next one goes on: (line, character), line -1: nowhere.

    `skip`: characters of the first line that were read already. A line too long for a page comes in pieces.
    """
    shown: list[str] = []
    length = 0
    for number, raw in enumerate(lines):
        if number < first:
            continue
        text = json.dumps(line(raw), ensure_ascii=False)
        begin = skip if number == first else 0
        if begin or len(text) > PAGE:
            if shown:
                return shown, number, 0
            piece = text[begin : begin + PAGE]
            end = begin + len(piece)
            is_whole = end >= len(text)
            return [piece], number + is_whole, 0 if is_whole else end
        if length + len(text) > PAGE:
            return shown, number, 0
        shown.append(text)
        length += len(text) + 1
    return shown, -1, 0


def answer(job: dict[str, Any]) -> str:
    """What a job that completed answered, as text."""
    result = job["result"] or {}
    if output := result.get("output"):
        parts = [part.get("text", "") for item in output for part in item.get("content") or ()]
        return "".join(parts) or json.dumps(output, ensure_ascii=False)
    found = []
    for choice in result.get("choices", ()):
        message = choice.get("message") or {"content": choice.get("text")}
        if message.get("refusal"):
            found.append(f"[refused] {message['refusal']}")
        elif message.get("content") is None and message.get("tool_calls"):
            found.append(json.dumps(message["tool_calls"], ensure_ascii=False))
        else:
            found.append(str(message.get("content") or ""))
    return "\n\n".join(found)


def is_cut(job: dict[str, Any]) -> bool:
    """Whether the answer ends where `max_tokens` was reached."""
    choices = (job["result"] or {}).get("choices", ())
    return any(choice.get("finish_reason") == "length" for choice in choices)
