"""Many commands as few."""

from __future__ import annotations

from typing import Any, cast

from app.merging import merged


class Recorder:
    """A pipeline that notes what is put on it."""

    def __init__(self) -> None:
        self.found: list[tuple[Any, ...]] = []

    def execute_command(self, *args: Any) -> None:
        self.found.append(args)

    def zadd(self, name: str, mapping: dict[str, float]) -> None:
        self.found.append(("ZADD", name, mapping))

    def set(self, name: str, value: str) -> None:
        self.found.append(("SET", name, value))

    def delete(self, *names: str) -> None:
        self.found.append(("DEL", *names))


def test_what_is_added_to_one_key_goes_in_one_command() -> None:
    """Of each kind and key one command, in the order of the members; what cannot be merged goes as it comes."""
    pipe = Recorder()
    with merged(cast("Any", pipe)) as together:
        for name in ("a", "b"):
            together.zadd("index", {name: 1.0})
            together.set(name, "text")
            together.rpush("queue", name)
            together.sadd("names", "the same")
            together.delete(f"old {name}")
    assert pipe.found == [
        ("SET", "a", "text"),
        ("SET", "b", "text"),
        ("ZADD", "index", {"a": 1.0, "b": 1.0}),
        ("RPUSH", "queue", "a", "b"),
        ("SADD", "names", "the same"),
        ("DEL", "old a", "old b"),
    ]


def test_no_command_grows_without_a_bound() -> None:
    """Thousands of members are several commands."""
    pipe = Recorder()
    with merged(cast("Any", pipe)) as together:
        for number in range(2500):
            together.zrem("index", number)
    assert [len(command) - 2 for command in pipe.found] == [1000, 1000, 500]


def test_nothing_is_put_where_nothing_was_said() -> None:
    """An empty step has no command."""
    pipe = Recorder()
    with merged(cast("Any", pipe)):
        pass
    assert pipe.found == []
