"""Nightshift as a service of its user: what systemd or launchd is given, and how they are asked."""
