"""`nightshift batch submit FILE`. Nobody's night is to be paid twice by mistake, so it asks about what was submitted within a day."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter

from app.batches.formats.answers import TABLE_FILE, TABLE_FORMAT, TABLE_ID, TABLE_SELECTION
from app.money import money
from app.notify_settings import read_urls
from app.ways import Way
from app.window import WindowError, parse
from ops.cli import options
from ops.cli.batch import server, source, watch
from ops.cli.batch.server import Server
from ops.cli.batch.source import DEFAULT, How
from ops.cli.batch.table_file import FilePath, Place, name_of, shown
from ops.cli.batch.watch import Stay
from ops.cli.options import AsJson, Dollars, Url

#: what was submitted within this time is asked about, seconds
AGAIN_SECONDS = 24 * 3600

Again = Annotated[bool, Parameter("--again", help="don't ask although it was submitted within a day")]


def submitted_before(api: Server, name: str, value: str) -> dict[str, Any] | None:
    """The batch of the last day that has this in its metadata."""
    return api.made_since(time.time() - AGAIN_SECONDS, name, value)  # noqa: TID251 - within a day, by any clock


def is_wanted(found: dict[str, Any] | None, what: str) -> bool:
    """Whether to go on. Asks whoever sits at a terminal; a script goes on."""
    if found is None or not (sys.stdin.isatty() and sys.stderr.isatty()):
        return True
    print(f"{_told(found, what)} Submit it again? [y/N] ", end="", file=sys.stderr, flush=True)
    if sys.stdin.readline().strip().lower() in ("y", "yes"):
        return True
    server.say(f"nightshift: nothing was submitted. `nightshift batch watch {found['id']}` shows the other.")
    return False


def say_again(found: dict[str, Any] | None, what: str) -> None:
    """For a script, beside the new batch's id."""
    if found is not None:
        server.say(f"nightshift: {_told(found, what)} (--again: don't say so)")


def _told(found: dict[str, Any], what: str) -> str:
    at = time.strftime("%a %H:%M", time.localtime(found["created_at"]))
    counts = found["request_counts"]
    return (
        f"{what} was submitted in the same way at {at}, as {found['id']}"
        f" ({found['status']}, {counts['completed']:,} of {counts['total']:,} answered)."
    )


_POLL_SECONDS = 0.2
#: a batch that does not move is explained after this time, seconds
EXPLAIN_SECONDS = 5.0
#: different faults that are shown, and the places shown of equal ones
MAX_SHOWN = 50
_MAX_PLACES = 5


def submit(
    file: FilePath,
    /,
    *,
    how: How = DEFAULT,
    window: Annotated[str | None, Parameter(help="when its lines may run, e.g. '22:00-07:00 Europe/Berlin'")] = None,
    way: Annotated[
        Way | None, Parameter(help="the only way to Claude that its lines take, of those that NIGHTSHIFT_WAYS names")
    ] = None,
    tried: Annotated[
        int | None,
        Parameter(
            "--try",
            converter=options.whole_number(1, 10**9),
            help="run so many first, chosen over the whole file, and say what the rest will cost; the rest waits for `continue`",
        ),
    ] = None,
    max_cost: Annotated[
        Dollars, Parameter(help="US dollars; it stops before it costs more, and waits for `continue`")
    ] = None,
    max_tokens: Annotated[int | None, Parameter(help="the same, for tokens read and written")] = None,
    max_share: Annotated[
        str | None,
        Parameter(help="30%five_hour: it stops at that share of a subscription's usage window, until that begins anew"),
    ] = None,
    since: Annotated[
        str | None,
        Parameter(
            help="ID of an earlier batch: what it has answered is copied from it, and only what is new or changed runs"
        ),
    ] = None,
    completion_window: Annotated[str, Parameter(help="the batch expires then (default 24h; 1h to 7d)")] = "24h",
    callback_url: Annotated[str | None, Parameter(help="gets a signed webhook when the batch has ended")] = None,
    notify: Annotated[
        Path | None,
        Parameter(
            help="a file with URLs of Apprise: messages go there when it is done or waits (docs/notifications.md)"
        ),
    ] = None,
    again_: Again = False,
    stay: Stay = False,
    url: Url = None,
    as_json: AsJson = False,
) -> int:
    """Upload, create, and wait until the server has validated every line, or say why it can't."""
    metadata = _metadata(window, way, callback_url, is_strict=how.strict)
    limits = {"try": tried, "max_cost": max_cost, "max_tokens": max_tokens, "max_share": max_share, "since": since}
    metadata |= {name: str(value) for name, value in limits.items() if value is not None}
    urls = () if notify is None else _urls(notify)
    with Server(url) as api:
        if since is not None:
            api.batch(since)
        if model := how.model or ("sonnet" if how.is_table else None):
            api.check_model(model)
        with source.opened(file, how) as found:
            metadata[server.DIGEST] = found.digest()
            # What that batch has answered is not paid twice.
            earlier = (
                None if again_ or since is not None else submitted_before(api, server.DIGEST, metadata[server.DIGEST])
            )
            if not is_wanted(earlier, shown(file)):
                return 1
            file_id = api.upload(found.file, name_of(file))
            metadata |= table(api, found, how)
        batch = api.create(file_id, metadata, completion_window, urls)
        watch.name(api, batch, as_json=as_json)
        say_again(earlier, shown(file))
        with watch.goes_on(batch["id"]):
            batch = _validated(api, batch)
        if batch["status"] == "failed":
            if as_json:
                server.show_json(batch)
            return _failed(file, batch, found.unit)
        if refused := batch["nightshift"].get("refused"):
            _say_refused(file, batch, refused)
        if since is not None:
            _say_copied(batch, since)
        return watch.follow(api, batch, stay=stay or tried is not None, as_json=as_json)


def _urls(path: Path) -> tuple[str, ...]:
    if "://" in str(path) or ":/" in str(path):
        options.fail("--notify takes a file with URLs, for they hold tokens, and others can read a command line.")
    try:
        return read_urls(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        options.fail(f"--notify {path}: {getattr(error, 'strerror', None) or error}.")


def table(api: Server, found: source.Source, how: How) -> dict[str, str]:
    """The table itself, for `results` to give back, as metadata; empty for what was no table."""
    if found.table is None:
        return {}
    with found.table.path.open("rb") as file:
        made = {TABLE_FILE: api.upload(file, found.table.name), TABLE_FORMAT: found.kind}
    said = {TABLE_ID: how.id_column, TABLE_SELECTION: how.selection.dumped()}
    return made | {name: value for name, value in said.items() if value}


def _validated(api: Server, batch: dict[str, Any]) -> dict[str, Any]:
    """The batch once its file was looked at; still `validating` when nobody will."""
    explain_at = time.monotonic() + EXPLAIN_SECONDS
    while batch["status"] == "validating":
        time.sleep(_POLL_SECONDS)
        batch = api.batch(batch["id"])
        if time.monotonic() >= explain_at and watch.why(batch):
            break
    return batch


def _metadata(window: str | None, way: Way | None, callback_url: str | None, *, is_strict: bool) -> dict[str, str]:
    found: dict[str, str] = {}
    if window:
        try:
            parse(window)
        except WindowError as error:
            options.fail(f"--window {error}.")
        found["batch_window"] = window
    if way:
        found["way"] = way
    if callback_url:
        found["callback_url"] = callback_url
    if is_strict:
        found["on_bad_line"] = "fail"
    return found


def _failed(file: Place, batch: dict[str, Any], unit: str) -> int:
    found = batch["errors"]["data"]
    say_faults(file, found, unit)
    number = f"{len(found):,} fault{'' if len(found) == 1 else 's'}"
    server.say(f"nightshift: {batch['id']} failed: {number} of the file; nothing was run.")
    return 1


def _say_refused(file: Place, batch: dict[str, Any], refused: int) -> None:
    """Of a batch that runs: how many of its requests don't."""
    total = batch["request_counts"]["total"]
    server.say(
        f"nightshift: {refused:,} of {total:,} requests are refused, and are 400s in the error file; the others run."
        f" `nightshift batch validate {file}` names them; --strict refuses the whole file."
    )


def _say_copied(batch: dict[str, Any], since: str) -> None:
    """Of a batch that names an earlier one: how many of its answers are that one's."""
    ours, total = batch["nightshift"], batch["request_counts"]["total"]
    saved = "" if ours["saved_usd"] is None else f", which saves {money(ours['saved_usd'])}"
    server.say(f"nightshift: {ours['copied']:,} of {total:,} requests are answered in {since}: copied{saved}.")


def say_faults(file: Place, found: Iterable[dict[str, Any]], unit: str, *, prefix: str = "") -> None:
    """Name the faults of a file on stderr, each once, with its place and how many more there are like it. `found`: as OpenAI's `errors.data`; `unit`: what `line` counts, a `line`, `row` or `request`."""
    alike: dict[tuple[str, str, str | None], list[int | None]] = {}
    for fault in found:
        alike.setdefault((fault["code"], fault["message"], fault["param"]), []).append(fault["line"])
    for (code, message, param), places in list(alike.items())[:MAX_SHOWN]:
        where = f"{prefix}{code}: {message}" + (f" ({param})" if param else "")
        server.say(f"{_place(file, places[0], unit)}: {where}{_others(places[1:], unit)}")
    if (left := len(alike) - MAX_SHOWN) > 0:
        server.say(f"{file}: {left:,} more faults of other kinds or places; --json shows all.")


def _place(file: Place, line: int | None, unit: str) -> str:
    if not line:
        return shown(file)
    return f"{shown(file)}:{line}" if unit == "line" else f"{shown(file)}: {unit} {line}"


def _others(places: list[int | None], unit: str) -> str:
    if not places:
        return ""
    named = ", ".join(f"{place:,}" for place in places[:_MAX_PLACES] if place)
    more = len(places) - _MAX_PLACES
    return f" [also {unit}{'s' if len(places) > 1 else ''} {named}{f' and {more:,} more' if more > 0 else ''}]"
