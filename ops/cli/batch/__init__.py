"""`nightshift batch`: hand in a file in the evening, read its answers in the morning. Talks to the API like any client."""
