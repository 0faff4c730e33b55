"""`nightshift status`: what `/health` says, the batches and the latest failures, once or live.

Whatever the server says is printed as letters: nothing in it can move the cursor.
"""

from __future__ import annotations

import os
import shutil
import sys
import time
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

from app.logs import one_line
from app.money import money
from ops.cli.batch import server, watch
from ops.cli.batch.server import Server
from ops.cli.options import AsJson, Url

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence


_POLL_SECONDS = 2.0
_BATCHES = 20
_FAILURES = 5
#: to the upper left; the rest of each line, and of the screen
_HOME, _REST_OF_LINE, _REST_OF_SCREEN = "\x1b[H", "\x1b[K", "\x1b[J"
#: another screen, without a cursor, and back to the one before
_ENTER, _LEAVE = "\x1b[?1049h\x1b[?25l", "\x1b[?25h\x1b[?1049l"


def status(
    *,
    watch: Annotated[bool, Parameter(help="show it live, until Ctrl-C")] = False,
    url: Url = None,
    as_json: AsJson = False,
) -> int:
    """0 when a worker can serve, as `/health/ready` says; 1 when none can, or the server is away."""
    with Server(url) as api:
        if watch and not as_json:
            return _watch(api)
        found = read(api)
    if as_json:
        server.show_json(found)
    else:
        print("\n".join(text(found, now_of(found), _size().columns)))
    return status_of(found)


def read(api: Server) -> dict[str, Any]:
    """`health`, and while there is a Redis `batches` (those that have not ended, and the newest) and `failures`."""
    health = api.health()
    if "now" not in health:
        # The details are the operator's: a key with a name gets none.
        health |= api.readiness()
    found: dict[str, Any] = {"url": api.url, "health": health, "batches": [], "failures": []}
    if health.get("redis", {}).get("reachable", True):
        found["batches"] = api.batches(_BATCHES)
        found["failures"] = api.failures(_FAILURES)
    return found


def now_of(found: dict[str, Any]) -> float:
    """The server's time, which all times in its answers are of."""
    return float(found["health"].get("now") or time.time())  # noqa: TID251 - of a server that does not say


def status_of(found: dict[str, Any]) -> int:
    """The exit status of the command."""
    return 0 if found["health"].get("ready") else 1


def _size() -> os.terminal_size:
    """Of the terminal; output to anything else is not cut."""
    return shutil.get_terminal_size() if sys.stdout.isatty() else os.terminal_size((10_000, 10_000))


def _watch(api: Server) -> int:
    """Until Ctrl-C; then the exit status of what was seen last."""
    is_live = sys.stdout.isatty()
    status = 1
    print(_ENTER if is_live else "", end="")
    try:
        while True:
            size = _size()
            try:
                found = read(api)
                status, lines = status_of(found), text(found, now_of(found), size.columns)
            except server.ServerAway as error:
                status, lines = 1, [str(error)]
            if is_live:
                lines = [f"{line}{_REST_OF_LINE}" for line in lines[: size.lines - 1]]
                print(_HOME + "\n".join(lines) + _REST_OF_SCREEN, end="", flush=True)
            else:
                print("\n".join([*lines, ""]), flush=True)
            time.sleep(_POLL_SECONDS)
    except KeyboardInterrupt:
        return status
    finally:
        print(_LEAVE if is_live else "", end="", flush=True)


_BAR = 20
#: below this a clock is right, seconds
_SKEW_SHOWN = 0.1
#: batches that have ended are shown so long, seconds
_RECENT_SECONDS = 12 * 3600


def text(found: dict[str, Any], now: float, width: int) -> list[str]:
    """All of it, no line longer than `width`. `found`: as `status.read` gives it."""
    health = found["health"]
    mode = "  OFFLINE: answers are simulated" if health.get("offline") else ""
    shown = [f"{found['url']}  {_clock(now)}{mode}", _headline(health)]
    shown += [f"WARNING      {warning}" for warning in health.get("warnings", ())]
    shown.append("")
    if "queue" in health:
        shown += [*_rest(health, now), ""]
    if len(health.get("hosts", ())) > 1:
        shown += _section("Machines", [*map(_host, health["hosts"]), *_shared(health)], "none")
    if "workers" in health:
        shown += _section("Workers", [_worker(row) for row in health["workers"]], "none")
    batches = [one for one in found["batches"] if not _ended_long_ago(one, now)]
    shown += _section("Batches", [_batch(one, now) for one in batches], "none in the last hours")
    shown += _section("Latest failures", [_failure(job) for job in found["failures"]], "none")
    return [one_line(line)[:width] for line in shown]


def _headline(health: dict[str, Any]) -> str:
    if not health.get("redis", {}).get("reachable", True):
        return f"CAN'T SERVE  Redis is away: {health['redis'].get('error', '')}"
    if not health.get("gate", {}).get("open", True) and any(row["alive"] for row in health["workers"]):
        return "WAITS        no job is taken; what is asked for keeps its place"
    if not health.get("ready"):
        return f"CAN'T SERVE  {health.get('reason') or 'the server does not say why'}"
    return (
        "SERVES"
        if health["status"] == "ok"
        else "SERVES       but Redis does not persist what it holds: see `nightshift doctor`"
    )


def _rest(health: dict[str, Any], now: float) -> Iterator[str]:
    queue, callbacks, redis = health["queue"], health["callbacks"], health["redis"]
    oldest = f", the oldest for {_span(queue['oldest_queued_seconds'])}" if queue["queued"] else ""
    yield f"Queue      {queue['queued']:,} wait{oldest}; {queue['in_progress']} run; at most {queue['max_queued']:,}"
    parked = health["gate"].get("parked")
    waiting = f"; {parked:,} of those that wait are parked until their model or way opens" if parked else ""
    yield f"Gate       {_gate(health['gate'], now)}{waiting}"
    ways = health.get("ways", ())
    yield from (f"Way        {_way(one, now)}" for one in ways if len(ways) > 1 or _says_more(one))
    feeders = health.get("feeders") or [one for one in (health.get("feeder"),) if one]
    for one in health.get("login_limits", ()):
        yield f"Login      {one['login']}{' with ' + one['family'] if one['family'] else ''}  {_gate(one, now)}; other logins go on"
    yield f"Feeder     {', '.join(one['process'] for one in feeders) or 'none: no batch goes on'}"
    yield f"Callbacks  {callbacks['waiting']} wait, {callbacks['undelivered']} undelivered"
    free = health["disk"]["free_mb"]
    yield (
        f"Memory     {health['memory']['rss_mb']:,.0f} MB in all, Redis holds {redis['used_memory_mb']:,.0f} MB;"
        f" disk: {'unknown' if free is None else f'{free:,} MB'} free"
    )


def _gate(gate: dict[str, Any], now: float) -> str:
    if gate["open"]:
        return "open"
    until = gate["until"]
    if until is None:
        end = "until it is resumed"
    elif until > now:
        end = f"for {_span(until - now)}, until {_clock(until)}"
    else:
        end = "a request is to try"
    return f"closed, {end}: {gate['cause']}: {gate['reason']}"


def _says_more(way: dict[str, Any]) -> bool:
    return bool(way["spent"] or way["families"] or way.get("windows"))


def _way(way: dict[str, Any], now: float) -> str:
    parts = [f"{way['way']}{':' + way['login'] if way['login'] else ''}  {_gate(way['closed'] or {'open': True}, now)}"]
    parts += [f"for {family} {_gate(closed, now)}" for family, closed in way["families"].items()]
    parts += [
        f"{one['utilization']:.0%} of {one['name'].replace('_', '-')} used, until {_clock(one['resets_at'])}"
        for one in way.get("windows", ())
    ]
    if spent := way["spent"]:
        parts.append(f"{money(spent['usd'])} of {money(spent['cap_usd'])} spent this {spent['period']}")
        if spent["unpriced"]:
            parts.append(f"{spent['unpriced']:,} answers of unknown cost")
    return "; ".join(parts)


def _worker(row: dict[str, Any]) -> str:
    job = f"{row['job']} for {_span(row['job_seconds'] or 0)}" if row["job"] else row["reason"]
    restarts = ", ".join(f"{number} {reason}" for reason, number in row["restarts"].items()) or "none"
    return (
        f"{row['name']}  {row['state']:<10} {row.get('way', ''):<4} {row.get('login_label', ''):<19} {row['turns_total']:>6} turns  {row['errors']:>4} errors"
        f"  {row['rss_mb'] + row['python_rss_mb']:>6,.0f} MB  replaced: {restarts}  {job}"
    ).rstrip()


def _host(host: dict[str, Any]) -> str:
    skew = host["clock_skew_seconds"]
    return (
        f"{host['name']}  {', '.join(host['parts']) or 'no supervisor'}  {host['workers']} workers  {host['memory_mb']:,.0f} MB"
        f"  login: {', '.join(host['logins']) or 'none'}  version: {', '.join(host['versions']) or 'unknown'}"
        f"  clock: {f'{skew:+.1f} s' if abs(skew) >= _SKEW_SHOWN else 'right'}"
    )


def _shared(health: dict[str, Any]) -> list[str]:
    return [one["message"] for one in health.get("shared_logins", ())]


def _batch(batch: dict[str, Any], now: float) -> str:
    counts, ours = batch["request_counts"], batch["nightshift"]
    done, total = counts["completed"] + counts["failed"] + ours["unrun"], counts["total"]
    filled = _BAR * done // total if total else 0
    bar = f"[{'#' * filled}{'.' * (_BAR - filled)}]"
    done_at = ours.get("done_at")
    eta = "" if done_at is None else f"  done in {_span(done_at - now)}, at {_clock(done_at)}"
    return f"{batch['id']}  {bar} {done:,}/{total:,}{eta}  {watch.details(batch)}"


def _ended_long_ago(batch: dict[str, Any], now: float) -> bool:
    if batch["status"] not in server.FINAL:
        return False
    return now - (batch[f"{batch['status']}_at"] or 0) > _RECENT_SECONDS


def _failure(job: dict[str, Any]) -> str:
    error = job["error"] or {}
    what = error.get("code") or error.get("type") or "unknown"
    return f"{_clock(job['finished_at'] or job['created_at'])}  {job['id']}  {job['model']}  {what}: {error.get('message', '')}"


def _section(title: str, rows: Sequence[str], nothing: str) -> list[str]:
    return [f"{title}: {nothing}"] if not rows else [title, *(f"  {row}" for row in rows)]


def _clock(at: float) -> str:
    """Of this machine's day; with the day when it is another."""
    same_day = time.localtime(at)[:3] == time.localtime()[:3]
    return time.strftime("%H:%M:%S" if same_day else "%a %H:%M", time.localtime(at))


def _span(seconds: float) -> str:
    whole = max(0, round(seconds))
    hours, minutes = whole // 3600, whole % 3600 // 60
    return f"{hours}:{minutes:02}:{whole % 60:02}" if hours else f"{minutes}:{whole % 60:02}"
