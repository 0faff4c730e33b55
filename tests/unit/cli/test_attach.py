"""Files as cells: images, PDFs and texts go before the prompt of their row."""

from __future__ import annotations

import base64
import json
from typing import TYPE_CHECKING, Any

import pytest

from app.batches.formats.json_file import FormatError
from ops.cli import main
from ops.cli.batch import source, table_file

if TYPE_CHECKING:
    from pathlib import Path

PNG = b"\x89PNG\r\n\x1a\n" + bytes(20)
PDF = b"%PDF-1.7\n" + bytes(20)


def contents(table: Path, **how: Any) -> list[Any]:
    with source.opened(table, source.How(**{"template": "What is it?", "attach": ("file",), **how})) as found:
        return [json.loads(one)["body"]["messages"][-1]["content"] for one in found.file if one.strip()]


def data(kind: str, content: bytes) -> str:
    return f"data:{kind};base64,{base64.b64encode(content).decode()}"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a.jpg").write_bytes(PNG)
    (tmp_path / "b.pdf").write_bytes(PDF)
    (tmp_path / "c.txt").write_text("hé")
    (tmp_path / "d.zip").write_bytes(b"PK\x03\x04" + bytes(20))
    return tmp_path


def test_files_go_before_the_prompt(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """What a file is its bytes say; several are a line each; an image's address is for the server, a PDF is fetched."""
    monkeypatch.setattr(source, "fetched", lambda url: PDF if url == "https://x.example/a.pdf" else b"")
    table = folder / "t.csv"
    table.write_text('file\nin/a.jpg\n"b.pdf\nc.txt"\nhttps://x.example/a.png?b\nhttps://x.example/a.pdf\n" "\n')
    prompt = {"type": "text", "text": "What is it?"}
    pdf = data("application/pdf", PDF)
    assert contents(table) == [
        [{"type": "image_url", "image_url": {"url": data("image/png", PNG)}}, prompt],
        [
            {"type": "file", "file": {"filename": "b.pdf", "file_data": pdf}},
            {"type": "file", "file": {"filename": "c.txt", "file_data": data("text/plain", "hé".encode())}},
            prompt,
        ],
        [{"type": "image_url", "image_url": {"url": "https://x.example/a.png?b"}}, prompt],
        [{"type": "file", "file": {"filename": "a.pdf", "file_data": pdf}}, prompt],
    ]
    table.write_text("id,file\n1,\n2,b.pdf\n")
    assert contents(table, template="{id}")[0] == "1"
    assert main.main(["batch", "validate", str(table), "--template", "{id}", "--attach", "file"]) == 0
    assert "2 requests, no fault" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("cell", "says"),
    [
        ("none.png", r"row 1: column 'file': none\.png: there is no such file in "),
        ("d.zip", r"row 1: column 'file': d\.zip: .*"),
        ("http://x.example/a.png", "an address begins with https://"),
        ("https://127.0.0.1/a.pdf", "a loopback address"),
        ("in", "there is no such file"),
    ],
)
def test_what_can_not_be_attached_is_named(folder: Path, cell: str, says: str) -> None:
    """With its row and column, before anything is sent."""
    (folder / "t.csv").write_text(f"file\n{cell}\n")
    with pytest.raises(FormatError, match=says):
        contents(folder / "t.csv")


def test_a_table_sends_no_file_from_elsewhere(folder: Path) -> None:
    """Neither by its path nor by a link, unless the directory is named."""
    inner = folder / "inner"
    inner.mkdir()
    (inner / "link.pdf").symlink_to(folder / "b.pdf")
    for cell in ("../b.pdf", str(folder / "b.pdf"), "link.pdf"):
        (inner / "t.csv").write_text(f"file\n{cell}\n")
        with pytest.raises(FormatError, match=r"it is not below .*inner\. --attach-from DIRECTORY allows"):
            contents(inner / "t.csv")
        assert len(contents(inner / "t.csv", attach_from=(folder,))) == 1


def test_a_column_that_is_not_there(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is named; a file that no request takes is, too, before it is read; a table from elsewhere has addresses only."""
    (folder / "t.csv").write_text("fill\nin/a.jpg\n")
    with pytest.raises(FormatError, match=r"--attach names 'file', which is no column\. Did you mean 'fill'"):
        contents(folder / "t.csv")
    monkeypatch.setenv("NIGHTSHIFT_MAX_BODY_BYTES", "20")
    with pytest.raises(FormatError, match="it has 28 bytes, and a request takes 20"):
        contents(folder / "t.csv", attach=("fill",))
    monkeypatch.setattr(table_file, "_fetch", lambda _, target, __: target.write(b"file\nin/a.jpg\n"))
    with pytest.raises(FormatError, match=r"has addresses .*, and no paths"):
        contents(table_file.Url("https://x.example/t.csv"))  # type: ignore[arg-type]
