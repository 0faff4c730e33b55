"""The engine that asks the Messages API itself, by HTTP: no Claude process."""

from workers.messages_api.engine import ApiEngine

__all__ = ["ApiEngine"]
