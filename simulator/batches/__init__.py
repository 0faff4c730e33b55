"""Simulated Message Batches: ``/v1/messages/batches``.

Formats follow Anthropic's public reference: https://docs.claude.com/en/api/creating-message-batches and
https://docs.claude.com/en/docs/build-with-claude/batch-processing. Where these say nothing, each module says what
was chosen.
"""

from simulator.batches.calls import BatchesApi

__all__ = ["BatchesApi"]
