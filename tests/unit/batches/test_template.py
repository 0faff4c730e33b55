"""Templates: what a name in braces becomes, and what is wrong with one before anything runs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from app.batches.formats.json_file import FormatError
from app.batches.formats.template import Recipe, fill
from app.settings import SettingsError
from ops.cli.batch import source

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize(
    ("template", "prompt"),
    [
        ("{a|nothing}/{b|nothing}/{c|x|y}", "A/nothing/x|y"),
        ("{a|b}", "a pipe"),
        ("{{a|nothing}} {b|}.", "{a|nothing} ."),
        ('{{"kind": "{a}"}}', '{"kind": "A"}'),
    ],
)
def test_what_stands_for_an_empty_cell(template: str, prompt: str) -> None:
    """The text behind the bar, also for a field that a row of JSON has not; unless a column is called so."""
    row = {"a": "A", "b": " "} | ({"a|b": "a pipe"} if template == "{a|b}" else {})
    assert fill(template, row, 1) == prompt


def test_a_name_that_is_no_column_is_found_before_anything_is_filled() -> None:
    """Also one with a text for empty cells: a slip of the pen would be asked a thousand times."""
    with pytest.raises(FormatError, match=r"^The template names 'txet', which is no column\. Did you mean 'text'\?"):
        Recipe("{text} {txet|none}").check(["id", "text"])
    with pytest.raises(FormatError, match=r"names 'txet', which is no column\. Did you mean 'text'\?"):
        Recipe("{{ text }} {% if txet %}{% endif %}", is_jinja=True).check(["id", "text"])
    with pytest.raises(FormatError, match=r"names 'Unit prize', which is no column\. Did you mean 'Unit price'"):
        Recipe('{{ row["Unit prize"] }}', is_jinja=True).check(["Unit price"])
    with pytest.raises(FormatError, match="names no column"):
        Recipe("{% for x in range(3) %}{{ x }}{% endfor %}", is_jinja=True).check(["id"])
    Recipe("{a|b} {c|d}").check(["a|b", "c"])


def rendered(template: str, row: dict[str, Any]) -> str:
    return Recipe(template, is_jinja=True).prompt(row, 1)


def test_jinja() -> None:
    """Conditions, loops, defaults and filters; values as in any other prompt; braces of JSON are text."""
    row = {"a": "<b>", "n": None, "tags": ["x", 1.5], "Unit price": "3"}
    assert rendered("{% if n is none %}none{% endif %} {{ a }} {{ n }}.", row) == "none <b> ."
    assert rendered('{{ row["Unit price"] }} {% for t in tags %}[{{ t }}]{% endfor %}', row) == "3 [x][1.5]"
    assert rendered('{{ tags }} {{ late | default("no") }} {"a": {"b": 1}}', row) == '["x", 1.5] no {"a": {"b": 1}}'
    with pytest.raises(FormatError, match=r"The template, line 2: .*\."):
        rendered("{{ a }}\n{% if %}", row)
    for hostile in (
        "{{ a.__class__.__mro__ }}",
        "{% include '/etc/passwd' %}{{ a }}",
        "{{ late }}",
        "{{ range(10**9) | list }}{{ a }}",
        "{{ tags.append(1) }}",
        "{{ a + 1 }}",
    ):
        with pytest.raises(FormatError, match="row 1: the template can't be filled"):
            rendered(hostile, row)


def test_a_file(tmp_path: Path) -> None:
    """Its ending says which language it is in; the editor's line feed at its end is not sent."""
    table = tmp_path / "a.csv"
    table.write_text("text\nhi\n")
    for name, text in (("p.txt", "Say {text} {{}}\n"), ("p.j2", "Say {{ text }} {}\n")):
        (tmp_path / name).write_text(text)
        with source.opened(table, source.How(template_file=tmp_path / name)) as found:
            assert '"content":"Say hi {}"' in found.file.read().decode()
    for how, says in (
        ({"template": "{text}"}, "which of the two"),
        ({"template_file": tmp_path / "none.txt"}, r"--template-file .*none\.txt"),
    ):
        with (
            pytest.raises(SettingsError, match=says),
            source.opened(table, source.How(**{"template_file": tmp_path / "p.j2", **how})),  # type: ignore[arg-type]
        ):
            pass
