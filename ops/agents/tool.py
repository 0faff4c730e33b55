"""What a tool is: a name, what it says of itself, its arguments as a model, and a coroutine that returns text."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any

import anyio.to_thread
from pydantic import BaseModel, ConfigDict, StringConstraints

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from pathlib import Path

    from ops.cli.batch.server import Server

#: Claude's command line replaces answers of about 50,000 characters by the name of a file, and cuts longer descriptions
MAX_ANSWER = 45_000
MAX_DESCRIPTION = 4_096
#: of an answer, for what is asked about; the rest is for the words around it
PAGE = 40_000

BatchId = Annotated[str, StringConstraints(pattern=r"^batch_[A-Za-z0-9_-]{1,100}$")]
JobId = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_-]{1,100}$")]


class Refused(Exception):
    """It can't be done. The message is for the agent, and says what to do."""


class Arguments(BaseModel):
    """Of a tool. What is not named is refused, and so is a text where a number is wanted."""

    model_config = ConfigDict(extra="forbid", strict=True)


@dataclass(frozen=True)
class Desk:
    """What tools work with."""

    #: as whoever calls
    server: Server
    #: files of tables and results may be here and below; None: the agent may name no file
    files: Path | None = None


@dataclass(frozen=True)
class Tool:
    """`run` gets the desk and its arguments; it raises `Refused`, and what the commands of `nightshift` raise."""

    name: str
    title: str
    description: str
    arguments: type[Arguments]
    run: Callable[[Desk, Any], Awaitable[str]]
    #: it spends, or ends what others may need: only with `--allow-submit`
    changes: bool = False
    #: it ends something for good
    destroys: bool = False


async def waited(call: Callable[..., Any], *arguments: Any, **named: Any) -> Any:
    """What a blocking call returns. Cancelled, it is left to end by itself."""
    return await anyio.to_thread.run_sync(partial(call, *arguments, **named), abandon_on_cancel=True)
