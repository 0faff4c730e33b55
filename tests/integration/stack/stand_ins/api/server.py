"""Answers every GET with 200, and notes its environment in the data dir."""

import json
import os
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


Path(os.environ["NIGHTSHIFT_DATA_DIR"], "api.json").write_text(json.dumps(dict(os.environ)))
HTTPServer(("127.0.0.1", int(os.environ["NIGHTSHIFT_PORT"])), Handler).serve_forever()
