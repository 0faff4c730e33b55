"""`nightshift batch results ID -o FILE`."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from app.batches.formats import tables
from ops.cli.batch import answers, server, targets
from ops.cli.batch.submit import TABLE_FILE, TABLE_FORMAT, TABLE_ID

if TYPE_CHECKING:
    import argparse

    from ops.cli.batch.server import Server

HELP = "Write a batch's results: OpenAI's lines, or the submitted table with an answer column."


def arguments(parser: argparse.ArgumentParser) -> None:
    """Which, and where to."""
    parser.add_argument("batch", metavar="ID")
    parser.add_argument("-o", "--output", type=Path, metavar="FILE", help="default: stdout")
    parser.add_argument("--partial", action="store_true", help="also before the batch has ended: what there is")
    parser.add_argument("--force", action="store_true", help="overwrite FILE")
    parser.add_argument("--raw", action="store_true", help="OpenAI's lines for a table, too")
    server.arguments(parser)


def run(args: argparse.Namespace) -> int:
    """Write them. What failed is in the table's column `error`, or beside OpenAI's lines in FILE.errors.jsonl."""
    targets.check(args.output, force=args.force)
    with server.Server(args.url) as api:
        batch = api.batch(args.batch)
        if batch["status"] not in server.FINAL and not args.partial:
            counts = batch["request_counts"]
            done = counts["completed"] + counts["failed"]
            server.say(
                f"nightshift: {batch['id']} is {batch['status']}: {done:,} of {counts['total']:,} requests have a result."
                " --partial writes those; nothing was written."
            )
            return 1
        metadata = batch["metadata"] or {}
        if not args.raw and TABLE_FILE not in metadata and args.output is not None:
            targets.check(_errors_file(args.output), force=args.force)
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
    found = dict(answers.of(line) for line in api.output(batch["id"]))
    found |= dict(answers.of(line) for line in api.output(batch["id"], errors=True))
    with tempfile.TemporaryDirectory() as directory:
        source = Path(directory) / "table"
        api.download(metadata[TABLE_FILE], source)
        with targets.opened(output) as target:
            return answers.write(
                target, wanted, found, source=source, source_kind=kind, id_column=metadata.get(TABLE_ID)
            )


def _write_lines(api: Server, batch: dict[str, Any], output: Path | None) -> int:
    written = 0
    with targets.opened(output) as target:
        for line in api.output(batch["id"]):
            target.write(line.decode())
            written += 1
    errors = _errors_file(output) if output is not None else None
    lines = list(api.output(batch["id"], errors=True))
    if lines and errors is not None:
        with targets.opened(errors) as target:
            target.writelines(line.decode() for line in lines)
        server.say(f"nightshift: {len(lines)} requests have no answer; why is in {errors}")
    elif lines:
        server.say(f"nightshift: {len(lines)} requests have no answer; -o FILE writes why beside it.")
    return int(batch["request_counts"]["total"]) - written - len(lines)


def _errors_file(output: Path) -> Path:
    return output.with_name(f"{output.name}.errors.jsonl")
