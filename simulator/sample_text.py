"""A string that fits a JSON schema."""

from typing import Any

from simulator.sample_pattern import match_pattern

#: A value of each format that JSON schema and OpenAPI name.
_OF_FORMAT = {
    "date-time": "2026-01-01T00:00:00Z",
    "date": "2026-01-01",
    "time": "00:00:00Z",
    "duration": "P1D",
    "email": "user@example.com",
    "idn-email": "user@example.com",
    "hostname": "example.com",
    "ipv4": "192.0.2.1",
    "ipv6": "2001:db8::1",
    "uri": "https://example.com/",
    "url": "https://example.com/",
    "uri-reference": "/sample",
    "uuid": "00000000-0000-4000-8000-000000000000",
    "json-pointer": "/sample",
    "regex": "^sample$",
    "byte": "c2FtcGxl",
}


def sample_string(schema: dict[str, Any]) -> str:
    """Return a string of the schema's ``format`` or ``pattern`` and of a length within its bounds."""
    known = _OF_FORMAT.get(str(schema.get("format")))
    if known is not None:
        return known
    shortest = int(schema.get("minLength", 0))
    if "pattern" in schema:
        matching = match_pattern(str(schema["pattern"]), shortest)
        if matching is not None:
            return matching
    text = "sample".ljust(shortest, "x")
    return text[: int(schema.get("maxLength", len(text)))]
