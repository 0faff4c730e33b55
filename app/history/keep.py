"""How long history is kept."""

#: seconds: a week, and the day on which somebody looks back at it
KEEP_SECONDS = 8 * 86400
