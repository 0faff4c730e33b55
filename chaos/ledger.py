"""What clients were promised and got, noted while it happens."""

from __future__ import annotations

import random
import re
import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

#: what a prompt's secret looks like
SECRET = re.compile(r"secret-[0-9a-f]{20}")
_MAX_COMPLAINTS = 200


def text_of(completion: Mapping[str, Any]) -> str:
    """What a completion says, all its choices after one another."""
    return "".join(str(choice["message"]["content"]) for choice in completion["choices"])


@dataclass(frozen=True)
class Accepted:
    """A request that was accepted. `kind`: sync, stream or async."""

    kind: str
    secret: str
    has_callback: bool = False


@dataclass
class Ledger:
    """Shared by all threads of a run."""

    #: by the job's id
    accepted: dict[str, Accepted] = field(default_factory=dict)
    #: what the client read to its end, by the job's id
    read: dict[str, str] = field(default_factory=dict)
    #: the ids that came for a secret whose request was repeated with its idempotency key
    ids_of: dict[str, set[str]] = field(default_factory=dict)
    #: batch ids and the custom ids of their lines
    batches: dict[str, list[str]] = field(default_factory=dict)
    #: of these, the port of the API that has their files
    ports: dict[str, int] = field(default_factory=dict)
    #: refusals by status and code, broken connections by kind
    refused: Counter[str] = field(default_factory=Counter)
    broken: Counter[str] = field(default_factory=Counter)
    #: deliveries by the job's or batch's id: the ids of their events
    delivered: dict[str, list[str]] = field(default_factory=dict)
    #: titles of messages to people
    heard: list[str] = field(default_factory=list)
    complaints: list[str] = field(default_factory=list)
    began: float = field(default_factory=time.monotonic)
    history: list[str] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def note(self, what: str) -> None:
        """For the story of the run."""
        with self.lock:
            self.history.append(f"{time.monotonic() - self.began:8.2f} {time.strftime('%H:%M:%S')} {what}")

    def complain(self, what: str) -> None:
        """Something is wrong whatever came before."""
        self.note(f"WRONG {what}")
        with self.lock:
            if len(self.complaints) < _MAX_COMPLAINTS:
                self.complaints.append(what)

    def accept(self, job_id: str, accepted: Accepted) -> None:
        """The client was told that its request is accepted."""
        with self.lock:
            self.accepted[job_id] = accepted
            self.ids_of.setdefault(accepted.secret, set()).add(job_id)

    def got(self, job_id: str, text: str) -> None:
        """The client has its whole answer."""
        with self.lock:
            self.read[job_id] = text

    def deliver(self, subject: str, event_id: str) -> None:
        """The receiver got a callback."""
        with self.lock:
            self.delivered.setdefault(subject, []).append(event_id)

    def hear(self, title: str) -> None:
        """The receiver got a message for people."""
        with self.lock:
            self.heard.append(title)

    def count(self, counter: Counter[str], what: str) -> None:
        """One more."""
        with self.lock:
            counter[what] += 1


class Secrets:
    """Unique texts, the same again for the same seed."""

    def __init__(self, seed: str) -> None:
        self._chance = random.Random(seed)

    def next(self) -> str:
        """One more."""
        return f"secret-{self._chance.getrandbits(80):020x}"
