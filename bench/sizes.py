"""How much is measured."""

from __future__ import annotations

from dataclasses import dataclass

#: what everybody asks
PROMPT = "Say hello, and nothing else."
#: what a client waits between an answer and its next question, milliseconds. It matters without any gateway: after some
#: 10 ms of rest Claude's process needs some milliseconds more for a turn, and with several workers each rests in turn.
PAUSES_MS = (50, 0)
#: clients that ask at once where throughput is measured
CLIENTS = 8
#: what the simulated model takes for an answer where it is not instant, milliseconds
SLOW_MODEL_MS = 300.0


@dataclass(frozen=True)
class Sizes:
    """A run is a number of rounds; each round measures everything once, so that the machine's noise hits all alike."""

    rounds: int
    #: pairs of blocks a round, for each of `PAUSES_MS`: so many bare turns, then as many requests through the gateway
    latency_blocks: int
    #: processes started for one request each, one after the other, a round
    fresh_turns: int
    #: the same, several at once
    fresh_parallel_turns: int
    #: each measurement of throughput
    seconds: float
    block_turns: int = 20
    #: before anything counts: connections, caches, the CLI's own compiler
    warm_up_turns: int = 30


QUICK = Sizes(rounds=2, latency_blocks=3, fresh_turns=4, fresh_parallel_turns=8, seconds=2.5)
FULL = Sizes(rounds=6, latency_blocks=8, fresh_turns=5, fresh_parallel_turns=16, seconds=6.0)
