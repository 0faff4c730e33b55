"""A worker's engines: one for each way of the ladder that workers go, made when it is first needed.

The CLI's costs more memory than all the rest of a worker: behind another way it is neither started nor imported before a request
takes it.
"""

from __future__ import annotations

from collections import Counter
from contextlib import ExitStack
from dataclasses import replace
from typing import TYPE_CHECKING, Self

from app.login import engine_settings
from app.recycle_reason import RecycleReason
from app.ways import Way, ways_of_workers
from workers.recycle_log import RecycleLog

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

    from redis import Redis

    from app.settings import Settings
    from workers.engine import Engine, EngineStatus


class Engines:
    """Of one worker. `of` is for its main thread, all else for any thread. Ends those that it has made on `close`."""

    def __init__(self, settings: Settings, make: Callable[[Way, ExitStack], Engine]) -> None:
        """`make`: makes and starts the engine of a way, and leaves on the stack what ends it."""
        self.ways = ways_of_workers(settings.ways)
        self._make = make
        self._made: dict[Way, Engine] = {}
        self._ends: dict[Way, ExitStack] = {}
        #: what those that were ended had counted
        self._counted: list[EngineStatus] = []

    @classmethod
    def of_worker(cls, settings: Settings, name: str, own_dir: Path, connection: Redis) -> Self:
        """Those that ask Claude. The first way's is made, and every other that costs little. Raises `SettingsError`."""

        def make(way: Way, ends: ExitStack) -> Engine:
            step = settings.step(way)
            alone = settings if step is None else engine_settings(settings, step)
            return _cli(alone, name, own_dir, connection, ends) if way is Way.CLI else _api(alone, name, ends)

        found = cls(settings, make)
        try:
            for way in found.ways:
                if not found.is_spare(way):
                    found.of(way)
        except BaseException:
            found.close()
            raise
        return found

    @classmethod
    def holding(cls, settings: Settings, engines: Mapping[Way, Engine]) -> Self:
        """Those that are there already."""
        found = cls(settings, lambda way, _: engines[way])
        for way in found.ways:
            found.of(way)
        return found

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def of(self, way: Way) -> Engine:
        """That way's, made and started. Raises `SettingsError`."""
        if way not in self._made:
            with ExitStack() as ends:
                self._made[way] = self._make(way, ends)
                self._ends[way] = ends.pop_all()
        return self._made[way]

    def is_spare(self, way: Way) -> bool:
        """Whether its engine is there for requests that no way before it takes, and costs too much to be there for nothing."""
        return way is Way.CLI and way is not self.ways[0]

    def end(self, way: Way) -> None:
        """End that way's, and wait for that. It is made again when it is needed."""
        self._counted.append(self._made[way].status())
        self._ends.pop(way).close()
        del self._made[way]

    def made(self) -> Iterator[tuple[Way, Engine]]:
        """Those that there are, in the ladder's order."""
        made = self._made.copy()
        return ((way, made[way]) for way in self.ways if way in made)

    def status(self, way: Way) -> EngineStatus:
        """That way's state, process and login, with the counts and the memory of all."""
        found = {one: engine.status() for one, engine in self.made()}
        mine, every = found.get(way) or next(iter(found.values())), [*found.values()]
        all_ever = [*every, *self._counted]
        restarts: Counter[str] = Counter()
        for one in all_ever:
            restarts.update(one.restarts)
        return replace(
            mine,
            turns_total=sum(one.turns_total for one in all_ever),
            errors=sum(one.errors for one in all_ever),
            restarts=dict(restarts),
            rss_mb=round(sum(one.rss_mb for one in every), 1),
            python_rss_mb=max(one.python_rss_mb for one in every),
            cli_version=next((one.cli_version for one in every if one.cli_version), None),
        )

    def close(self) -> None:
        """End every engine, and wait for that."""
        with ExitStack() as ends:
            for one in self._ends.values():
                ends.enter_context(one)
            self._ends = {}


def _api(settings: Settings, name: str, ends: ExitStack) -> Engine:
    from workers.messages_api import ApiEngine  # noqa: PLC0415 - see the module

    return ends.enter_context(ApiEngine(settings, name=name))


def _cli(settings: Settings, name: str, own_dir: Path, connection: Redis, ends: ExitStack) -> Engine:
    from workers.claude import CliEngine  # noqa: PLC0415 - see the module

    memory_limits_mb: dict[str, float] = {
        RecycleReason.RSS: settings.max_rss_mb,
        RecycleReason.RSS_HARD: settings.hardest_rss_mb,
    }
    recycles = ends.enter_context(RecycleLog(connection, name, memory_limits_mb))
    return ends.enter_context(CliEngine(settings, name=name, work_dir=own_dir, on_recycle=recycles.note))
