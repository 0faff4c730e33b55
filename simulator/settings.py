"""What a simulator is started with."""

from dataclasses import dataclass
from pathlib import Path

#: Bytes of request bodies kept in the log.
DEFAULT_LOG_BYTES = 64 * 1024 * 1024

#: Input tokens that a request may have; more is "prompt is too long".
DEFAULT_MAX_INPUT_TOKENS = 1_000_000

#: Bytes that a request body may have; the Messages API documents 32 MB.
MAX_BODY_BYTES = 32 * 1024 * 1024


@dataclass(frozen=True)
class Settings:
    """The simulator's settings; a rule's own pace goes before the one given here.

    ``latency_ms`` is waited before the first byte. ``tokens_per_second`` of 0 means that an answer goes out
    whole. ``log_file`` gets one JSON line per request, in addition to the log in memory.
    """

    latency_ms: float = 0
    tokens_per_second: float = 0
    log_bytes: int = DEFAULT_LOG_BYTES
    log_file: Path | None = None
    max_input_tokens: int = DEFAULT_MAX_INPUT_TOKENS
