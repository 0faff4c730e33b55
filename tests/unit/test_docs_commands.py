"""What the docs tell people to type: each command takes its options, each request has a route, and each page has a test that runs it."""

from __future__ import annotations

import ast
import gzip
import re
import shlex
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import pytest
from werkzeug.exceptions import HTTPException

from api.app import create_app
from app.settings import Settings
from ops.cli import main

if TYPE_CHECKING:
    from cyclopts import App
    from werkzeug.routing import MapAdapter

ROOT = Path(__file__).parents[2]
#: each page that has blocks to be pasted, and the test that runs them or does what they do
TESTED_BY = {
    "README.md": "tests/acceptance/test_readme.py",
    "docs/batches.md": "tests/acceptance/test_readme.py",
    "docs/agents.md": "tests/acceptance/test_agents.py",
    "docs/deploy.md": "tests/integration/deploy/test_systemd.py",
    "docs/install.md": "tests/acceptance/test_installed.py",
    "docs/keys.md": "tests/integration/api/test_keys.py",
    "docs/machines.md": "tests/integration/supervisor/test_parts_alone.py",
    "docs/morning-report.md": "tests/acceptance/test_batch_command.py",
    "docs/notifications.md": "tests/acceptance/test_notifications.py",
    "docs/operating.md": "tests/acceptance/test_readme.py",
    "docs/python.md": "tests/acceptance/test_recipes.py",
    "docs/recipes.md": "tests/acceptance/test_recipes.py",
    "docs/requests.md": "tests/acceptance/test_readme.py",
    "docs/runbook.md": "tests/acceptance/test_runbook.py",
    "docs/service.md": "tests/unit/service/test_command.py",
    "docs/start.md": "tests/acceptance/test_readme.py",
    "docs/storage.md": "tests/integration/supervisor/test_shared_storage.py",
    "docs/tables.md": "tests/unit/test_docs_commands.py",
}
PAGES = ["README.md", *(path.relative_to(ROOT).as_posix() for path in sorted((ROOT / "docs").glob("*.md")))]
#: a command may begin after one of these
SEPARATORS = {"|", "||", "&&", "&", ";", "(", ")", "--"}
PREFIXES = {"nohup", "time", "sudo"}
ADDRESS = "127.0.0.1:8204"


def lines(page: str) -> list[str]:
    """The lines of a page's blocks of commands, each whole."""
    text = re.sub(r"^```.*?^```$", "", (ROOT / page).read_text(), flags=re.MULTILINE | re.DOTALL)
    text = re.sub(r"(<<'END'\n).*?\n    END\n", r"\1", text, flags=re.DOTALL).replace("\\\n", " ")
    return [line.strip() for line in text.splitlines() if re.match(r"    [a-z]", line)]


def commands(page: str, program: str) -> list[list[str]]:
    """What a page calls the program with."""
    found = []
    for line in lines(page):
        if not re.search(rf"\b{program}\b", line):
            continue
        lexer = shlex.shlex(line, posix=True, punctuation_chars=True)
        lexer.whitespace_split = True
        words: list[str] = []
        for token in [*lexer, ";"]:
            if token not in SEPARATORS and not set(token) <= set("<>&"):
                words += [] if not words and (token in PREFIXES or re.match(r"[A-Z_]+=", token)) else [token]
                continue
            if words and words[0].rpartition("/")[2] == program:
                found.append(words[1:])
            words = []
    return found


def test_every_page_with_commands_has_a_test() -> None:
    """Pages without any need none; each test is there."""
    with_blocks = {page for page in PAGES if lines(page) or "```python" in (ROOT / page).read_text()}
    assert with_blocks == set(TESTED_BY) | {"docs/cost.md", "docs/openai-compatibility.md"}
    assert all((ROOT / test).is_file() for test in TESTED_BY.values())


@pytest.fixture(scope="module")
def command() -> App:
    return main.app()


@pytest.fixture(scope="module")
def routes() -> MapAdapter:
    return create_app(Settings(redis_url="redis://127.0.0.1:1")).url_map.bind(ADDRESS)


@pytest.mark.parametrize("page", sorted(TESTED_BY))
def test_what_a_page_calls_is_there(page: str, command: App, routes: MapAdapter) -> None:
    """`nightshift` takes the options, the API has the routes, Python can read the examples."""
    for tokens in commands(page, "nightshift"):
        command.parse_args(tokens, exit_on_error=False, print_error=False)
    for tokens in commands(page, "curl"):
        for url in (urlsplit(token) for token in tokens if ADDRESS in token):
            method = tokens[tokens.index("-X") + 1] if "-X" in tokens else "POST" if "-d" in tokens else "GET"
            try:
                routes.match(url.path, method)
            except HTTPException as error:
                pytest.fail(f"{method} {url.path}: {error}")
    for block in re.findall(r"```python\n(.*?)```", (ROOT / page).read_text(), re.DOTALL):
        compile(block, page, "exec", ast.PyCF_ALLOW_TOP_LEVEL_AWAIT, dont_inherit=True)


def test_tables_are_read_as_the_page_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Each example of docs/tables.md makes requests of a table, as `validate` counts them without a server."""
    monkeypatch.chdir(tmp_path)
    table = "id,text,lang,stars\n1,Good.,de,5\n2,Bad.,de,1\n3,Well.,,3\n"
    Path("reviews.csv").write_text(table)
    Path("reviews.csv.gz").write_bytes(gzip.compress(table.encode()))
    Path("invoices.csv").write_text("invoice\nscans/0001.pdf\nhttps://example.com/0002.png\n")
    Path("scans").mkdir()
    Path("scans/0001.pdf").write_bytes(b"%PDF-1.7\n" + bytes(20))
    Path("prompt.j2").write_text('Rate: {{ text }}{% if lang %} ({{ lang }}){% endif %} {"stars": 5}')
    Path("rating.json").write_text('{"type": "object", "properties": {"stars": {"type": "integer"}}}')
    submits = [tokens for tokens in commands("docs/tables.md", "nightshift") if tokens[:2] == ["batch", "submit"]]
    counts = []
    for tokens in submits:
        if not re.match(r"-|https:", tokens[2]):
            assert main.main(["batch", "validate", *tokens[2:]]) == 0
            counts.append(int(re.findall(r"(\d+) requests?, no fault", capsys.readouterr().out)[0]))
    assert counts == [3, 3, 2, 3, 3, 1]
