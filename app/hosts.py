"""The machines that share this Redis, a row each, made of the rows of their workers and supervisors. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from app import clock
from app.ways import LoginName

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from app.supervisors import SupervisorStatus
    from app.worker_status import WorkerStatus

#: what one login of that name is to people
_ONE: dict[str, str] = {
    LoginName.SUBSCRIPTION: "one subscription",
    LoginName.API_KEY: "one API key",
    LoginName.AUTH_TOKEN: "one token",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Host:
    """One machine."""

    name: str
    #: the commands that supervise there (`supervisors.Part`)
    parts: tuple[str, ...]
    #: workers that live
    workers: int
    #: of these, with their Claude processes; MiB
    memory_mb: float
    #: labels (`app.login_label`)
    logins: tuple[str, ...]
    #: of the code; several while an update is under way
    versions: tuple[str, ...]
    #: how far its clock is ahead of Redis' (below 0: behind), as far as it is known for sure
    clock_skew_seconds: float

    @property
    def clock_is_off(self) -> bool:
        """Whether that is too far."""
        return clock.is_off(self.clock_skew_seconds)


@dataclass(frozen=True, slots=True, kw_only=True)
class SharedLogin:
    """A login that several machines have."""

    label: str
    hosts: tuple[str, ...]

    @property
    def in_words(self) -> str:
        """For people: a second machine adds nothing to what the login may use."""
        name, _, letters = self.label.partition(" ")
        what = f"{_ONE.get(name, f'one login of {name}')} ({letters})"
        whom = "both" if len(self.hosts) == 2 else "all of them"
        return f"{len(self.hosts)} machines share {what}: its limits hold for {whom}. They are {', '.join(self.hosts)}."


def hosts_of(workers: Iterable[WorkerStatus], supervisors: Iterable[SupervisorStatus]) -> list[Host]:
    """All machines, by name. `workers`: those that live."""
    workers, supervisors = list(workers), list(supervisors)
    names = sorted({row.machine for row in workers} | {row.host for row in supervisors})
    return [
        _host(name, [row for row in workers if row.machine == name], [row for row in supervisors if row.host == name])
        for name in names
    ]


def shared_logins(hosts: Sequence[Host]) -> list[SharedLogin]:
    """Those that are on more than one machine."""
    # A kind alone does not say whether it is the same.
    labels = sorted({label for host in hosts for label in host.logins if " " in label})
    found = {label: tuple(host.name for host in hosts if label in host.logins) for label in labels}
    return [SharedLogin(label=label, hosts=names) for label, names in found.items() if len(names) > 1]


def _host(name: str, workers: Sequence[WorkerStatus], supervisors: Sequence[SupervisorStatus]) -> Host:
    rows: list[SupervisorStatus | WorkerStatus] = [*supervisors, *workers]
    return Host(
        name=name,
        parts=tuple(sorted({row.part for row in supervisors})),
        workers=len(workers),
        memory_mb=round(sum(row.rss_mb + row.python_rss_mb for row in workers), 1),
        logins=tuple(
            sorted({label for row in workers for label in (row.login_label, *row.login_labels.values())} - {""})
        ),
        versions=tuple(sorted({row.version for row in rows} - {""})),
        clock_skew_seconds=max((row.clock_skew_seconds for row in rows), key=abs, default=0.0),
    )
