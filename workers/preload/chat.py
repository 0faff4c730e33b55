"""All that `workers.chat_worker` imports, with the engines that it makes at its start: others may never be needed."""

from importlib import import_module

from app.settings import Settings, SettingsError
from app.ways import Way, ways_of_workers

_MODULES = ("workers.claude_worker", "workers.engine_by_way", "workers.start", "workers.tasks", "workers.work_dir")


def modules(settings: Settings) -> list[str]:
    """Their names. The command line's is imported only where it goes first (`workers.engine_by_way`)."""
    ways = ways_of_workers(settings.ways)
    wanted = list(_MODULES)
    if Way.API in ways:
        wanted.append("workers.messages_api")
    if ways and ways[0] is Way.CLI:
        # The second is what anyio, which the SDK runs on, imports when it is first used.
        wanted += ["workers.claude.engine", "anyio._backends._asyncio"]
    return wanted


try:
    _wanted = modules(Settings.from_environment())
except SettingsError:
    _wanted = []  # the workers say what is wrong
for _module in _wanted:
    import_module(_module)
