"""Images by address: fetched through the guard, bounded, and passed on as bytes."""

from __future__ import annotations

import base64
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

import pytest

from app import messages
from app.errors import ErrorReply
from app.outbound import OutboundClient, check_url
from app.settings import Settings
from workers import remote_images

if TYPE_CHECKING:
    from collections.abc import Iterator

    from app.outbound import Reply
    from app.outbound.target import CheckedTarget

PNG = b"\x89PNG\r\n\x1a\n" + b"x" * 100


class Plain(OutboundClient):
    """Speaks plain HTTP to the test's server, as a certificate for loopback would prove nothing here."""

    def request(self, method: str, target: CheckedTarget, **options: Any) -> Reply:
        plain = check_url(f"http://127.0.0.1:{target.port}{target.path}", ("127.0.0.1",))
        return super().request(method, plain, **options)


@pytest.fixture
def port() -> Iterator[int]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            status, kind, body = {
                "/a.png": (200, "image/png", PNG),
                "/big.png": (200, "image/png", PNG * 1000),
                "/page": (200, "text/html", b"<html>"),
                "/moved": (302, "image/png", b""),
            }[self.path]
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *args: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server.server_port
    server.shutdown()
    server.server_close()


def payload(url: str) -> dict[str, Any]:
    part = {"type": "image_url", "image_url": {"url": url, "detail": "low"}}
    message = {"role": "user", "content": [{"type": "text", "text": "look"}, part]}
    return {"claude_model": "sonnet", "request": {"model": "sonnet", "messages": [message]}}


SETTINGS = Settings(callback_allowed_hosts=("127.0.0.1",), max_image_bytes=10_000)


def test_an_image_is_put_in_its_addresss_place(port: int) -> None:
    """The part holds the image as a data URL, all else stays, and the payload that came in is not changed."""
    sent = payload(f"https://127.0.0.1:{port}/a.png")
    found = remote_images.inlined(sent, SETTINGS, client=Plain())
    part = found["request"]["messages"][0]["content"][1]["image_url"]
    assert part == {"url": f"data:image/png;base64,{base64.b64encode(PNG).decode()}", "detail": "low"}
    assert sent["request"]["messages"][0]["content"][1]["image_url"]["url"].startswith("https://")


@pytest.mark.parametrize("path", ["/big.png", "/page", "/moved"])
def test_what_is_no_image_of_a_bearable_size_is_the_callers_fault(port: int, path: str) -> None:
    """Too big, another type or a redirect is a 400 that names the part."""
    with pytest.raises(ErrorReply) as refused:
        remote_images.inlined(payload(f"https://127.0.0.1:{port}{path}"), SETTINGS, client=Plain())
    assert (refused.value.status, refused.value.param) == (400, "messages[0].content[1].image_url")


@pytest.mark.parametrize("url", ["https://10.0.0.1/a.png", "https://169.254.169.254/latest", "https://localhost/a.png"])
def test_addresses_that_are_not_public_are_refused(url: str) -> None:
    """No request can have us look into our own network."""
    with pytest.raises(ErrorReply) as refused:
        remote_images.inlined(payload(url), Settings())
    assert refused.value.code == "invalid_image_url"


def test_a_request_without_remote_images_is_not_touched() -> None:
    """The common case costs nothing: there is no image to fetch."""
    for url, images in (
        ("data:image/png;base64,QUJD", []),
        ("https://example.com/a.png", [(0, 1, "https://example.com/a.png")]),
    ):
        assert messages.remote_images(payload(url)["request"]["messages"]) == images
