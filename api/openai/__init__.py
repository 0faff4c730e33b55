"""The endpoints that OpenAI's clients call, under `/v1`."""
