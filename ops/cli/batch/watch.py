"""`nightshift batch watch ID`."""

from __future__ import annotations

import contextlib
import sys
import time
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter
from tqdm import tqdm

from app.batches.waits import WAITS, clause
from app.money import money
from ops.cli.batch import forecast, server
from ops.cli.batch.server import Server
from ops.cli.options import AsJson, Url

if TYPE_CHECKING:
    from collections.abc import Iterator

_POLL_SECONDS = 1.0
#: without a terminal a line is printed when something has changed, but not more often than this, seconds
_LINE_SECONDS = 10.0
#: where the server knows more than a code says
_SAID_BY_SERVER = ("files_elsewhere", "files_unusable", "message_batches")


BatchId = Annotated[str, Parameter(name="ID")]
Stay = Annotated[bool, Parameter("--watch", help="stay, and show how it goes")]


def watch(batch_id: BatchId, /, *, url: Url = None, as_json: AsJson = False) -> int:
    """Until it has ended."""
    with Server(url) as api:
        api.batch(batch_id)
        with goes_on(batch_id):
            batch = until_ended(api, batch_id)
    if as_json:
        server.show_json(batch)
    return server.status_of(batch)


def _show_forecast(api: Server, batch: dict[str, Any]) -> None:
    if is_held(batch) and batch["nightshift"]["tried"]:
        for line in forecast.lines(batch, api.report(batch["id"])):
            server.say(line)


def follow(api: Server, batch: dict[str, Any], *, stay: bool, as_json: bool) -> int:
    """Report on a batch that was named, with `stay` until it has ended. The exit status."""
    if stay:
        with goes_on(batch["id"]):
            batch = until_ended(api, batch["id"])
    elif batch["status"] not in server.FINAL and (reason := why(batch)):
        server.say(f"nightshift: {batch['id']} {reason}")
    if as_json:
        server.show_json(batch)
    return server.status_of(batch) if stay else 0


def name(api: Server, batch: dict[str, Any], *, as_json: bool) -> None:
    """Say at once which batch was made, whatever becomes of it: its id on stdout, its page beside it."""
    if not as_json:
        print(batch["id"], flush=True)
    server.say(f"nightshift: {batch['id'] if as_json else 'its page'}: {api.url}/batches/{batch['id']}")


@contextlib.contextmanager
def goes_on(batch_id: str) -> Iterator[None]:
    """After Ctrl-C, say that the batch continues."""
    try:
        yield
    except KeyboardInterrupt:
        server.say(
            f"\nnightshift: {batch_id} goes on without you. `nightshift batch watch {batch_id}` shows it again,"
            f" `nightshift batch cancel {batch_id}` ends it."
        )
        raise


def why(batch: dict[str, Any]) -> str:
    """Why nothing moves, and until when; empty when nothing is known against it."""
    ours = batch["nightshift"]
    if not ours["waiting_for"]:
        return ""
    until = (
        f" until {time.strftime('%a %H:%M', time.localtime(ours['waiting_until']))}" if ours["waiting_until"] else ""
    )
    code, reason = ours["waiting_for"], ours.get("waiting_reason")
    if reason and (code in _SAID_BY_SERVER or code not in WAITS):
        return f"waits: {reason}{until}"
    advice = WAITS[code].advice.format(id=batch["id"]) if code in WAITS else ""
    return f"waits: {clause(code)}{until}" + (f". {advice}" if advice else "")


def is_held(batch: dict[str, Any]) -> bool:
    """Whether it waits for somebody's word."""
    return bool(batch) and batch["nightshift"]["waiting_for"] in ("tried", "budget")


def until_ended(api: Server, batch_id: str) -> dict[str, Any]:
    """Show one live line on stderr, or now and then a line where it is no terminal. The batch, ended."""
    is_live = sys.stderr.isatty()
    bar = None
    batch: dict[str, Any] = {}
    shown, next_line = "", 0.0
    while batch.get("status") not in server.FINAL and not is_held(batch):
        try:
            batch = api.batch(batch_id)
        except server.ServerAway:
            if bar is not None:
                bar.set_postfix_str("no answer from the server; trying again")
            time.sleep(_POLL_SECONDS)
            continue
        done = _done(batch)
        if is_live and batch["request_counts"]["total"]:
            if bar is None:
                bar = tqdm(total=batch["request_counts"]["total"], initial=done, unit=" requests", dynamic_ncols=True)
            bar.n = done
            bar.set_postfix_str(details(batch))
        elif not is_live and time.monotonic() >= next_line and (line := _line(batch)) != shown:
            server.say(line)
            shown, next_line = line, time.monotonic() + _LINE_SECONDS
        if batch["status"] not in server.FINAL and not is_held(batch):
            time.sleep(_POLL_SECONDS)
    if bar is not None:
        bar.close()
    server.say(_line(batch))
    _show_forecast(api, batch)
    return batch


def details(batch: dict[str, Any]) -> str:
    """The text behind the bar: tokens, cost, failures, and why it waits and until when."""
    ours = batch["nightshift"]
    parts = [batch["status"]] if batch["status"] != "in_progress" else []
    parts.append(f"{batch['usage']['total_tokens']:,} tokens")
    if ours["cost_usd"]:
        parts.append(money(ours["cost_usd"]))
    if ours.get("unpriced"):
        parts.append(f"{ours['unpriced']} answers of unknown cost")
    if ours.get("copied"):
        parts.append(f"{ours['copied']:,} copied")
    if batch["request_counts"]["failed"]:
        parts.append(f"{batch['request_counts']['failed']} failed")
    if ours["unrun"]:
        parts.append(f"{ours['unrun']} not run")
    if in_parts := ours.get("parts"):
        number = in_parts["parts"]
        parts.append(f"{in_parts['sent']:,} at Message Batches in {number} part{'' if number == 1 else 's'}")
    if reason := why(batch):
        parts.append(reason)
    return ", ".join(parts)


def _done(batch: dict[str, Any]) -> int:
    counts = batch["request_counts"]
    return int(counts["completed"] + counts["failed"] + batch["nightshift"]["unrun"])


def _line(batch: dict[str, Any]) -> str:
    status = f"{batch['status']}: " if batch["status"] == "in_progress" else ""
    return f"{batch['id']} {status}{_done(batch)}/{batch['request_counts']['total']}, {details(batch)}"
