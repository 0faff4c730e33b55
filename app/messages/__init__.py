"""The Messages API's request as a value, made of OpenAI's; its answer, checked, and made OpenAI's again.

Pure: no process, no SDK, no Redis. How a request is sent is the engine's (`workers/engine`). Source of the formats: Anthropic's Messages API reference, OpenAI's API reference.
"""

from app.messages.checks import Checked, Mismatch, check, repair_words
from app.messages.conversation import remote_images
from app.messages.request import MessagesRequest
from app.messages.translation import to_claude, to_openai

__all__ = ["Checked", "MessagesRequest", "Mismatch", "check", "remote_images", "repair_words", "to_claude", "to_openai"]
