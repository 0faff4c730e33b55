"""What Nightshift rests on in RQ, most of it undocumented. A failure names the behaviour that changed.

`workers.claude_worker` overrides methods of `SimpleWorker`; `app.jobs.tickets` puts RQ's own steps into our transactions.
"""

from __future__ import annotations

import inspect
import os
import threading
from typing import TYPE_CHECKING, Any

import pytest
import rq
from redis import Redis
from rq import SimpleWorker
from rq.command import send_stop_job_command
from rq.executions import Execution
from rq.job import Job, JobStatus
from rq.serializers import JSONSerializer
from rq.worker import WorkerStatus

from app.jobs import tickets
from tests.redis_server import wait_until
from workers.claude_worker import ClaudeWorker
from workers.start import PatientWorker

if TYPE_CHECKING:
    from rq import Queue

NAME = "contract"


@pytest.fixture
def connection(redis_url: str) -> Redis:
    return Redis.from_url(redis_url)


@pytest.fixture
def queue(connection: Redis) -> Queue:
    return rq.Queue(NAME, connection=connection, serializer=JSONSerializer)


@pytest.mark.parametrize(
    "name",
    [
        "check_for_suspension",
        "execute_job",
        "subscribe",
        "kill_horse",
        "_pubsub_exception_handler",
        "_install_signal_handlers",
        "handle_warm_shutdown_request",
        "heartbeat",
        "set_state",
        "run_maintenance_tasks",
        "should_run_maintenance_tasks",
        "dequeue_job_and_maintain_ttl",
        "register_birth",
        "register_death",
    ],
)
def test_what_we_override_exists(name: str) -> None:
    """Each method of ours that is meant to replace one of RQ's does, with parameters that RQ's callers can pass."""
    ours = {**vars(PatientWorker), **vars(ClaudeWorker)}
    assert name in ours
    theirs: Any = getattr(SimpleWorker, name)
    if isinstance(theirs, property):
        return
    wanted = [p for p in inspect.signature(theirs).parameters.values() if p.default is p.empty and p.name != "self"]
    inspect.signature(ours[name]).bind(None, *wanted)


class Recorder(SimpleWorker):
    """A stock worker that notes what RQ calls, in which order."""

    calls: list[str]

    def check_for_suspension(self, burst: bool) -> None:
        self.calls.append("check")

    def execute_job(self, job: Job, queue: Queue) -> None:
        in_gap = queue.intermediate_queue.get_job_ids()
        self.calls.append(f"execute {job.id} {job.get_status()} gap={in_gap}")
        queue.intermediate_queue.remove(job.id)


def recorder(queue: Queue) -> Recorder:
    worker = Recorder([queue], connection=queue.connection, serializer=JSONSerializer)
    worker.calls = []
    return worker


def test_a_job_is_taken_by_way_of_the_intermediate_queue(queue: Queue) -> None:
    """With one queue a worker moves the ticket (BLMOVE) to a list where recovery finds it, and calls `execute_job` with it."""
    queue.enqueue_call("json.dumps", args=("x",), job_id="j1")
    worker = recorder(queue)
    worker.work(burst=True)
    assert f"execute j1 {JobStatus.QUEUED} gap=['j1']" in worker.calls


def test_the_suspension_check_comes_before_each_job(queue: Queue) -> None:
    """RQ asks `check_for_suspension` before it takes each job, never with one in hand: that is where our gate stands."""
    for number in range(2):
        queue.enqueue_call("json.dumps", args=("x",), job_id=f"j{number}")
    worker = recorder(queue)
    worker.work(burst=True)
    kinds = [call.split()[0] for call in worker.calls]
    assert kinds == ["check", "execute", "check", "execute", "check"]


def test_a_worker_makes_a_taken_ticket_by_its_queue_class(connection: Redis) -> None:
    """RQ asks the worker's queue class for the job of an id that it took: ours gives one that can be performed, and reads nothing."""
    connection.rpush(f"rq:queue:{NAME}", "j1")
    taken = tickets.ClaudeQueue.dequeue_any([rq.Queue(NAME, connection=connection)], 1, connection=connection)
    assert taken is not None
    job, home = taken
    assert (job.id, home.name, job.func_name, job.args) == ("j1", NAME, tickets.TASK_PATH, ("j1",))


def test_enqueueing_on_a_pipeline_does_nothing_by_itself(queue: Queue, connection: Redis) -> None:
    """A ticket that is put on a pipeline appears when the pipeline is executed, and no sooner."""
    pipe = connection.pipeline()
    tickets.issue(pipe, connection, "j1", description="d", ttl_seconds=60)
    assert connection.keys("rq:job:*") == []
    pipe.execute()
    assert tickets.queue(connection).get_job_ids() == ["j1"]


def test_an_issued_ticket_says_what_rq_would(connection: Redis) -> None:
    """It has the fields that RQ writes of the same call, with the same values but for the times."""
    home = tickets.queue(connection)
    stock = home.enqueue_call(
        tickets.TASK_PATH, args=("j1",), job_id="j1", timeout=-1, result_ttl=60, failure_ttl=60, description="d"
    )
    theirs, pipe = connection.hgetall(stock.key), connection.pipeline()
    pipe.delete(stock.key)
    tickets.issue(pipe, connection, "j1", description="d", ttl_seconds=60)
    pipe.execute()
    ours = connection.hgetall(stock.key)
    times = {b"created_at", b"enqueued_at"}
    assert {name: text for name, text in ours.items() if name not in times} == {
        name: text for name, text in theirs.items() if name not in times
    }
    assert ours.keys() == theirs.keys()


def test_a_started_ticket_says_what_rq_would(queue: Queue, connection: Redis) -> None:
    """RQ notes the same fields of a job that it starts as we do, but for the description."""
    stock = queue.enqueue_call("json.dumps", args=("x",), job_id="stock")
    before = set(connection.hgetall(stock.key))
    pipe = connection.pipeline()
    stock.prepare_for_execution("w", pipe)
    tickets.start(pipe, tickets.ticket(connection, "ours"), "w", "e1", description="d")
    pipe.execute()
    noted = set(connection.hgetall(stock.key)) - before | {b"status", b"worker_name", b"last_heartbeat", b"started_at"}
    assert set(connection.hgetall("rq:job:ours")) == noted | {b"description"}


def test_an_execution_is_made_and_unmade_on_a_pipeline(queue: Queue, connection: Redis) -> None:
    """Creating an execution registers it with job and worker; deleting it leaves none of its keys."""
    job = queue.enqueue_call("json.dumps", args=("x",), job_id="j1")
    before = set(connection.keys("*"))
    pipe = connection.pipeline()
    execution = Execution.create(job, 60, pipe, worker_name="w")
    pipe.execute()
    assert connection.smembers("rq:worker:w:executions") == {execution.composite_key.encode()}
    pipe = connection.pipeline()
    execution.delete(job=job, pipeline=pipe)
    pipe.execute()
    assert set(connection.keys("*")) <= before | {b"rq:executions:j1"}


def test_jobs_run_in_the_workers_own_process(queue: Queue, connection: Redis) -> None:
    """A `SimpleWorker` performs a job in this process and returns the function's value from `job.perform()`."""
    job = queue.enqueue_call("os.getpid", job_id="j1")
    assert Job.fetch("j1", connection=connection, serializer=JSONSerializer).perform() == os.getpid()
    assert job.id == "j1"


def test_a_stop_command_reaches_kill_horse(queue: Queue, connection: Redis) -> None:
    """RQ's own stop command ends in `kill_horse`, called from the thread that listens for commands."""
    reached = threading.Event()

    class Busy(SimpleWorker):
        def kill_horse(self, sig: Any = None) -> None:
            reached.set()

    worker = Busy([queue], connection=connection, serializer=JSONSerializer)
    worker.register_birth()  # type: ignore[no-untyped-call]
    worker.subscribe()  # type: ignore[no-untyped-call]
    job = queue.enqueue_call("json.dumps", args=("x",), job_id="j1")
    worker.prepare_execution(job)
    worker.prepare_job_execution(job)
    job.set_status(JobStatus.STARTED)

    def sent() -> bool:
        # The subscription may come after the first command.
        send_stop_job_command(connection, "j1", serializer=JSONSerializer)
        return reached.wait(0.1)

    wait_until(sent, "kill_horse")
    worker.unsubscribe()  # type: ignore[no-untyped-call]


def test_the_worker_states_we_write_are_rqs() -> None:
    """The words that the beat writes into RQ's worker hash are those that rq-dashboard reads."""
    assert {WorkerStatus.BUSY, WorkerStatus.IDLE} <= set(WorkerStatus)
    assert {
        JobStatus.QUEUED,
        JobStatus.STARTED,
        JobStatus.FINISHED,
        JobStatus.FAILED,
        JobStatus.CANCELED,
        JobStatus.SCHEDULED,
    } <= set(JobStatus)
