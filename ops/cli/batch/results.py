"""`nightshift batch results ID -o FILE` and `report ID`."""

from __future__ import annotations

import contextlib
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

from app.batches.formats import answers, packed, selection, tables
from app.batches.formats.answers import TABLE_FILE, TABLE_FORMAT, TABLE_ID, TABLE_SELECTION
from app.batches.formats.json_file import FormatError
from app.batches.formats.tables import FORMATS
from ops.cli import options
from ops.cli.batch import server
from ops.cli.batch.ended import Ended
from ops.cli.batch.server import RETRY_OF, Server
from ops.cli.batch.watch import BatchId
from ops.cli.options import AsJson, Url
from ops.supervisor.errors import StackError

if TYPE_CHECKING:
    from collections.abc import Iterator


class TargetError(StackError):
    """The file can't be written. The message says why, and what to do."""


def check(path: Path | None, *, force: bool) -> None:
    """Before anything is asked for. Raises `TargetError` for a file that is there, and a folder that is not."""
    if path is None:
        return
    if not path.parent.is_dir():
        raise TargetError(f"There is no folder {path.parent}: make it first, or name another FILE.")
    if path.is_dir():
        raise TargetError(f"{path} is a folder: name a file in it.")
    if path.exists() and not force:
        raise TargetError(f"{path} is there already: --force overwrites it.")


@contextlib.contextmanager
def opened(path: Path | None) -> Iterator[IO[bytes]]:
    """The file, there only when it is whole; or stdout. Raises `TargetError`."""
    if path is None:
        yield sys.stdout.buffer
        sys.stdout.buffer.flush()
        return
    part = path.with_name(f".{path.name}.part")
    try:
        with part.open("wb") as target:
            yield target
        part.replace(path)
    except OSError as error:
        raise TargetError(f"{path} can't be written: {error.strerror or error}.") from error
    finally:
        with contextlib.suppress(OSError):
            part.unlink(missing_ok=True)


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class Added:
    """Which columns a table gets."""

    expand: Annotated[
        bool, Parameter(help="a column for each field of the answers, which are JSON objects (submit --schema)")
    ] = False
    usage: Annotated[bool, Parameter(help="columns with the tokens and the cost of each row")] = False


PLAIN = Added()
Force = Annotated[bool, Parameter(help="overwrite the file")]


def results(
    batch_id: BatchId,
    /,
    *,
    output: Annotated[Path | None, Parameter(("--output", "-o"), help="a file (default: stdout)")] = None,
    partial: Annotated[bool, Parameter(help="also before the batch has ended: what there is")] = False,
    force: Force = False,
    raw: Annotated[bool, Parameter(help="OpenAI's lines for a table, too")] = False,
    how: Added = PLAIN,
    url: Url = None,
    as_json: AsJson = False,
) -> int:
    """Write them. What failed is in the table's column `error`, or beside OpenAI's lines in FILE.errors.jsonl."""
    check(output, force=force)
    with server.Server(url) as api:
        batch = api.batch(batch_id)
        if how != PLAIN and (raw or TABLE_FILE not in (batch["metadata"] or {})):
            options.fail("--expand and --usage add columns to a table: OpenAI's lines have all of it already.")
        if batch["status"] not in server.FINAL and not partial:
            counts = batch["request_counts"]
            done = counts["completed"] + counts["failed"]
            server.say(
                f"nightshift: {batch['id']} is {batch['status']}: {done:,} of {counts['total']:,} requests have a result."
                " --partial writes those; nothing was written."
            )
            return 1
        if TABLE_FILE in (batch["metadata"] or {}) and not raw:
            missing = _write_table(api, batch, output, how)
        else:
            if output is not None:
                check(_errors_file(output), force=force)
            missing = _write_lines(api, batch, output)
    if as_json and output is not None:
        server.show_json(batch)
    if batch["status"] not in server.FINAL:
        server.say(f"nightshift: {batch['id']} is {batch['status']}: {missing} requests have no result yet.")
        return 0
    return server.status_of(batch)


def report(
    batch_id: BatchId,
    /,
    *,
    output: Annotated[
        Path | None, Parameter(("--output", "-o"), help="a file (default: ID.html in this directory)")
    ] = None,
    force: Force = False,
    answers: Annotated[int, Parameter(help="include the first so many questions and answers")] = 0,
    url: Url = None,
    as_json: AsJson = False,
) -> int:
    """Write it and print where; or print its numbers. 3: some requests failed, 1: the batch did not complete."""
    if not as_json:
        check(output, force=force)
    with Server(url) as api:
        batch = api.batch(batch_id)
        if as_json:
            server.show_json(api.report(batch["id"]))
        else:
            # Of the batch's own name it is an older report.
            output = output or Path(f"{batch['id']}.html")
            page = api.report_page(batch["id"], answers)
            with opened(output) as target:
                target.write(page)
            print(output)
    return server.status_of(batch) if batch["status"] in server.FINAL else 0


@contextlib.contextmanager
def _named(source: Path, batch_id: str) -> Iterator[None]:
    """In messages of a `FormatError` the copy is the batch's table."""
    try:
        yield
    except FormatError as error:
        raise FormatError(str(error).replace(str(source), f"the table of {batch_id}")) from error


def format_wanted(output: Path | None, kind: str) -> str:
    """Of the file, where the table is a `kind`. Raises `TargetError` for what can't be text and is not said to be anything else."""
    if not FORMATS[kind].is_binary:
        return kind if output is None else tables.format_of(output)
    ways = f"-o FILE.{kind} writes it, -o FILE.csv as text."
    if output is None:
        if sys.stdout.isatty():
            raise TargetError(f"The table is {kind}, which a terminal can't show: {ways}")
        return kind
    wanted = tables.format_of(output)
    if wanted == tables.TEXT:
        raise TargetError(f"The table is {kind}, and the ending of {output} names no format: {ways}")
    return wanted


def _write_table(api: Server, batch: dict[str, Any], output: Path | None, how: Added) -> int:
    metadata = batch["metadata"]
    kind = metadata[TABLE_FORMAT]
    wanted = format_wanted(output, kind)
    ending = packed.split(output)[1] if output is not None else None
    with tempfile.TemporaryDirectory(prefix="nightshift-") as directory:
        source = Path(directory) / "table"
        api.download(metadata[TABLE_FILE], source)
        schema = api.schema(batch["input_file_id"]) if how.expand else None
        with Ended(Path(directory), expand=how.expand, usage=how.usage, schema=schema) as ended:
            for earlier in reversed(_earlier(api, batch)):
                with _may_be_gone(earlier):
                    ended.add(api.output(earlier))
            ended.add(api.output(batch["id"]))
            ended.add(api.output(batch["id"], errors=True))
            names = ended.names()
            with (
                _named(source, batch["id"]),
                opened(output) as file,
                packed.packing_into(file, ending) as target,
            ):
                return answers.write(
                    target,
                    wanted,
                    ended.find,
                    source=source,
                    source_kind=kind,
                    id_column=metadata.get(TABLE_ID),
                    names=names,
                    selection=selection.loaded(metadata.get(TABLE_SELECTION, "")),
                )


def _earlier(api: Server, batch: dict[str, Any]) -> list[str]:
    """The batches that this one is a retry of, newest first, as far as they are kept. All that has no answer there is in this one."""
    found: list[str] = []
    metadata = batch["metadata"]
    table, named = metadata[TABLE_FILE], metadata.get(RETRY_OF)
    # Metadata is the client's: it may name any batch, and itself.
    while named is not None and named not in (batch["id"], *found):
        metadata = {}
        with _may_be_gone(named):
            metadata = api.batch(named)["metadata"] or {}
        if metadata.get(TABLE_FILE) != table:
            break
        found.append(named)
        named = metadata.get(RETRY_OF)
    return found


@contextlib.contextmanager
def _may_be_gone(batch_id: str) -> Iterator[None]:
    """Its retry has results without it, too."""
    try:
        yield
    except server.ServerAway:
        raise
    except server.ServerError as error:
        server.say(f"nightshift: what {batch_id} had answered before the retry is not in the table: {error}")


def _write_lines(api: Server, batch: dict[str, Any], output: Path | None) -> int:
    written = 0
    with opened(output) as target:
        for line in api.output(batch["id"]):
            target.write(line)
            written += 1
    errors = _errors_file(output) if output is not None else None
    lines = list(api.output(batch["id"], errors=True))
    if lines and errors is not None:
        with opened(errors) as target:
            target.writelines(lines)
        server.say(f"nightshift: {len(lines)} requests have no answer; why is in {errors}")
    elif lines:
        server.say(f"nightshift: {len(lines)} requests have no answer; -o FILE writes why beside it.")
    return int(batch["request_counts"]["total"]) - written - len(lines)


def _errors_file(output: Path) -> Path:
    return output.with_name(f"{output.name}.errors.jsonl")
