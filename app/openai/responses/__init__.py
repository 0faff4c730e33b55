"""OpenAI's Responses: the request, the items of a conversation, the object. A response is a chat completion in other words."""
