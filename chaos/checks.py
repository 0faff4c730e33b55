"""Whether every promise was kept: looked at when all is quiet, and once more when all has stopped."""

from __future__ import annotations

import json
import time
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import psutil

from app.connection import AWAY
from app.jobs.record import Status, outcome_key
from app.jobs.recovery import AUDIT_SECONDS
from app.outcome import Outcome
from chaos import residue
from chaos.ledger import SECRET, text_of
from chaos.wires import Wires
from ops.supervisor.probe import listens

if TYPE_CHECKING:
    from redis import Redis

    from app.jobs.record import JobRecord
    from chaos.ledger import Accepted, Ledger
    from chaos.stack import Stack

#: how long the backlog may take to be worked off, the longest claim of a callback included, seconds
QUIET_SECONDS = 300.0
#: how late the maintenance may be, seconds
_LATE_SECONDS = 15.0


@dataclass
class Findings:
    """What was looked at, and what was wrong with it, by the promise."""

    looked_at: Counter[str] = field(default_factory=Counter)
    wrong: dict[str, list[str]] = field(default_factory=dict)

    def look(self, promise: str, count: int = 1) -> None:
        """So many more were looked at."""
        self.looked_at[promise] += count
        self.wrong.setdefault(promise, [])

    def fault(self, promise: str, what: str) -> None:
        """The promise was not kept."""
        self.wrong.setdefault(promise, []).append(what)

    @property
    def are_clean(self) -> bool:
        """Whether nothing was wrong."""
        return not any(self.wrong.values())


def wait_for_quiet(stack: Stack, found: Findings) -> None:
    """Until nothing goes on, or the time for it is over."""
    promise = "nothing is left that nobody touches"
    found.look(promise)
    end = time.monotonic() + QUIET_SECONDS
    left = ["Redis does not answer"]
    while time.monotonic() < end:
        with suppress(*AWAY):
            left = residue.unfinished(stack.redis)
        if not left:
            return
        time.sleep(1.0)
    for one in left:
        found.fault(promise, one)


def check(stack: Stack, ledger: Ledger, found: Findings) -> None:
    """All that can be asked while the stack still runs."""
    redis = stack.redis
    events = residue.events(redis)
    for job_id, accepted in ledger.accepted.items():
        _check_job(stack, ledger, found, job_id, accepted)
        if accepted.has_callback:
            _check_callback(ledger, found, job_id, events)
    for secret, ids in ledger.ids_of.items():
        if len(ids) > 1:
            found.fault("one job for one idempotency key", f"{secret}: {sorted(ids)}")
    found.look("one job for one idempotency key", len(ledger.ids_of))
    for subject, stored in events.items():
        found.look("one event for one end")
        if len(stored) > 1:
            found.fault("one event for one end", f"{subject}: {stored}")
    for batch_id, lines in ledger.batches.items():
        _check_batch(Wires(ledger.ports[batch_id]), found, batch_id, lines)
        _check_callback(ledger, found, batch_id, events)
        _check_messages(ledger, found, batch_id)
    for leak in _leaks(redis):
        found.fault("nothing is left that nobody touches", leak)
    found.look("answers are the request's own, errors explained", len(ledger.read) + ledger.refused.total())
    for complaint in ledger.complaints:
        found.fault("answers are the request's own, errors explained", complaint)


def _leaks(redis: Redis) -> list[str]:
    """What stays: the maintenance may have yet to look at what has just come to its end, e.g. the row of a worker that was killed."""
    give_up = time.monotonic() + AUDIT_SECONDS + _LATE_SECONDS
    while (found := residue.leaks(redis)) and time.monotonic() < give_up:
        time.sleep(1.0)
    return found


def _check_job(stack: Stack, ledger: Ledger, found: Findings, job_id: str, accepted: Accepted) -> None:
    promise = f"{accepted.kind}: accepted, one outcome"
    found.look(promise)
    record = residue.record(stack.redis, job_id)
    raw: Any = stack.redis.get(outcome_key(job_id))
    if record is None or raw is None or not record.status.is_final:
        found.fault(promise, f"{job_id} ({accepted.secret}): {record}")
        return
    outcome = Outcome.from_json(raw)
    _check_attempts(found, record)
    if accepted.kind == "async" and outcome.error is not None:
        found.fault(promise, f"{job_id} failed: {outcome.error.body()}")
    elif accepted.kind == "sync" and record.status is not Status.COMPLETED:
        found.fault(promise, f"{job_id} was answered and is {record.status}")
    text = _text(outcome)
    if set(SECRET.findall(text)) - {accepted.secret}:
        found.fault(promise, f"{job_id} has another's secret: {text}")
    if job_id in ledger.read and ledger.read[job_id] != text:
        found.fault(promise, f"{job_id}: the client read {ledger.read[job_id]!r}, stored is {text!r}")


def _check_attempts(found: Findings, record: JobRecord) -> None:
    """The simulated Claude errs for nobody: no run but the one that answered may count."""
    promise = "attempts: none used up but by the request itself"
    found.look(promise)
    if record.attempts > 1:
        found.fault(promise, f"{record.id}: {record.attempts} attempts, {record.deaths} deaths")


def _check_callback(ledger: Ledger, found: Findings, subject: str, events: dict[str, list[str]]) -> None:
    promise = "callback: delivered at least once"
    found.look(promise)
    delivered = set(ledger.delivered.get(subject, ()))
    if not delivered:
        found.fault(promise, f"{subject}: nothing came; stored: {events.get(subject)}")
    elif len(delivered) > 1:
        found.fault("one event for one end", f"{subject}: {sorted(delivered)}")


def _check_messages(ledger: Ledger, found: Findings, batch_id: str) -> None:
    promise = "messages: each end is said to people"
    found.look(promise)
    if not _ends_said(ledger, batch_id):
        found.fault(promise, f"{batch_id}: {[title for title in ledger.heard if batch_id in title]}")


def _ends_said(ledger: Ledger, batch_id: str) -> int:
    return sum(f"({batch_id}) is done" in title for title in ledger.heard)


def check_repeated(ledger: Ledger, found: Findings, faults: int) -> None:
    """A message comes twice only where the process that sent it died: not more often than anything was broken."""
    promise = "messages: said once"
    found.look(promise, len(ledger.batches))
    repeats = sum(max(0, _ends_said(ledger, batch_id) - 1) for batch_id in ledger.batches)
    if repeats > faults // 10:
        found.fault(promise, f"{repeats} repeated: {sorted(ledger.heard)}")


def _check_batch(wires: Wires, found: Findings, batch_id: str, lines: list[str]) -> None:
    def read(path: str) -> Any:
        reply = wires.ask("GET", path)
        return {} if reply is None else reply.body

    promise = "batch: each line once"
    found.look(promise, len(lines))
    batch = read(f"/v1/batches/{batch_id}")
    if batch.get("status") != "completed":
        found.fault(promise, f"{batch_id}: {batch}")
        return
    if batch["error_file_id"]:
        content = read(f"/v1/files/{batch['error_file_id']}/content")
        found.fault(promise, f"{batch_id} has an error file: {str(content)[:500]}")
    content = read(f"/v1/files/{batch['output_file_id']}/content")
    answers = [json.loads(line) for line in str(content).split("\n") if line] if isinstance(content, str) else [content]
    times = Counter(answer["custom_id"] for answer in answers)
    for custom_id in lines:
        if times[custom_id] != 1:
            found.fault(promise, f"{batch_id} {custom_id}: {times[custom_id]} times")
    for answer in answers:
        if set(SECRET.findall(json.dumps(answer["response"]))) - {answer["custom_id"]}:
            found.fault(promise, f"{batch_id}: another's secret in {answer}")


def check_stopped(stack: Stack, found: Findings) -> None:
    """Nothing of it is left on the machine."""
    promise = "after the stop nothing is left"
    found.look(promise)
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            if process.pid != psutil.Process().pid and str(stack.directory) in _marks(process):
                found.fault(promise, f"process {process.pid}: {process.cmdline()}")
    simulator = int((stack.data_dir / "simulator.port").read_text())
    for port in (stack.port, simulator):
        if listens("127.0.0.1", port):
            found.fault(promise, f"port {port} is still taken")
    homes = [home / "workers" for home in (stack.data_dir, stack.directory / "second")]
    directories = [path for home in homes if home.exists() for path in home.iterdir() if path.is_dir()]
    directories += list((stack.directory / "tmp").iterdir())
    for path in directories:
        found.fault(promise, f"directory {path}")
    for name in ("redis/redis.sock", "processes.json"):
        if (stack.data_dir / name).exists():
            found.fault(promise, f"file {name}")


def _marks(process: psutil.Process) -> str:
    return " ".join([*process.cmdline(), *process.environ().values()])


def _text(outcome: Outcome) -> str:
    if outcome.error is not None or outcome.body is None:
        return ""
    return text_of(outcome.body)
