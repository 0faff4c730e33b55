"""Bytes without end for the parsers, by atheris: each raises its own error and no other. `scripts/fuzz` runs it.

Each target gets mutations of what is valid, guided by the lines that they reach. What breaks one is printed and written to
`fuzz-TARGET-…` in the current directory, and the exit status is 1.
"""

from __future__ import annotations

import argparse
import importlib.util
import io
import json
import subprocess
import sys
import tempfile
from collections import deque
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

MISSING = "scripts/fuzz needs atheris, which is in no lock: .venv/bin/python -m pip install atheris"
#: what the parsers' languages are made of
WORDS = (
    *(
        "model",
        "messages",
        "role",
        "content",
        "input",
        "tools",
        "tool_choice",
        "response_format",
        "json_schema",
        "schema",
    ),
    *("$ref", "$defs", "#/$defs/a", "properties", "required", "type", "function", "arguments", "metadata", "custom_id"),
    *("image_url", "data:image/png;base64,", "text", "previous_response_id", "callback_url", "stop", "n", "\\ud800"),
    *("form-data; name=", "filename=", "--x", "--x--", "limit", "after", "metadata[", "Europe/Berlin", "22:00-07:00"),
)
CHAT: dict[str, Any] = {
    "model": "sonnet",
    "messages": [
        {"role": "system", "content": "a"},
        {"role": "user", "content": [{"type": "text", "text": "b"}]},
        {
            "role": "assistant",
            "tool_calls": [{"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}],
        },
        {"role": "tool", "tool_call_id": "c", "content": "d"},
    ],
    "tools": [{"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}],
    "response_format": {"type": "json_schema", "json_schema": {"name": "x", "schema": {"type": "object"}}},
}
RESPONSE: dict[str, Any] = {
    "model": "sonnet",
    "input": [{"role": "user", "content": [{"type": "input_text", "text": "a"}]}],
    "text": {"format": {"type": "json_schema", "name": "x", "schema": {"type": "object"}}},
}
SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {"a": {"$ref": "#/$defs/a"}, "b": {"anyOf": [{"type": "null"}, {"pattern": "^a"}]}},
    "$defs": {"a": {"type": "array", "items": {"enum": [1, "x"]}, "minItems": 1}},
    "required": ["a"],
}
LINE = {"custom_id": "a", "method": "POST", "url": "/v1/chat/completions", "body": CHAT}
FORM = (
    b'--x\r\nContent-Disposition: form-data; name="purpose"\r\n\r\nbatch\r\n'
    b'--x\r\nContent-Disposition: form-data; name="file"; filename="f"\r\n\r\n{}\r\n--x--\r\n'
)
QUERY = b"limit=3&after=a&metadata[b]=c&order=asc\n2\n00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01\na=b\n5"


def chat() -> Callable[[bytes], None]:
    """A chat request, and what Claude is asked."""
    from app.errors import ErrorReply
    from app.messages import to_claude
    from app.openai.accept import accept
    from app.settings import Settings

    def one(data: bytes) -> None:
        with suppress(ErrorReply):
            found = accept(_object(data), Settings())
            to_claude(found.payload)

    return one


def responses() -> Callable[[bytes], None]:
    """A request of the Responses API."""
    from app.batches.endpoints import NOTHING
    from app.errors import ErrorReply
    from app.openai.responses.accept import accept
    from app.settings import Settings

    def one(data: bytes) -> None:
        with suppress(ErrorReply):
            accept(_object(data), Settings(), NOTHING)

    return one


def schema() -> Callable[[bytes], None]:
    """A JSON schema, the tool that it becomes, and a value held against it. Costly ones have a process of their own."""
    from app.messages.schema import shape_of
    from app.schemas.cost import may_explode
    from app.schemas.json_schema import compile_schema

    def one(data: bytes) -> None:
        found = _object(data)
        if may_explode(found):
            return
        try:
            validator = compile_schema(found)
        except ValueError:
            return
        validator.is_valid({"a": [1, "x"], "b": None})
        json.dumps(shape_of(found).input_schema)

    return one


def line() -> Callable[[bytes], None]:
    """An input file of a batch."""
    from app.batches.endpoints import CHAT_COMPLETIONS, accept_line
    from app.batches.formats.line import LineError, parse
    from app.batches.lines import split
    from app.settings import Settings

    def one(data: bytes) -> None:
        for _, raw in split(io.BytesIO(data), 100_000):
            with suppress(LineError):
                accept_line(parse(raw, CHAT_COMPLETIONS), CHAT_COMPLETIONS, Settings())

    return one


def upload() -> Callable[[bytes], None]:
    """A form with a file."""
    from flask import Flask

    from api.openai.files import receive
    from app.errors import ErrorReply

    app = Flask("fuzz")

    class Store:
        def draft(self) -> Store:
            self.file = io.BytesIO()
            return self

        def write(self, data: bytes) -> int:
            return self.file.write(data)

        def discard(self, draft: Store) -> None:
            draft.file.close()

    def one(data: bytes) -> None:
        kind = "multipart/form-data; boundary=x"
        with app.test_request_context(method="POST", data=data, content_type=kind), suppress(ErrorReply):
            receive(Store(), 10_000)  # type: ignore[arg-type]  # in memory

    return one


def window() -> Callable[[bytes], None]:
    """Times of a day, and a `completion_window`."""
    from app.errors import ErrorReply
    from app.window import WindowError, completion_seconds, parse

    def one(data: bytes) -> None:
        text = data.decode("utf-8", "replace")
        with suppress(WindowError):
            parse(text).is_open(0)
        with suppress(ErrorReply):
            completion_seconds(text)

    return one


def table() -> Callable[[bytes], None]:
    """A table and a template, parted by the first NUL."""
    from app.batches.formats import json_file
    from app.batches.formats.json_file import FormatError
    from app.batches.formats.tables import FORMATS, Rows
    from app.batches.formats.template import Recipe, request

    path = Path(tempfile.mkdtemp(prefix="fuzz-")) / "table"

    def one(data: bytes) -> None:
        template, _, found = data.partition(b"\0")
        path.write_bytes(found)
        with suppress(FormatError, UnicodeDecodeError):
            deque(json_file.look(path).values(), maxlen=0)
        for kind in FORMATS:
            with suppress(FormatError):
                for number, row in enumerate(Rows(path, kind), 1):
                    request(row, number, Recipe(template.decode("utf-8", "replace"), id_column="id"))

    return one


def query() -> Callable[[bytes], None]:
    """What stands in a URL's query and in headers: cursors, limits, metadata, deadlines, traces."""
    from flask import Flask

    from api import headers, params, tracing
    from app import retry_after, trace_context
    from app.errors import ErrorReply
    from app.settings import Settings

    app, settings = Flask("fuzz"), Settings()

    def one(data: bytes) -> None:
        # The server lets no other bytes pass.
        sent, timeout, parent, state, later = [*data.split(b"\n"), b"", b"", b"", b"", b""][:5]
        head = {"X-Request-Timeout": timeout.decode("latin-1").translate({0: None, 10: None, 13: None})}
        with app.test_request_context(headers=head, environ_overrides={"QUERY_STRING": sent.decode("ascii", "ignore")}):
            for read in (
                params.limit,
                params.metadata,
                lambda: params.choice("order", ("asc",)),
                lambda: params.after(["a"], str),
                lambda: headers.timeout_seconds(settings, is_async=False),
            ):
                with suppress(ErrorReply):
                    read()
        tracing.request_id(state.decode("latin-1"))
        trace_context.parse(parent.decode("latin-1"), state.decode("latin-1"))
        retry_after.parse(later.decode("latin-1"))

    return one


#: how a target is made (imports are instrumented), and what is valid
TARGETS: dict[str, tuple[Callable[[], Callable[[bytes], None]], bytes]] = {
    "chat": (chat, json.dumps(CHAT).encode()),
    "responses": (responses, json.dumps(RESPONSE).encode()),
    "schema": (schema, json.dumps(SCHEMA).encode()),
    "line": (line, json.dumps(LINE).encode() + b"\n{}\n"),
    "upload": (upload, FORM),
    "window": (window, b"22:00-07:00 Europe/Berlin"),
    "table": (table, b'Of {id}: {text} {{}}\0id,text\n1,"a, ""b"""\n'),
    "query": (query, QUERY),
}


def _object(data: bytes) -> dict[str, Any]:
    from app.json_text import JsonError, parse

    try:
        found = parse(data)
    except JsonError:
        return {}
    return found if isinstance(found, dict) else {}


def fuzz(name: str, seconds: int) -> None:
    """Until the time is up or it breaks; ends this process."""
    atheris: Any = importlib.import_module("atheris")
    with atheris.instrument_imports(include=["app", "api", "ops", "workers", "werkzeug.formparser", "werkzeug.sansio"]):
        one = TARGETS[name][0]()
    with tempfile.TemporaryDirectory(prefix="fuzz-") as directory:
        corpus = Path(directory) / "corpus"
        corpus.mkdir()
        (corpus / "valid").write_bytes(TARGETS[name][1])
        words = Path(directory) / "words"
        words.write_text("".join(f"{json.dumps(word)}\n" for word in WORDS if "\\" not in word))
        options = [f"-max_total_time={seconds}", f"-dict={words}", "-max_len=20000", "-timeout=20", "-verbosity=1"]
        atheris.Setup(["fuzz", *options, f"-artifact_prefix=fuzz-{name}-", "-print_final_stats=1", str(corpus)], one)
        atheris.Fuzz()


def main() -> int:
    """One target after another, each in a process of its own."""
    parser = argparse.ArgumentParser(prog="scripts/fuzz")
    parser.add_argument("targets", nargs="*", metavar="TARGET", help=f"of {', '.join(TARGETS)} (default: all)")
    parser.add_argument("--seconds", type=int, default=120, help="for each target (default: 120)")
    parser.add_argument("--here", action="store_true", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if unknown := set(args.targets) - set(TARGETS):
        parser.error(f"there is no {', '.join(sorted(unknown))}")
    if importlib.util.find_spec("atheris") is None:
        print(MISSING, file=sys.stderr)  # noqa: T201 - a program
        return 2
    if args.here:
        fuzz(args.targets[0], args.seconds)
    broken = []
    for name in args.targets or TARGETS:
        print(f"== {name}", flush=True)  # noqa: T201
        command = [sys.executable, "-P", "-m", "tests.fuzz", "--here", "--seconds", str(args.seconds), name]
        if subprocess.run(command, check=False).returncode != 0:
            broken.append(name)
    print(f"broken: {', '.join(broken) or 'none'}")  # noqa: T201
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
