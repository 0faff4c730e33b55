"""Delivering events to customers' webhooks: one attempt, many at once, and the task that the queue names."""
