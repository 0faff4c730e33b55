"""The command line: which commands there are, what follows from their errors, and the exit status.

A command is a function: its parameters are its arguments and options, and it returns the exit status: 0 done, 1 it failed,
2 it was asked for in a wrong way. `SettingsError` and `StackError` are shown to the user as they are.
"""

from __future__ import annotations

import logging
import os
import sys
from functools import partial
from importlib.metadata import version
from typing import TYPE_CHECKING

from cyclopts import App, CycloptsError, Parameter

from app import environment
from app.batches.formats.json_file import FormatError
from app.settings import SettingsError
from ops.cli import misspelled
from ops.supervisor.errors import StackError

if TYPE_CHECKING:
    from collections.abc import Sequence

log = logging.getLogger(__name__)

#: by name: the function, which is imported when it is called, and what it does
COMMANDS = {
    "up": (
        "up:up",
        "Start everything in the foreground: Redis, the API, the workers, callbacks. Ctrl-C or `nightshift stop` ends it.",
    ),
    "worker": ("parts:worker", "Run workers alone, against the Redis that REDIS_URL names."),
    "api": (
        "parts:api",
        "Run the API alone, against the Redis that REDIS_URL names. It feeds the batches, and brings back what was lost.",
    ),
    "callbacks": (
        "parts:callbacks",
        "Run the processes that deliver callbacks alone, against the Redis that REDIS_URL names.",
    ),
    "stop": (
        "running:stop",
        "Stop a running `nightshift up`, and wait until it has ended. What is queued goes on at the next start.",
    ),
    "restart": (
        "running:restart",
        "Replace the API, the workers and the callbacks of a running `nightshift up`, one after another, without failing a request.",
    ),
    "status": (
        "status:status",
        "Show whether the night goes well: workers, queue, limits, batches, failures. Exit status 1: it can't serve.",
    ),
    "pause": ("gate:pause", "Take no further job; what runs is finished. `nightshift resume` ends it."),
    "resume": ("gate:resume", "End a pause; a usage limit or a broken login is tried again at once."),
    "backup": (
        "backup:backup",
        "Write all that a running Nightshift holds into one file, while everything goes on.",
    ),
    "restore": ("backup:restore", "Make a data dir of such a file, for `nightshift up` to go on with."),
    "doctor": (
        "doctor:doctor",
        "Look at Python, Claude and its login (with one small request), Redis, disk, port and clock; say how to mend them.",
    ),
    "mcp": (
        "mcp:mcp",
        "Serve tools for agents (Model Context Protocol): look at what runs, read answers, and if allowed submit and ask.",
    ),
    "version": ("version:version", "Print the versions of Nightshift and of what it stands on."),
}
#: those of `nightshift batch`, which exit with 3 when a batch completed and some of its requests failed
BATCH_COMMANDS = {
    "submit": (
        "batch.submit:submit",
        "Hand in a file of requests, or a table with a template; prints the batch's id.",
    ),
    "watch": ("batch.watch:watch", "Show how a batch goes, in one line, until it has ended. Ctrl-C leaves it running."),
    "results": (
        "batch.results:results",
        "Write a batch's results: OpenAI's lines, or the submitted table with an answer column.",
    ),
    "report": (
        "batch.results:report",
        "Write how a batch went as one HTML file, to be opened in a browser or mailed. Also while it runs.",
    ),
    "list": ("batch.manage:list_batches", "List batches, newest first."),
    "cancel": ("batch.manage:cancel", "Cancel a batch: what runs is stopped, what is done is kept."),
    "continue": (
        "batch.manage:go_on",
        "Let a batch go on that waits for your word: its first requests were tried, or its budget is used up.",
    ),
    "retry": (
        "batch.manage:retry",
        "Make a new batch of the requests that failed or were not run; prints its id.",
    ),
    "validate": ("batch.validate:validate", "Name every fault of a file, without a server."),
}
#: those of `nightshift keys`
KEY_COMMANDS = {
    "create": ("keys:create", "Make a key with a name; prints it, this once."),
    "list": ("keys:list_keys", "List the keys with names, the oldest first."),
    "change": ("keys:change", "Give a key other limits: what is not named stays, and `none` takes a limit away."),
    "rotate": ("keys:rotate", "Give a key another secret; prints it, this once. The old one ends."),
    "revoke": ("keys:revoke", "Refuse a key from now on, for good."),
}
#: those of `nightshift service`
SERVICE_COMMANDS = {
    "install": (
        "service:install",
        "Run Nightshift in the background from now on, and after each login or boot, with this shell's settings.",
    ),
    "status": ("service:status", "Show what systemd or launchd says of it."),
    "logs": ("service:logs", "Show its log."),
    "uninstall": ("service:uninstall", "Stop it and remove it; what is queued stays."),
}
#: those of `nightshift notify`
NOTIFY_COMMANDS = {
    "test": ("notify:send_test", "Send a trial message to each URL of NIGHTSHIFT_NOTIFY."),
}
#: the exit status of a program whose reader has left, as shells know it
SIGPIPE_STATUS = 141
WRONG_USE = 2


def main(argv: Sequence[str] | None = None) -> int:
    """The entry point of `nightshift`."""
    tokens = list(sys.argv[1:] if argv is None else argv)
    if tokens[:1] == ["help"]:  # as git and others have it: `nightshift help batch submit`
        tokens = [*tokens[1:], "--help"]
    try:
        status = _run(tokens)
        sys.stdout.flush()
    except BrokenPipeError:
        # The reader of our output has left. Python would complain at exit about what is still buffered, so that is discarded.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return SIGPIPE_STATUS
    except CycloptsError as error:
        words = " ".join(["nightshift", *(error.command_chain or ())])
        print(f"{words}: {error}\n`{words} --help` shows what it takes.", file=sys.stderr)
        return WRONG_USE
    except SettingsError as error:
        print(f"nightshift: {error}", file=sys.stderr)
        return WRONG_USE
    except (StackError, FormatError) as error:
        print(f"nightshift: {error}", file=sys.stderr)
        return 1
    except OSError as error:
        # A disk that is full, a directory that is somebody else's: nothing that a traceback would explain better.
        what = f"{error.filename}: {error.strerror}." if error.filename else error
        print(f"nightshift: {what}", file=sys.stderr)
        log.debug("%s", error, exc_info=error)
        return 1
    except KeyboardInterrupt:
        return 130
    return status


def _run(tokens: list[str]) -> int:
    command, bound, _ = app().parse_args(tokens, exit_on_error=False, print_error=False)
    if tokens[:1] != ["doctor"]:  # where they are findings
        for complaint in misspelled.complaints(environment.variables()):
            print(f"nightshift: warning: {complaint}", file=sys.stderr)
    status = command(*bound.args, **bound.kwargs)
    # Help that was not asked for is an error, too.
    return WRONG_USE if tokens in ([], ["batch"], ["keys"], ["service"], ["notify"]) else status or 0


def app() -> App:
    """All commands, with their help."""
    found = App(
        name="nightshift",
        help="An OpenAI-compatible gateway to Claude with a queue.",
        help_format="plaintext",
        version=partial(version, "claude-nightshift"),
        default_parameter=Parameter(negative=(), show_default=False, allow_repeating=True),
    )
    batch = App(
        name="batch",
        help="Submit, watch and read batches of a running Nightshift.",
        sort_key=list(COMMANDS).index("status"),
    )
    keys = App(
        name="keys",
        help="Keys with names: whose requests are whose, and what each may do.",
        sort_key=list(COMMANDS).index("doctor"),
    )
    service = App(
        name="service",
        help="Nightshift as a service of yours: systemd's on Linux, launchd's on macOS.",
        sort_key=list(COMMANDS).index("status"),
    )
    notify = App(
        name="notify",
        help="Messages to people when batches are done, wait or fail.",
        sort_key=list(COMMANDS).index("doctor"),
    )
    groups = (
        (found, COMMANDS),
        (batch, BATCH_COMMANDS),
        (keys, KEY_COMMANDS),
        (service, SERVICE_COMMANDS),
        (notify, NOTIFY_COMMANDS),
    )
    for parent, commands in groups:
        for place, (name, (path, text)) in enumerate(commands.items()):
            parent.command(f"ops.cli.{path}", name=name, help=text, sort_key=place)
    found.command(batch)
    found.command(keys)
    found.command(service)
    found.command(notify)
    found.register_install_completion_command(help="Install completion for the shell that this is called in.")
    return found


if __name__ == "__main__":
    sys.exit(main())
