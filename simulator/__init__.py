"""A simulated Anthropic Messages API for loopback.

The real Claude CLI (or any client of the Messages API) can be pointed at it with ``ANTHROPIC_BASE_URL``; it
answers at once, deterministically and without a network, and keeps a log of what it was asked. There is no
model behind it: each answer's ``model`` begins with ``simulated-``.

Run it with ``python -m simulator``; steer it over HTTP with :class:`simulator.client.SimulatorControl`.

The event and error formats follow Anthropic's public reference: https://docs.claude.com/en/api/messages,
https://docs.claude.com/en/docs/build-with-claude/streaming and https://docs.claude.com/en/api/errors.
"""
