"""OpenAI's text completions: the request and the object. Each prompt is a chat request with one user message."""
