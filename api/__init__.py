"""The web process: everything that speaks HTTP to clients. It knows nothing of Claude; it enqueues and waits."""
