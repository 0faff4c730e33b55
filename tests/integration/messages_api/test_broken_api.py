"""The engine before an API that does what no API should: each has its failure, and the next question is answered."""

from __future__ import annotations

import json
import ssl
import subprocess
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

import pytest

from app.messages.failure import FailureKind, TurnFailed
from app.ways import Step, Way
from tests.integration.claude.conftest import settings_for
from tests.integration.messages_api.test_engine import asked
from workers.messages_api import ApiEngine

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

START = {"type": "message_start", "message": {"id": "m", "model": "claude-x", "usage": {"input_tokens": 1}}}
BLOCK = {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}}
TEXT = {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "yes"}}
END = {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {}}
STOP = {"type": "message_stop"}
WHOLE = [START, BLOCK, TEXT, END, STOP]


def stream(*events: Any) -> bytes:
    return b"".join(f"event: {one['type']}\ndata: {json.dumps(one)}\n\n".encode() for one in events)


class Api(ThreadingHTTPServer):
    """Answers each request with the next of `answers`: headers and pieces of a body; a number is a pause, seconds."""

    daemon_threads = True

    def __init__(self) -> None:
        self.answers: list[tuple[int, dict[str, str], list[bytes | float]]] = []
        self.connections: set[Any] = set()
        self.requests: list[tuple[str, dict[str, str]]] = []
        self.gone = threading.Event()
        self.closes_each = False
        self.is_silent = False
        super().__init__(("127.0.0.1", 0), _Handler)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    def will(self, *pieces: bytes | float, status: int = 200, **headers: str) -> None:
        found = {
            "Content-Type": "text/event-stream",
            **{name.replace("_", "-"): value for name, value in headers.items()},
        }
        self.answers.append((status, found, list(pieces)))


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Api

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        self.server.connections.add(self.client_address)
        self.server.requests.append((self.path, dict(self.headers)))
        if self.server.is_silent:
            self.rfile.read(1)  # until the client has gone
            self.close_connection = True
            return
        status, headers, pieces = self.server.answers.pop(0)
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        try:
            for piece in pieces:
                if isinstance(piece, float):
                    time.sleep(piece)
                    continue
                self.wfile.write(b"%x\r\n%s\r\n" % (len(piece), piece))
                self.wfile.flush()
            self.wfile.write(b"0\r\n\r\n")
            self.close_connection = self.server.closes_each
        except OSError:
            self.server.gone.set()

    def log_message(self, *_: object) -> None: ...


@pytest.fixture
def api() -> Iterator[Api]:
    with Api() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture
def engine(api: Api, tmp_path: Path) -> Iterator[ApiEngine]:
    with ApiEngine(settings_for(api.url, tmp_path, ways=(Step(Way.API),), stall_seconds=2.0), name="api") as made:
        yield made


def ask(engine: ApiEngine, seconds: float = 60.0) -> str:
    return engine.ask(asked(), time.monotonic() + seconds).text


def failure_of(engine: ApiEngine, seconds: float = 60.0) -> TurnFailed:
    with pytest.raises(TurnFailed) as caught:
        ask(engine, seconds)
    return caught.value


PING = stream({"type": "ping"})
PINGS = [stream(START), *(one for _ in range(50) for one in (PING, 0.2))]


@pytest.mark.parametrize(
    ("pieces", "headers", "kind"),
    [
        ([b"<html>all is well</html>"], {"Content_Type": "text/html"}, FailureKind.SERVER),
        ([json.dumps({"content": []}).encode()], {"Content_Type": "application/json"}, FailureKind.SERVER),
        ([], {}, FailureKind.SERVER),
        ([stream(*WHOLE[:4])], {}, FailureKind.SERVER),
        ([stream(*WHOLE[:3], STOP)], {}, FailureKind.SERVER),
        ([stream(*WHOLE[:2])[:-30]], {}, FailureKind.SERVER),
        ([stream(TEXT, END, STOP)], {}, FailureKind.SERVER),
        ([b"data: null\n\n"], {}, FailureKind.SERVER),
        ([b"data: \xff\xfe\n\n", stream(*WHOLE)], {}, FailureKind.SERVER),
        ([stream({**BLOCK, "index": None}), stream(TEXT)], {}, FailureKind.SERVER),
        (PINGS, {}, FailureKind.STALLED),
    ],
)
def test_what_is_no_answer_is_none(
    engine: ApiEngine, api: Api, pieces: list[bytes | float], headers: dict[str, str], kind: FailureKind
) -> None:
    """A status of 200 and an orderly end prove nothing, and pings are no sign of life."""
    api.will(*pieces, status=200, **headers)
    assert failure_of(engine).kind is kind
    api.will(stream(*WHOLE))
    assert ask(engine) == "yes"


def test_an_api_that_takes_a_request_and_says_nothing_has_stalled(engine: ApiEngine, api: Api) -> None:
    """Not even a status comes: the wait for it ends long before the deadline."""
    api.is_silent = True
    assert failure_of(engine).kind is FailureKind.STALLED
    api.is_silent = False
    api.will(stream(*WHOLE))
    assert ask(engine) == "yes"


def test_an_error_whose_body_never_comes_has_stalled(engine: ApiEngine, api: Api) -> None:
    """It is no answer, and the worker is free again."""
    api.will(*[0.1] * 100, status=500)
    assert failure_of(engine).kind is FailureKind.STALLED


def test_one_connection_serves_all(engine: ApiEngine, api: Api) -> None:
    """The end of each stream is read, too: a new connection would cost a handshake."""
    for _ in range(5):
        api.will(stream(*WHOLE))
        assert ask(engine) == "yes"
    assert len(api.connections) == 1


def test_a_connection_that_the_api_has_closed_is_not_used_again(engine: ApiEngine, api: Api) -> None:
    """Nobody has announced it, and no request is lost for it."""
    api.closes_each = True
    for _ in range(3):
        api.will(stream(*WHOLE))
        assert ask(engine) == "yes"
        time.sleep(0.5)  # the end has come by then
    assert len(api.connections) == 3


def test_an_answer_that_is_whole_does_not_wait_for_the_connection(api: Api, tmp_path: Path) -> None:
    """What follows `message_stop` is nobody's, and an API that keeps its stream open after it has not stalled."""
    with ApiEngine(settings_for(api.url, tmp_path, ways=(Step(Way.API),), stall_seconds=30.0), name="api") as engine:
        api.will(stream(*WHOLE), 5.0)
        began = time.monotonic()
        assert ask(engine) == "yes"
        assert time.monotonic() - began < 5


def test_events_in_any_pieces(engine: ApiEngine, api: Api) -> None:
    """Byte by byte, with comments and other line ends."""
    whole = stream(*WHOLE).replace(b"\n", b"\r\n") + b": bye\r\n\r\n"
    api.will(*(whole[at : at + 1] for at in range(len(whole))))
    assert ask(engine) == "yes"


def test_no_redirect_is_followed(engine: ApiEngine, api: Api) -> None:
    """The key goes to the address that was set, and to no other."""
    api.will(b"", status=307, Location=f"{api.url}/elsewhere")
    assert failure_of(engine).kind is FailureKind.SERVER
    assert [path for path, _ in api.requests] == ["/v1/messages"]


def test_an_error_without_end_is_read_so_far_only(engine: ApiEngine, api: Api) -> None:
    """Its status is known by then."""
    api.will(*([b"x" * 65536] * 2000), status=529, Content_Type="text/plain")
    assert failure_of(engine).kind is FailureKind.OVERLOADED
    assert api.gone.wait(10)


def test_an_interrupt_closes_the_connection(engine: ApiEngine, api: Api) -> None:
    """So that nothing more is written, or paid for, than has been."""
    pings: list[bytes | float] = [PING, 0.05] * 400
    api.will(stream(START), *pings)
    threading.Timer(0.2, engine.interrupt).start()
    assert failure_of(engine).kind is FailureKind.INTERRUPTED
    assert api.gone.wait(10)


def test_an_interrupt_between_questions_hits_none(engine: ApiEngine, api: Api) -> None:
    """The next question is asked as if nothing had been."""
    engine.interrupt()
    api.will(stream(*WHOLE))
    assert ask(engine) == "yes"


def test_an_api_that_is_not_there(tmp_path: Path) -> None:
    """A failure of the server's kind, which is tried again later."""
    with ApiEngine(settings_for("http://127.0.0.1:9", tmp_path, ways=(Step(Way.API),)), name="api") as engine:
        assert failure_of(engine).kind is FailureKind.SERVER


def test_a_deadline_that_has_passed_sends_nothing(engine: ApiEngine, api: Api) -> None:
    """Not even a connection is made."""
    assert failure_of(engine, seconds=-1).kind is FailureKind.DEADLINE
    assert api.requests == []


def test_a_closed_engine_asks_nothing(engine: ApiEngine) -> None:
    """And says so, however often it is closed."""
    engine.close()
    engine.close()
    assert failure_of(engine).kind is FailureKind.UNAVAILABLE
    assert (engine.is_ready(), engine.status().state) == (False, "closed")


def test_the_path_of_a_gateway_is_kept(api: Api, tmp_path: Path) -> None:
    """`ANTHROPIC_BASE_URL` may have one."""
    settings = settings_for(f"{api.url}/anthropic", tmp_path, ways=(Step(Way.API),))
    with ApiEngine(settings, name="api") as engine:
        api.will(stream(*WHOLE))
        assert ask(engine) == "yes"
    path, headers = api.requests[0]
    assert path == "/anthropic/v1/messages"
    assert headers["x-api-key"] == "key-for-tests"


@pytest.fixture
def certificate(tmp_path: Path) -> tuple[Path, Path]:
    """A self-signed one for 127.0.0.1, and its key."""
    cert, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    command = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=x"
    arguments = ["-addext", "subjectAltName=IP:127.0.0.1", "-keyout", str(key), "-out", str(cert)]
    try:
        subprocess.run([*command.split(), *arguments], check=True, capture_output=True)
    except FileNotFoundError:
        pytest.skip("needs the openssl command")
    return cert, key


@pytest.mark.parametrize(
    ("variable", "is_trusted"), [("NODE_EXTRA_CA_CERTS", True), ("SSL_CERT_FILE", True), ("UNRELATED", False)]
)
def test_an_authority_of_ones_own(
    api: Api, tmp_path: Path, certificate: tuple[Path, Path], variable: str, *, is_trusted: bool
) -> None:
    """Is trusted where a variable names it, and by nobody else."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*certificate)
    api.socket = context.wrap_socket(api.socket, server_side=True)
    login = {"ANTHROPIC_API_KEY": "k", variable: str(certificate[0])}
    url = api.url.replace("http:", "https:")
    with ApiEngine(settings_for(url, tmp_path, login, ways=(Step(Way.API),)), name="api") as engine:
        api.will(stream(*WHOLE))
        if is_trusted:
            assert ask(engine) == "yes"
        else:
            assert failure_of(engine).kind is FailureKind.SERVER
            assert api.requests == []


def test_a_proxy_is_used_and_passed_by(api: Api, tmp_path: Path) -> None:
    """`HTTP_PROXY` gets the request for another host, and `NO_PROXY` names hosts that are asked directly."""
    login = {"ANTHROPIC_API_KEY": "k", "HTTP_PROXY": api.url}
    with ApiEngine(settings_for("http://claude.example", tmp_path, login, ways=(Step(Way.API),)), name="api") as engine:
        api.will(stream(*WHOLE))
        assert ask(engine) == "yes"
    assert api.requests[0][0] == "http://claude.example/v1/messages"
    direct = {"ANTHROPIC_API_KEY": "k", "HTTP_PROXY": "http://127.0.0.1:9", "NO_PROXY": "127.0.0.1"}
    with ApiEngine(settings_for(api.url, tmp_path, direct, ways=(Step(Way.API),)), name="api") as engine:
        api.will(stream(*WHOLE))
        assert ask(engine) == "yes"
    assert api.requests[1][0] == "/v1/messages"
