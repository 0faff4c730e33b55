"""A day of arrivals with a played clock: batches, requests, a usage limit, and what scales the workers as Kubernetes does."""

from __future__ import annotations

import math
import random
from collections import deque
from dataclasses import dataclass, field

from app.scale.wanted import BatchNeed, Demand, workers_wanted

MIDNIGHT = 1_800_000_000.0
HOUR = 3600.0
STEP = 5.0
#: how often the number is read, how long a worker takes to start, and for how long the highest number read holds, seconds
POLL, START, STABLE = 30.0, 20.0, 300.0
MOST = 8
LIMIT = (13 * HOUR, 14 * HOUR)


@dataclass
class Batch:
    id: str
    at: float
    due_at: float
    left: int
    seconds: float
    timed: list[float] = field(default_factory=list)
    running: int = 0
    done_at: float = math.inf


@dataclass
class Worker:
    ready_at: float
    #: what it runs: a batch's line, a request (None), until when
    task: tuple[Batch | None, float, float] | None = None


class Day:
    def __init__(self) -> None:
        self.random = random.Random(1)
        self.batches = [
            Batch("morning", 8 * HOUR, 12 * HOUR, 2_500, 11.0),
            Batch("noon", 10 * HOUR, 17 * HOUR, 5_000, 9.0),
            Batch("small", 15 * HOUR, 16 * HOUR, 60, 20.0),
            Batch("evening", 17.5 * HOUR, 23.5 * HOUR, 11_000, 12.5),
        ]
        requests = [3 * HOUR, *(at * 45.0 + self.random.uniform(0, 40) for at in range(720, 1360))]
        self.arrivals = deque(sorted(requests))
        self.queue: deque[float] = deque()
        self.workers: list[Worker] = []
        self.read: deque[tuple[float, int]] = deque()
        self.waits: list[float] = []
        self.alive_seconds = self.idle_seconds = 0.0
        self.numbers: list[tuple[float, int]] = []

    def play(self) -> None:
        """From midnight to midnight."""
        now = 0.0
        while now < 24 * HOUR:
            while self.arrivals and self.arrivals[0] <= now:
                self.queue.append(self.arrivals.popleft())
            self.work(now)
            if now % POLL == 0:
                self.scale(now)
            self.alive_seconds += STEP * len(self.workers)
            self.idle_seconds += STEP * sum(worker.task is None for worker in self.workers)
            now += STEP

    def work(self, now: float) -> None:
        """What ends by now, and what is begun: requests first, then the batch with the fewest lines in hand."""
        for worker in self.workers:
            if worker.task is not None and worker.task[2] <= now:
                batch, began, until = worker.task
                worker.task = None
                if batch is not None:
                    batch.running -= 1
                    batch.timed.append(until - began)
                    if not batch.left and not batch.running:
                        batch.done_at = now
            if worker.task is None and worker.ready_at <= now and not LIMIT[0] <= now < LIMIT[1]:
                self.begin(worker, now)

    def begin(self, worker: Worker, now: float) -> None:
        if self.queue:
            self.waits.append(now - self.queue.popleft())
            worker.task = (None, now, now + self.random.uniform(3, 15))
            return
        there = [batch for batch in self.batches if batch.at <= now and batch.left]
        if there:
            batch = min(there, key=lambda one: one.running)
            batch.left -= 1
            batch.running += 1
            worker.task = (batch, now, now + batch.seconds * self.random.uniform(0.5, 1.5))

    def scale(self, now: float) -> None:
        self.read.append((now, workers_wanted(self.demand(now), MIDNIGHT + now).workers))
        while self.read[0][0] < now - STABLE:
            self.read.popleft()
        number = min(MOST, max(workers for _, workers in self.read))
        self.numbers.append((now, number))
        while len(self.workers) < number:
            self.workers.append(Worker(now + START))
        while len(self.workers) > number:
            self.stop(self.workers.pop())

    def stop(self, worker: Worker) -> None:
        """Whichever it is, and what it had begun is begun again."""
        batch = worker.task[0] if worker.task is not None else None
        if batch is not None:
            batch.left += 1
            batch.running -= 1

    def demand(self, now: float) -> Demand:
        is_closed = LIMIT[0] <= now < LIMIT[1]
        opens_at = MIDNIGHT + LIMIT[1] if is_closed else 0.0
        needs = [
            BatchNeed(
                id=batch.id,
                lines=batch.left + batch.running,
                seconds_per_line=sum(batch.timed) / len(batch.timed) if len(batch.timed) >= 3 else None,
                due_at=MIDNIGHT + batch.due_at,
                opens_at=opens_at,
                open_seconds=batch.due_at - (LIMIT[1] if is_closed else now),
                whole_seconds=batch.due_at - batch.at,
                is_gated=is_closed,
            )
            for batch in self.batches
            if batch.at <= now and batch.left + batch.running
        ]
        return Demand(
            waiting=len(self.queue),
            running=sum(worker.task is not None and worker.task[0] is None for worker in self.workers),
            seconds_per_request=9.0,
            opens_at=opens_at,
            closed="usage_limit" if is_closed else "",
            batches=needs,
            alive=len(self.workers),
        )


def test_a_day_of_arrivals() -> None:
    """From no worker to eight and back to none: no batch is late, requests begin soon, and a tenth of the workers' time at most is idle."""
    day = Day()
    day.play()
    assert [batch.id for batch in day.batches if batch.done_at > batch.due_at] == []
    numbers = [number for _, number in day.numbers]
    assert (numbers[0], max(numbers), numbers[-1]) == (0, MOST, 0)
    assert day.idle_seconds <= 0.1 * day.alive_seconds, day.idle_seconds / day.alive_seconds
    # From no worker at all; but not while the limit lasted.
    outside = sorted(day.waits)[: -(int(HOUR / 45) + 2)]
    assert outside[-1] <= POLL + START + 2 * STEP
    # At the limit one stays, which tries.
    assert {number for at, number in day.numbers if LIMIT[0] + STABLE < at < LIMIT[1] - 2 * STABLE} == {1}
