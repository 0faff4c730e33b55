"""Webhooks: events, their signatures, and the outbox that keeps them until they are delivered."""
