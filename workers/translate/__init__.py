"""Both directions between OpenAI's wire and Claude's: `to_claude` on the way in, `check` and `to_openai` on the way out."""

from workers.translate.call import Call, to_claude
from workers.translate.checks import Checked, Mismatch, check, repair_words
from workers.translate.completion import to_openai

__all__ = ["Call", "Checked", "Mismatch", "check", "repair_words", "to_claude", "to_openai"]
