"""docs/recipes.md does what it says: each recipe runs as it is pasted, in the order of the page, against the running stack.

Those that need programs of others' run in tests/clients/more/test_recipes.py.
"""

from __future__ import annotations

import ast
import asyncio
import csv
import json
import shutil
import types
from typing import TYPE_CHECKING, Any

import nightshift_client
from tests.acceptance.pages import Page, sh
from tests.acceptance.stack import ROOT, Stack

if TYPE_CHECKING:
    from pathlib import Path

    import pytest

RECIPES = Page("docs/recipes.md")
RUN_HERE = {
    "Classify 50,000 reviews",
    "Caption a folder of images",
    "Judge answers",
    "From Python: classify, count, judge",
}
RUN_BY_CLIENTS = {"Extract a knowledge graph with Graphiti", "Evaluate with Inspect"}
#: as many as are tried first, and one that is not; and how many of them are judged
ROWS, JUDGED = 21, 3


def fewer(text: str) -> str:
    """The same with numbers that a test has time for."""
    return (
        text.replace("seq 50000", f"seq {ROWS}")
        .replace("--limit 500", f"--limit {JUDGED}")
        .replace("[:500]", f"[:{JUDGED}]")
    )


def paste(title: str, stack: Stack, directory: Path) -> None:
    """Run a recipe's commands there."""
    done = sh(fewer(RECIPES.script_in(title, stack)), stack, directory)
    assert done.returncode == 0, done


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def test_every_recipe_is_run() -> None:
    """A recipe of the page is run here, or with the clients that others wrote."""
    assert set(RECIPES.sections_with_blocks()) == RUN_HERE | RUN_BY_CLIENTS
    named = (ROOT / "tests/clients/more/test_recipes.py").read_text()
    assert all(f'"{title}"' in named for title in RUN_BY_CLIENTS)


def test_reviews_are_classified_and_judged(stack: Stack, tmp_path: Path) -> None:
    """The table comes back with a column for each field of the schema, tokens and cost; the judge's beside the answers."""
    paste("Classify 50,000 reviews", stack, tmp_path)
    found = rows(tmp_path / "classified.csv")
    assert [row["id"] for row in found] == [str(number + 1) for number in range(ROWS)]
    assert all(row["feeling"] in {"positive", "mixed", "negative"} and not row["error"] for row in found)
    assert all(json.loads(row["topics"]) and float(row["cost_usd"]) > 0 for row in found)

    paste("Judge answers", stack, tmp_path)
    judged = rows(tmp_path / "judged.csv")
    assert [row["id"] for row in judged] == ["1", "2", "3"]
    assert all(
        json.loads(row["answer"])["feeling"] and row["reason"] and row["right"] in {"true", "false"} for row in judged
    )


def test_images_get_captions(stack: Stack, tmp_path: Path) -> None:
    """A row for each picture, whatever its name, of which Claude has got the bytes."""
    (tmp_path / "photos").mkdir()
    for name in ("a, b.jpg", "c.jpg"):  # what it is, its bytes say
        shutil.copyfile(ROOT / "docs/images/phone.png", tmp_path / "photos" / name)
    paste("Caption a folder of images", stack, tmp_path)
    found = rows(tmp_path / "captions.csv")
    assert [(row["text"], row["error"]) for row in found] == [("photos/a, b.jpg", ""), ("photos/c.jpg", "")]
    assert all("Describe this picture" in row["answer"] and "image/png" in row["answer"] for row in found)


def test_from_python(
    stack: Stack, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """It prints the forecast, the feelings, and what the judge thinks wrong."""
    make = RECIPES.shell_in("Classify 50,000 reviews", stack)[0]
    assert sh(fewer(make), stack, tmp_path).returncode == 0
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("NIGHTSHIFT_URL", stack.url)
    names: dict[str, Any] = {"__name__": "recipe"}
    program = fewer(RECIPES.python_in("From Python: classify, count, judge", stack))
    exec(compile(program, "recipe", "exec", dont_inherit=True), names)
    forecast, feelings, wrong = capsys.readouterr().out.splitlines()
    assert "cli" in forecast and feelings.startswith("Counter(") and wrong.startswith("[")
    assert sum(names["Counter"](row["answer"]["feeling"] for row in names["answered"]).values()) == ROWS
    assert len(names["judged"]) == JUDGED and not any(row["error"] for row in names["judged"])
    names["night"].close()


def test_the_page_of_the_client(stack: Stack, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The examples of docs/python.md, in their order, with lists where it has DataFrames: answers, budgets, async."""
    table = [{"id": str(number), "text": f"python page {number}"} for number in range(3)]
    with (tmp_path / "reviews.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, ["id", "text"])
        writer.writeheader()
        writer.writerows(table)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("NIGHTSHIFT_URL", stack.url)
    page = Page("docs/python.md")
    titles = page.sections_with_blocks()
    program = "\n".join(page.python_in(title, stack) for title in titles).replace("try_first=20", "try_first=2")
    names: dict[str, Any] = {"df": table, "AsyncNightshift": nightshift_client.AsyncNightshift}

    async def run() -> None:
        code = compile(program, "docs/python.md", "exec", ast.PyCF_ALLOW_TOP_LEVEL_AWAIT, dont_inherit=True)
        await types.FunctionType(code, names)()

    asyncio.run(run())
    assert [row["id"] for row in names["rows"]] == ["0", "1", "2"]
    assert [row["answer"][:9] for row in names["answered"]] == ["Simulated"] * 3
    with nightshift_client.Nightshift() as night:
        night.watch(names["batch"])
        assert all("python page" in row["answer"] for row in night.results(names["batch"]))
