"""What is measured, and what is computed of it. No I/O."""

from __future__ import annotations

from dataclasses import dataclass, field
from statistics import fmean

#: the quantiles that are shown
QUANTILES = (50, 95, 99)


def quantile(values: list[float], percent: float) -> float:
    """By linear interpolation; NaN for no values."""
    if not values:
        return float("nan")
    ordered = sorted(values)
    place = (len(ordered) - 1) * percent / 100
    low = int(place)
    high = min(low + 1, len(ordered) - 1)
    return ordered[low] + (ordered[high] - ordered[low]) * (place - low)


def ratio(one: float, two: float) -> float:
    """`one / two`; NaN where there is nothing to divide by."""
    return one / two if two else float("nan")


@dataclass
class Rate:
    """Requests over time, from several short measurements, and the CPU that each kind of process spent on them."""

    requests: int = 0
    seconds: float = 0.0
    cpu_seconds: dict[str, float] = field(default_factory=dict)
    #: the requests that `cpu_seconds` were spent on
    cpu_requests: int = 0

    def add(self, requests: int, seconds: float) -> None:
        """One more measurement of the rate."""
        self.requests += requests
        self.seconds += seconds

    def add_cpu(self, requests: int, cpu_seconds: dict[str, float]) -> None:
        """One more measurement of CPU time, by kind."""
        self.cpu_requests += requests
        for kind, spent in cpu_seconds.items():
            self.cpu_seconds[kind] = self.cpu_seconds.get(kind, 0.0) + spent

    @property
    def per_second(self) -> float:
        """Requests per second."""
        return ratio(self.requests, self.seconds)

    def cpu_ms(self, *kinds: str) -> float:
        """CPU per request of these kinds (all of them, when none is named), milliseconds."""
        chosen = kinds or tuple(self.cpu_seconds)
        return ratio(1000 * sum(self.cpu_seconds.get(kind, 0.0) for kind in chosen), self.cpu_requests)


@dataclass
class Latency:
    """Turns of one client, bare and through the gateway, in turns; milliseconds."""

    bare_ms: list[float] = field(default_factory=list)
    #: the same with the prompt in the request's body
    by_body_ms: list[float] = field(default_factory=list)
    gateway_ms: list[float] = field(default_factory=list)

    def added_ms(self, percent: int) -> float:
        """What the gateway adds: the difference of the two quantiles."""
        return quantile(self.gateway_ms, percent) - quantile(self.bare_ms, percent)

    def body_adds_ms(self, percent: int) -> float:
        """Of it, what the way by the body adds."""
        return quantile(self.by_body_ms, percent) - quantile(self.bare_ms, percent)


@dataclass(frozen=True)
class AddedBytes:
    """What is in an API request beside what the client sent, bytes of text."""

    way: str
    login: str
    system: int
    messages: int


@dataclass(frozen=True)
class WorkerMemory:
    """Resident memory of one worker, MiB."""

    python_mb: float
    claude_mb: float
    turns: int


@dataclass
class Figures:
    """All of a run. Times are milliseconds."""

    #: by the pause before each request, milliseconds
    latency: dict[int, Latency]
    #: processes per request by how many of them may run at once
    fresh: dict[int, Rate]
    #: a process for one request: until the answer is there, and until the process is gone
    fresh_answer_ms: list[float] = field(default_factory=list)
    fresh_whole_ms: list[float] = field(default_factory=list)
    gateway: Rate = field(default_factory=Rate)
    bare_rewind: Rate = field(default_factory=Rate)
    bare_clear: Rate = field(default_factory=Rate)
    slow_gateway: Rate = field(default_factory=Rate)
    slow_bare: Rate = field(default_factory=Rate)
    added_bytes: list[AddedBytes] = field(default_factory=list)
    memory_idle: list[WorkerMemory] = field(default_factory=list)
    memory_after: list[WorkerMemory] = field(default_factory=list)

    def best_fresh(self) -> tuple[int, Rate]:
        """The faster of the process-per-request servers, and how many processes it runs at once."""
        return max(self.fresh.items(), key=lambda item: item[1].per_second)

    def ratios(self) -> dict[str, float]:
        """The numbers that do not depend on the machine's speed, or less so than the others."""
        _, fresh = self.best_fresh()
        return {
            "latency_of_process_per_request": ratio(
                quantile(self.fresh_answer_ms, 50), max(quantile(x.gateway_ms, 50) for x in self.latency.values())
            ),
            "throughput_over_process_per_request": ratio(self.gateway.per_second, fresh.per_second),
            "share_of_bare_loops_clear": ratio(self.gateway.per_second, self.bare_clear.per_second),
            "share_of_bare_loops_rewind": ratio(self.gateway.per_second, self.bare_rewind.per_second),
            "share_of_bare_loops_rewind_slow_model": ratio(self.slow_gateway.per_second, self.slow_bare.per_second),
        }


def mean_mb(rows: list[WorkerMemory]) -> tuple[float, float]:
    """Python's and Claude's share of a worker's memory, averaged over the workers."""
    if not rows:
        return float("nan"), float("nan")
    return fmean(row.python_mb for row in rows), fmean(row.claude_mb for row in rows)
