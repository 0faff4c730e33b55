"""JSON schemas that clients send: compiled, weighed before that, and kept apart when they may explode. Nothing is fetched for one."""
