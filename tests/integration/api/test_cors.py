"""Which pages' scripts may ask here and read the answers, by real preflights and in a real browser."""

from __future__ import annotations

import contextlib
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING

import pytest

from app.settings import Settings, SettingsError
from tests.integration.api.running import RunningApi, api
from tests.redis_server import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator

    from redis import Redis

    from tests.browser import Browser
    from tests.redis_server import RedisForTests

KEY = "key-of-a-page"
NAMED, OTHER = "https://app.example.com", "https://other.example.com"
PREFLIGHT = {
    "Access-Control-Request-Method": "POST",
    "Access-Control-Request-Headers": "authorization,content-type,x-stainless-lang",
}
BODY = {"model": "nobody", "messages": [{"role": "user", "content": "hi"}]}
#: asks as OpenAI's client in a page does, and writes down what it may read
SCRIPT = """
<title>asking</title><script>
fetch("http://127.0.0.1:%d/v1/chat/completions", {
  method: "POST", headers: {"Authorization": "Bearer %s", "Content-Type": "application/json"}, body: '{"model": "nobody"}',
}).then(async (r) => { document.title = r.status + " " + (await r.json()).error.param + " " + !!r.headers.get("x-request-id") })
  .catch((error) => { document.title = "refused: " + error.name });
</script>"""


@contextlib.contextmanager
def page(html: list[str]) -> Iterator[str]:
    """A site with one page; its origin."""

    class Site(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "text/html")
            self.end_headers()
            self.wfile.write(html[0].encode())

        def log_message(self, *args: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Site) as site:
        thread = threading.Thread(target=site.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{site.server_port}"
        site.shutdown()
        thread.join()


@pytest.fixture(scope="module")
def site() -> Iterator[tuple[str, list[str]]]:
    """A site's origin, and its page's HTML, which tests set."""
    html = [""]
    with page(html) as origin:
        yield origin, html


@pytest.fixture(scope="module")
def server(_redis_for_session: RedisForTests, site: tuple[str, list[str]]) -> Iterator[RunningApi]:
    """An API with keys that a site of this machine and one elsewhere may ask."""
    with api(_redis_for_session.url, NIGHTSHIFT_API_KEYS=KEY, NIGHTSHIFT_CORS_ORIGINS=f"{NAMED},{site[0]}") as running:
        yield running


def test_a_preflight_of_a_named_origin(server: RunningApi) -> None:
    """It is answered without a key, which no preflight carries, with all that the request needs."""
    found = server.ask("OPTIONS", "/v1/chat/completions", headers={"Origin": NAMED, **PREFLIGHT})
    assert (found.status, found.body) == (204, b"")
    assert found.headers["access-control-allow-origin"] == NAMED
    assert "POST" in found.headers["access-control-allow-methods"]
    assert found.headers["access-control-allow-headers"] == PREFLIGHT["Access-Control-Request-Headers"]
    assert "origin" in found.headers["vary"].lower()
    assert "access-control-allow-credentials" not in found.headers


@pytest.mark.parametrize(
    ("origin", "path"),
    [(OTHER, "/v1/models"), (f"{NAMED}.evil.com", "/v1/models"), ("null", "/v1/models"), (NAMED, "/page/pause")],
)
def test_others_are_not_let_in(server: RunningApi, origin: str, path: str) -> None:
    """No other origin, and no path for people, gets a header that a browser would let a script read the answer for."""
    for method, headers in (("OPTIONS", PREFLIGHT), ("GET", {"Authorization": f"Bearer {KEY}"})):
        found = server.ask(method, path, headers={"Origin": origin, **headers})
        assert not [name for name in found.headers if name.startswith("access-control")]


def test_answers_and_errors_can_be_read(server: RunningApi) -> None:
    """Whatever comes of it, the page may read it, and the headers beside it; a key is needed as ever."""
    key = {"Authorization": f"Bearer {KEY}"}
    for path, body, headers, status in (
        ("/v1/models", None, key, 200),
        ("/v1/chat/completions", BODY, key, 404),
        ("/v1/models", None, {}, 401),
    ):
        found = server.ask("GET" if body is None else "POST", path, body, {"Origin": NAMED, **headers})
        assert (found.status, found.headers["access-control-allow-origin"]) == (status, NAMED)
        assert "x-request-id" in found.headers["access-control-expose-headers"]


def test_off_by_default(redis_url: str) -> None:
    """Without the setting no page of another origin may ask or read: 403 without keys, and never a header of CORS."""
    with api(redis_url) as running:
        for origin in (NAMED, "http://localhost:3000"):
            found = running.ask("OPTIONS", "/v1/models", headers={"Origin": origin, **PREFLIGHT})
            assert not [name for name in found.headers if name.startswith("access-control")]
        assert running.ask("GET", "/v1/models", headers={"Origin": NAMED}).status == 403


def test_without_keys_a_named_page_may_ask(redis_url: str) -> None:
    """The page's browser is on this machine; pages that are not named stay outside, and named ones out of what is for people."""
    with api(redis_url, NIGHTSHIFT_CORS_ORIGINS=NAMED) as running:
        assert running.ask("GET", "/v1/models", headers={"Origin": NAMED}).status == 200
        assert running.ask("GET", "/v1/models", headers={"Origin": OTHER}).status == 403
        assert running.ask("GET", "/rq/", headers={"Origin": NAMED}).status == 403


@pytest.mark.parametrize("key", [KEY, "wrong"])
def test_a_browser_reads_the_answer(
    server: RunningApi, connection: Redis, browser: Browser, site: tuple[str, list[str]], key: str
) -> None:
    """A script of a named page asks with its key, and reads status, body and id, of refusals too."""
    del connection
    origin, html = site
    html[0] = SCRIPT % (server.port, key)
    browser.open(origin)
    expected = "400 messages true" if key == KEY else "401 null true"
    wait_until(lambda: browser.driver.title == expected, f"{expected}, not {browser.driver.title}")


def test_a_browser_keeps_other_pages_out(redis_url: str, browser: Browser, site: tuple[str, list[str]]) -> None:
    """Without the setting the browser itself refuses the script the answer."""
    origin, html = site
    with api(redis_url, NIGHTSHIFT_API_KEYS=KEY) as running:
        html[0] = SCRIPT % (running.port, KEY)
        browser.open(origin)
        wait_until(lambda: browser.driver.title == "refused: TypeError", "the browser's refusal")


@pytest.mark.parametrize(
    "origins", ["*", "app.example.com", "https://app.example.com/", "https://a.com,https://b.com/x"]
)
def test_what_is_no_origin_is_refused(origins: str) -> None:
    """Origins are named one by one, as browsers spell them."""
    with pytest.raises(SettingsError, match="NIGHTSHIFT_CORS_ORIGINS"):
        Settings.from_environment({"NIGHTSHIFT_CORS_ORIGINS": origins})
