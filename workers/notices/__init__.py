"""Sends messages to people, by Apprise: a process of its own, for as long as there are any."""
