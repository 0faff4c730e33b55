"""`nightshift batch results ID -o FILE`."""

from __future__ import annotations

import contextlib
import sys
import tempfile
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from app.cli.batch import answers, server, tables
from app.cli.batch.submit import TABLE_FILE, TABLE_FORMAT, TABLE_ID

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator

    from app.cli.batch.server import Server

HELP = "Write a batch's results: OpenAI's lines, or the submitted table with an answer column. Also while it runs."


def arguments(parser: argparse.ArgumentParser) -> None:
    """Which, and where to."""
    parser.add_argument("batch", metavar="ID")
    parser.add_argument("-o", "--output", type=Path, metavar="FILE", help="default: stdout")
    parser.add_argument("--raw", action="store_true", help="OpenAI's lines for a table, too")
    server.arguments(parser)


def run(args: argparse.Namespace) -> int:
    """Write them. What failed is in the table's column `error`, or beside OpenAI's lines in FILE.errors.jsonl."""
    with server.Server(args.url) as api:
        batch = api.batch(args.batch)
        metadata = batch["metadata"] or {}
        if TABLE_FILE in metadata and not args.raw:
            missing = _write_table(api, batch, args.output)
        else:
            missing = _write_lines(api, batch, args.output)
    if args.json and args.output is not None:
        server.show_json(batch)
    if batch["status"] not in server.FINAL:
        server.say(f"nightshift: {batch['id']} is {batch['status']}: {missing} requests have no result yet.")
        return 0
    return server.status_of(batch)


def _write_table(api: Server, batch: dict[str, Any], output: Path | None) -> int:
    metadata = batch["metadata"]
    kind = metadata[TABLE_FORMAT]
    wanted = tables.format_of(output) if output is not None else kind
    if wanted == "text":
        wanted = "csv" if kind == "text" else kind
    found = dict(answers.of(line) for line in api.output(batch["id"]))
    found |= dict(answers.of(line) for line in api.output(batch["id"], errors=True))
    with tempfile.TemporaryDirectory() as directory:
        source = Path(directory) / "table"
        api.download(metadata[TABLE_FILE], source)
        with _target(output) as target:
            return answers.write(
                target, wanted, found, source=source, source_kind=kind, id_column=metadata.get(TABLE_ID)
            )


def _write_lines(api: Server, batch: dict[str, Any], output: Path | None) -> int:
    written = 0
    with _target(output) as target:
        for line in api.output(batch["id"]):
            target.write(line.decode())
            written += 1
    errors = output.with_name(f"{output.name}.errors.jsonl") if output is not None else None
    lines = list(api.output(batch["id"], errors=True))
    if lines and errors is not None:
        errors.write_bytes(b"".join(lines))
        server.say(f"nightshift: {len(lines)} requests have no answer; why is in {errors}")
    elif lines:
        server.say(f"nightshift: {len(lines)} requests have no answer; -o FILE writes why beside it.")
    return int(batch["request_counts"]["total"]) - written - len(lines)


@contextlib.contextmanager
def _target(output: Path | None) -> Iterator[IO[str]]:
    """The file, there only when it is whole; or stdout."""
    if output is None:
        yield sys.stdout
        sys.stdout.flush()
        return
    part = output.with_name(f".{output.name}.part")
    try:
        with part.open("w", encoding="utf-8", newline="") as target:
            yield target
        part.replace(output)
    finally:
        part.unlink(missing_ok=True)
