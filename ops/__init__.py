"""Runs Nightshift on a machine: the `nightshift` command, the supervisor of its processes, and the doctor."""
