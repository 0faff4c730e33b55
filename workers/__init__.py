"""The worker processes: they take jobs from a queue and do them, with Claude or towards a customer's webhook."""
