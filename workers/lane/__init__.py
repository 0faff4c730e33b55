"""The process that asks Anthropic's Message Batches about parts (`app.batches.parts`): composes, sends, watches and reads them.

Source of the formats: Anthropic's reference, "Message Batches". `python -m workers.lane --name NAME`.
"""
