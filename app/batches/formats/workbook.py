"""What is in an XLSX file: its sheets, and which of them is meant. Raises `FormatError` for what is none, or is none that can be read."""

from __future__ import annotations

import posixpath
import zipfile
import zlib
from dataclasses import dataclass
from typing import TYPE_CHECKING
from xml.etree import ElementTree as ET

from app.batches.formats import packed
from app.batches.formats.columns import nearest
from app.batches.formats.json_file import FormatError

if TYPE_CHECKING:
    from pathlib import Path
    from xml.etree.ElementTree import Element

#: what a package and its XML raise where they are broken
BROKEN = (zipfile.BadZipFile, zlib.error, EOFError, KeyError, NotImplementedError, RuntimeError, ET.ParseError)
_OLE = b"\xd0\xcf\x11\xe0"


@dataclass(frozen=True)
class Sheet:
    """A sheet with cells. `part`: its file in the package."""

    name: str
    part: str
    is_hidden: bool = False


def sheets(path: Path) -> list[Sheet]:
    """All of them, in the order of their tabs."""
    with path.open("rb") as file:
        start = file.read(1024)
        if start.startswith(_OLE):
            raise FormatError(
                f"{path}: it is protected by a password, or in the format of Excel before 2007. Save it as .xlsx without a"
                " password."
            )
    if start and not start.startswith(b"PK") and b"\0" not in start:
        raise FormatError(f"{path}: it is text, such as CSV or JSON, and not a workbook: name it by what it is.")
    try:
        with zipfile.ZipFile(path) as package:
            _check_size(path, package)
            return list(_sheets(package))
    except BROKEN as error:
        raise FormatError(f"{path}: not a workbook of XLSX, or a broken one: {error}") from error


def chosen(path: Path, name: str | None) -> Sheet:
    """The sheet of that name; else the first that is not hidden."""
    found = sheets(path)
    names = [sheet.name for sheet in found]
    if name is not None:
        if name not in names:
            raise FormatError(
                f"{path}: there is no sheet '{name}'. {nearest(name, names)}There are: {', '.join(names)}."
            )
        return found[names.index(name)]
    if not found:
        raise FormatError(f"{path}: it has no sheet with cells.")
    return next((sheet for sheet in found if not sheet.is_hidden), found[0])


def _check_size(path: Path, package: zipfile.ZipFile) -> None:
    most = packed.bound(path.stat().st_size)
    if sum(part.file_size for part in package.infolist()) > most:
        raise FormatError(f"{path}: it holds more than {most:,} bytes, {packed.MAX_RATIO} times its size.")


def _sheets(package: zipfile.ZipFile) -> list[Sheet]:
    book = next(target for kind, target in _related(package, "").values() if kind == "officeDocument")
    related = _related(package, book)
    found = []
    for one in _parsed(package.read(book)).iter():
        if _local(one.tag) != "sheet":
            continue
        place = next((value for name, value in one.attrib.items() if _local(name) == "id"), "")
        kind, part = related.get(place, ("", ""))
        if kind == "worksheet":
            found.append(Sheet(one.attrib["name"], part, one.attrib.get("state", "visible") != "visible"))
    return found


def _related(package: zipfile.ZipFile, part: str) -> dict[str, tuple[str, str]]:
    """By its id: the kind and the part that another part relates to."""
    folder, name = posixpath.split(part)
    found = {}
    for one in _parsed(package.read(posixpath.join(folder, "_rels", f"{name}.rels"))):
        target = one.attrib.get("Target", "")
        # Absolute ones begin at the package's root.
        whole = target[1:] if target.startswith("/") else posixpath.normpath(posixpath.join(folder, target))
        found[one.attrib.get("Id", "")] = one.attrib.get("Type", "").rpartition("/")[2], whole
    return found


def _parsed(text: bytes) -> Element:
    return ET.fromstring(text)  # noqa: S314 - expat has bounded what entities become since 2.4.1


def _local(name: str) -> str:
    return name.rpartition("}")[2]
