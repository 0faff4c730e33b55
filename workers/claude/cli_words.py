"""What the CLI says of an error, in words that fit an API: it speaks to somebody who sits before it, and knows commands.

It relays most of the API's errors as they are. Those that it knows it words itself, and gives nothing of the API's
besides the status. So where its words are known here, ours say the same without its advice; where they are not, and
have advice of that kind, all that is said is what the status means.
"""

from __future__ import annotations

import re

#: what the CLI puts before the API's own words
_RELAYED = re.compile(r"^(Failed to authenticate\. )?API Error: (\d{3} |Request rejected \(\d{3}\) · )?")
#: what it puts after them
_AFTER = re.compile(r" This is a server-side issue, usually temporary .*\Z", re.DOTALL)

#: its sentences by how they begin or what they name, and ours; `Prompt is too long` is also how the door knows that error
_KNOWN = tuple(
    (re.compile(pattern, re.IGNORECASE | re.DOTALL), ours)
    for pattern, ours in (
        (r"prompt is too long", "The prompt is too long for the model's context window."),
        (r"reached its context window limit", "The model's context window is full: the prompt is too long."),
        (
            r"request too large",
            "The request is too large for Claude's API (32 MB): send fewer or smaller images and files.",
        ),
        (r"pdf too large", "A PDF is too large: Claude takes 100 pages and 20 MB at most."),
        (r"pdf (file )?was not valid", "A file is no valid PDF."),
        (r"pdf is password protected", "A PDF is protected by a password."),
        (
            r"image was too large|image exceeds",
            "An image is too large: Claude takes 5 MB and 8,000 pixels a side at most.",
        ),
        (
            r"dimension limit for many-image requests",
            "An image is too large: in a request with more than 20 images Claude takes 2,000 pixels a side at most.",
        ),
        (r"image in the conversation could not be processed", "Claude can't process an image of the request."),
        (
            r"due to tool use concurrency issues",
            "A tool call has no result: each needs a message of the role 'tool' with its id right after the assistant's.",
        ),
        (r"orphaned tool_result", "A tool's result belongs to no tool call of the message before it."),
        (r"duplicate tool_use ID", "Two tool calls have the same id."),
        (r"tool call could not be parsed", "The model's tool call could not be read."),
        (
            r"issue with the selected model \((?P<model>[^()]+)\)",
            "The model '{model}' does not exist at Claude's API, or this login may not use it.",
        ),
        (r"is not available with the Claude (\w+) plan", "The model is not part of this login's plan."),
        (r"api_key belongs to a disabled organization", "The API key belongs to an organization that is disabled."),
        (r"oauth token (was |has been )?revoked", "The login's token has been revoked."),
        (r"oauth token .{0,40}expired|login (has )?expired", "The login has expired."),
    )
)
#: what it puts between what is the matter and what to do
_DOT = " · "
#: advice to somebody at a terminal: commands, keys, what to do with a session, other programs
_ADVICE = re.compile(
    r"(?:^|[\s(`'\"·])/[a-z][a-z-]+\b(?!/)|--model\b|\bpress\b|\besc\b|\bcompact(ed)?\b|\brewind\b|pdftotext|\bCLI\b|new session"
    r"|re-?read the file|\blog ?in again|inference gateway|environment variable|claude code",
    re.IGNORECASE,
)


def for_clients(text: str, status: int | None) -> str:
    """The CLI's text of an error as ours; the API's own words, where it relays them, as they are."""
    for pattern, ours in _KNOWN:
        if found := pattern.search(text):
            return ours.format(**found.groupdict())
    found = _RELAYED.match(text)
    words = _AFTER.sub("", text[found.end() :]).strip() if found else text.partition(_DOT)[0].strip()
    if not words:
        return "Claude gave no reason."
    if (found is None or status is None) and _ADVICE.search(words):
        return f"Claude's API answered with status {status}." if status else "Claude's API could not be asked."
    return words
