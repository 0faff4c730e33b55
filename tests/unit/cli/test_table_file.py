"""Tables from pipes, addresses and compressed files; what can't be read whole is refused in one line, and nothing is made."""

from __future__ import annotations

import gzip
import io
import json
import os
import shutil
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from app.batches.formats import packed
from app.batches.formats.json_file import FormatError
from app.batches.storage.bucket import Bucket
from app.settings import SettingsError
from ops.cli.batch import source, table_file
from ops.cli.batch.table_file import Url

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.s3 import S3ForTests

TABLE = b"id;text\n007;hi\n"


def texts(place: Path | Url, **how: Any) -> list[str]:
    """What is asked of each row."""
    with source.opened(place, source.How(template="{text}", **how)) as found:
        assert found.table is not None
        return [json.loads(one)["body"]["messages"][0]["content"] for one in found.file]


def zstd(data: bytes) -> bytes:
    made = io.BytesIO()
    with packed.packing_into(made, packed.ZSTD) as target:
        target.write(data)
    return made.getvalue()


@pytest.mark.parametrize("pack", [gzip.compress, zstd])
def test_a_compressed_table(tmp_path: Path, pack: Any) -> None:
    """It is known by its first bytes, cut short it is refused, and a bomb is left before the disk is full."""
    path = tmp_path / f"a.csv.{'gz' if pack is gzip.compress else 'zst'}"
    path.write_bytes(pack(TABLE))
    assert texts(path) == ["hi"]
    path.write_bytes(pack(TABLE * 100)[:-5])
    with pytest.raises(FormatError, match=rf"{path}: its compression is broken: .* Is the file whole\?"):
        texts(path)
    path.write_bytes(pack(b"id;text\n1\n"))
    with pytest.raises(FormatError, match=rf"^{path}:2: fewer fields"):
        texts(path)


def test_a_bomb(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What holds more than two hundred times its size is no table."""
    monkeypatch.setattr(packed, "ALWAYS_BYTES", 1024)
    path = tmp_path / "a.csv"
    path.write_bytes(gzip.compress(b"id;text\n" + b"1;x\n" * 1_000_000))
    with pytest.raises(FormatError, match=f"{path}: it holds more than .* bytes, 200 times its size"):
        texts(path)


def test_a_pipe(monkeypatch: pytest.MonkeyPatch) -> None:
    """`-` is standard input; what it has is said, or seen by its first bytes."""
    for data, kind in ((TABLE, "csv"), (b'[{"text": "hi"}]', None), (b'{"text": "hi"}\n', None)):
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(data)))
        assert texts(Path("-"), format=kind) == ["hi"]
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(TABLE)))
    with pytest.raises(SettingsError, match="standard input: what is it"):
        texts(Path("-"))
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"id;text\n1\n")))
    with pytest.raises(FormatError, match=r"^standard input:2: fewer fields"):
        texts(Path("-"), format="csv")


def test_a_table_that_changes_while_it_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is refused: nobody knows which of the two it is."""
    path = tmp_path / "a.csv"
    path.write_bytes(TABLE)

    def copy(file: Any, target: Any) -> None:
        target.write(file.read())
        path.write_bytes(TABLE + b"8;more\n")
        os.utime(path, ns=(1, 1))

    monkeypatch.setattr(shutil, "copyfileobj", copy)
    with pytest.raises(FormatError, match=f"{path}: it was changed while it was read"):
        texts(path)


@pytest.fixture
def address(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            place = {
                "/moved": "/a.csv",
                "/private": "http://10.0.0.1/a.csv",
                "/plain": "http://93.184.215.14/a.csv",
                "/round": "/round",
            }.get(self.path)
            body = b"" if place else {"/a.csv": TABLE, "/big.csv": TABLE * 100}.get(self.path, b"no")
            self.send_response(302 if place else 200 if body != b"no" else 404)
            if place:
                self.send_header("Location", place)
            self.send_header("Content-Length", str(len(body) + (self.path == "/cut.csv")))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *args: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    monkeypatch.setenv("NIGHTSHIFT_CALLBACK_ALLOWED_HOSTS", f"127.0.0.1:{server.server_port}")
    monkeypatch.setenv("NIGHTSHIFT_MAX_FILE_BYTES", "1000")
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


def test_an_address(address: str) -> None:
    """A table is fetched by the outbound guard, which looks at each redirect as well."""
    assert texts(Url(f"{address}/a.csv")) == ["hi"]
    assert texts(Url(f"{address}/moved"), format="csv") == ["hi"]
    for path, says in (
        ("/none.csv", "its server answered 404"),
        ("/private", "a private address.* It redirects to http://10.0.0.1/a.csv"),
        ("/plain", "by https:// only"),
        ("/round", "redirects more than 5 times"),
        ("/big.csv", "more than 1,000 bytes"),
    ):
        with pytest.raises((FormatError, SettingsError), match=says):
            texts(Url(f"{address}{path}"))


def test_an_object_store(s3: S3ForTests, monkeypatch: pytest.MonkeyPatch) -> None:
    """A table is read from a bucket, in ranges of one version of it; what is not there is named."""
    monkeypatch.setattr(table_file, "_RANGE_BYTES", 5)
    bucket = Bucket("s3://nightshift")
    bucket.overwrite("of/a.csv.gz", gzip.compress(TABLE))
    assert texts(Url("s3://nightshift/of/a.csv.gz")) == ["hi"]
    with pytest.raises(FormatError, match=r"s3://nightshift/of/b\.csv: there is no such object"):
        texts(Url("s3://nightshift/of/b.csv"))
    with pytest.raises(FormatError, match=r"s3://none/b\.csv: there is no"):
        texts(Url("s3://none/b.csv"))
    heads = Bucket.head

    def changed(self: Bucket, path: str) -> Any:
        found = heads(self, path)
        bucket.overwrite("of/a.csv.gz", gzip.compress(TABLE * 2))
        return found

    monkeypatch.setattr(Bucket, "head", changed)
    with pytest.raises(FormatError, match="it was changed while it was read"):
        texts(Url("s3://nightshift/of/a.csv.gz"))
    assert s3.requests
