"""What every answer says to browsers."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any

from werkzeug.routing import BuildError

if TYPE_CHECKING:
    from flask.testing import FlaskClient


def test_every_answer_says_what_browsers_may_do_with_it(client: FlaskClient) -> None:
    """Pages, JSON, metrics and errors, of each route and of none: no type but the one it says, no frame, no referrer to others."""
    paths = {"/v1/none"}
    with client.application.test_request_context():
        for rule in client.application.url_map.iter_rules():
            if "GET" in (rule.methods or ()) and rule.rule != "/page/live":
                try:
                    built = rule.build(dict.fromkeys(rule.arguments, 1), append_unknown=False)
                except BuildError:
                    built = None
                paths.add(built[1] if built else rule.rule)
    assert len(paths) > 30
    for path in sorted(paths):
        with client.get(path) as reply:
            headers = reply.headers
        assert headers["X-Content-Type-Options"] == "nosniff", path
        assert headers["Referrer-Policy"] in ("no-referrer", "same-origin"), path
        assert "frame-ancestors 'none'" in headers["Content-Security-Policy"], path
        assert (
            "'unsafe-inline'" not in headers["Content-Security-Policy"].partition("script-src")[2].partition(";")[0]
        ), path
        assert headers["Cache-Control"], path


def test_a_file_is_data_to_a_browser(client: FlaskClient) -> None:
    """What somebody uploaded is never shown as a page of this server, whatever it holds and is called."""
    sent = {"purpose": "user_data", "file": (io.BytesIO(b"<script>alert(1)</script>"), "page.html")}
    made: Any = client.post("/v1/files", data=sent).json
    with client.get(f"/v1/files/{made['id']}/content") as reply:
        assert reply.data.startswith(b"<script>")
        assert reply.headers["Content-Type"] == "application/octet-stream"
        assert reply.headers["Content-Disposition"].startswith("attachment")
        assert "sandbox" in reply.headers["Content-Security-Policy"]
        assert reply.headers["Cache-Control"] == "no-store"
        assert reply.headers["Cross-Origin-Resource-Policy"] == "same-origin"
