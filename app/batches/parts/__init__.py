"""Lines of a batch that go to Anthropic's Message Batches together, at half the price (the way `batches`, docs/ways.md).

The feeder allots lines to a part and takes in its answers. Everything in between is done by the lane (`workers/lane`),
which is the only process that asks Anthropic about parts.
"""
