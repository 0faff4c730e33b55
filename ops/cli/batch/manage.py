"""`nightshift batch list`, `cancel` and `retry`."""

from __future__ import annotations

import time
from typing import Annotated

from cyclopts import Parameter

from app.ways import Way
from ops.cli.batch import server, submit, watch
from ops.cli.batch.server import RETRY_OF, Server
from ops.cli.batch.submit import Again
from ops.cli.batch.watch import BatchId, Stay
from ops.cli.options import AsJson, Dollars, Url


def list_batches(
    *, limit: Annotated[int, Parameter(help="how many (default 20)")] = 20, url: Url = None, as_json: AsJson = False
) -> int:
    """One line a batch."""
    with Server(url) as api:
        found = api.batches(limit)
    if as_json:
        server.show_json(found)
        return 0
    for batch in found:
        counts = batch["request_counts"]
        made = time.strftime("%Y-%m-%d %H:%M", time.localtime(batch["created_at"]))
        failed = f", {counts['failed']} failed" if counts["failed"] else ""
        unrun = f", {batch['nightshift']['unrun']} not run" if batch["nightshift"]["unrun"] else ""
        print(f"{batch['id']}  {made}  {batch['status']:<11}  {counts['completed']}/{counts['total']}{failed}{unrun}")
    return 0


def cancel(batch_id: BatchId, /, *, url: Url = None, as_json: AsJson = False) -> int:
    """Say what it is now."""
    with Server(url) as api:
        batch = api.cancel(batch_id)
    if as_json:
        server.show_json(batch)
    else:
        print(f"{batch['id']} {batch['status']}")
    return 0


def go_on(
    batch_id: BatchId,
    /,
    *,
    way: Annotated[Way | None, Parameter(help="the way to Claude that its other requests take")] = None,
    max_cost: Annotated[Dollars, Parameter(help="what the whole of it may cost, US dollars")] = None,
    max_tokens: Annotated[int | None, Parameter(help="tokens that the whole of it may read and write")] = None,
    max_share: Annotated[
        str | None,
        Parameter(help="what the whole of it may use of a subscription's usage window, such as 30%five_hour"),
    ] = None,
    stay: Stay = False,
    url: Url = None,
    as_json: AsJson = False,
) -> int:
    """Let it go on."""
    wanted = {"way": way, "max_cost": max_cost, "max_tokens": max_tokens, "max_share": max_share}
    with Server(url) as api:
        batch = api.go_on(batch_id, {name: value for name, value in wanted.items() if value is not None})
        if not as_json:
            print(f"{batch['id']} {batch['status']}")
        return watch.follow(api, batch, stay=stay, as_json=as_json)


def retry(
    batch_id: BatchId, /, *, again_: Again = False, stay: Stay = False, url: Url = None, as_json: AsJson = False
) -> int:
    """Make it."""
    with Server(url) as api:
        what = f"What failed in {batch_id}"
        earlier = None if again_ else submit.submitted_before(api, RETRY_OF, batch_id)
        if not submit.is_wanted(earlier, what):
            return 1
        batch = api.retry(batch_id)
        watch.name(api, batch, as_json=as_json)
        submit.say_again(earlier, what)
        return watch.follow(api, batch, stay=stay, as_json=as_json)
