"""Answers every GET with 200, and notes its environment in the data dir, in which a file `broken` ends it at once."""

import json
import os
import socket
import sys
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path


class Handler(BaseHTTPRequestHandler):
    """Fine, whatever is asked."""

    def do_GET(self) -> None:
        """200."""
        self.send_response(200)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Nothing."""


DATA_DIR = Path(os.environ["NIGHTSHIFT_DATA_DIR"])
if (DATA_DIR / "broken").exists():
    sys.exit("broken")
(DATA_DIR / "api.json").write_text(json.dumps(dict(os.environ)))
server = HTTPServer(("127.0.0.1", 0), Handler, bind_and_activate=False)
server.socket.close()
server.socket = socket.socket(fileno=int(sys.argv[sys.argv.index("--listen-fd") + 1]))
server.server_activate()
server.serve_forever()
