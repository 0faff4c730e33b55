"""OpenAI's wire format, as far as both the API and the workers speak it: requests as they were accepted, JSON schemas."""
