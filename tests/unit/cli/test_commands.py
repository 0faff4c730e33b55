from __future__ import annotations

import importlib
import json
import logging
import subprocess
import sys
from pathlib import Path
from types import MappingProxyType
from typing import Literal

import pytest

from app import logs
from app.secret_values import secrets_of
from app.settings import Settings
from ops.cli import main, screen

ROOT = Path(__file__).parents[3]


@pytest.fixture(autouse=True)
def _no_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    """None of the settings of whoever runs the tests, and no ids of another test's request in the lines."""
    logs.begin()
    for name in Settings().to_environment():
        monkeypatch.delenv(name, raising=False)


@pytest.mark.parametrize("command", [["worker"], ["callbacks"], ["api"]])
def test_parts_alone_need_a_redis(command: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """What runs alone says that REDIS_URL is missing, with exit status 2."""
    assert main.main(command) == 2
    assert "REDIS_URL is not set" in capsys.readouterr().err


def test_a_wrong_setting_is_named(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """The variable and its value are in the message, and the exit status is 2."""
    monkeypatch.setenv("NIGHTSHIFT_PORT", "many")
    assert main.main(["up"]) == 2
    assert "NIGHTSHIFT_PORT='many'" in capsys.readouterr().err


@pytest.mark.parametrize(
    "argv",
    [
        ["up", "--workers", "0"],
        ["up", "--port", "70000"],
        ["up", "--port", "x"],
        ["up", "--nonsense"],
        ["nonsense"],
        ["batch", "cancel"],
        ["batch", "continue", "batch_1", "--max-cost", "nan"],
        ["batch", "submit", "FILE", "--max-cost", "-1"],
        ["batch", "validate", "FILE", "another"],
        ["batch"],
        [],
    ],
)
def test_wrong_use_is_refused(argv: list[str]) -> None:
    """The exit status is 2."""
    assert main.main(argv) == 2


@pytest.mark.parametrize(
    ("argv", "shown"), [(["help"], "Start everything"), (["help", "batch", "cancel"], "what runs is stopped")]
)
def test_help_is_a_command_too(argv: list[str], shown: str, capsys: pytest.CaptureFixture[str]) -> None:
    """`help COMMAND` is `COMMAND --help`."""
    assert main.main(argv) == 0
    assert shown in capsys.readouterr().out


def test_a_number_that_is_none_is_told_what_it_takes(capsys: pytest.CaptureFixture[str]) -> None:
    """The message has the range and what was given."""
    assert main.main(["up", "--port", "abc"]) == 2
    assert "--port: takes 0 to 65535, not 'abc'" in capsys.readouterr().err


@pytest.mark.parametrize(
    "path",
    [path for path, _ in (*main.COMMANDS.values(), *main.BATCH_COMMANDS.values(), *main.SERVICE_COMMANDS.values())],
)
def test_every_command_is_there(path: str) -> None:
    """Commands are imported when they are called: each path leads to a function."""
    module, _, name = path.partition(":")
    assert callable(getattr(importlib.import_module(f"ops.cli.{module}"), name))


def test_a_text_may_begin_with_a_hyphen(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A template is a text, whatever it begins with; of an option that is there twice the last counts."""
    path = tmp_path / "a.csv"
    path.write_text("text\nhi\n")
    argv = ["batch", "validate", str(path), "--model", "nonsense", "--model=haiku", "--template", "- {text}"]
    assert main.main(argv) == 0
    assert "1 requests, no fault" in capsys.readouterr().out


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_knows_commands_and_options(shell: Literal["bash", "zsh", "fish"]) -> None:
    """The script that `--install-completion` writes has them."""
    script = main.app().generate_completion(shell=shell)
    for word in ("callbacks", "validate", "completion-window", "jsonl"):
        assert word in script


def test_no_workers_are_refused(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """`NIGHTSHIFT_WORKERS=0` is named as what it is."""
    monkeypatch.setenv("NIGHTSHIFT_WORKERS", "0")
    monkeypatch.delenv("REDIS_URL", raising=False)
    assert main.main(["up", "--offline"]) == 2
    assert "NIGHTSHIFT_WORKERS is 0" in capsys.readouterr().err


def test_a_reserve_of_all_workers_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where batches could never run, nothing is started."""
    monkeypatch.delenv("REDIS_URL", raising=False)
    argv = ["up", "--offline", "--workers", "2", "--reserve", "2", "--data-dir", str(tmp_path / "never")]
    assert main.main(argv) == 2
    assert "--reserve 2 of 2 workers: no batch line would ever run" in capsys.readouterr().err
    assert not (tmp_path / "never").exists()


def test_version_names_what_it_stands_on(capsys: pytest.CaptureFixture[str]) -> None:
    """For bug reports: our version, and those of the parts that matter."""
    assert main.main(["version"]) == 0
    printed = capsys.readouterr().out
    assert printed.startswith("nightshift ")
    assert "claude-agent-sdk " in printed


def test_the_screen_has_addresses_login_and_a_curl(tmp_path: Path) -> None:
    """Everything a newcomer needs is on one screen of 24 lines; a new secret is on it once."""
    shown = screen.text(Settings(data_dir=tmp_path), ("127.0.0.1", 8204), "an API key", "whsec_x", embedded=True)
    for part in (
        "http://127.0.0.1:8204/v1",
        "http://127.0.0.1:8204/\n",
        "/health",
        "an API key",
        str(tmp_path),
        "whsec_x",
        "curl",
    ):
        assert part in shown
    assert len(shown.splitlines()) <= 24
    assert "OFFLINE" not in shown


def test_a_secret_is_not_shown_to_a_journal(tmp_path: Path) -> None:
    """It would be kept there: the screen says which file has it."""
    settings = Settings(data_dir=tmp_path)
    shown = screen.text(settings, ("127.0.0.1", 8204), "an API key", "whsec_x", embedded=True, is_kept=True)
    assert "whsec_x" not in shown
    assert str(tmp_path / "webhook-secret") in shown


def test_the_screen_says_that_answers_are_simulated(tmp_path: Path) -> None:
    """Offline it says so, and asks for keys where there are some."""
    settings = Settings(data_dir=tmp_path, offline=True, host="::", api_keys=("k",))
    shown = screen.text(settings, ("::", 8204), None, None, embedded=True)
    assert "OFFLINE: answers are simulated" in shown
    assert "http://[::1]:8204" in shown
    assert "Authorization: Bearer" in shown
    assert "Bearer k" not in shown


@pytest.mark.parametrize(
    ("host", "bound", "listens_on"),
    [
        ("localhost", "127.0.0.1", "127.0.0.1:8204, for this machine only"),
        ("0.0.0.0", "0.0.0.0", "0.0.0.0:8204, every address of this machine"),
        ("::", "::", "[::]:8204, every address of this machine"),
        ("myself", "192.0.2.7", "192.0.2.7:8204\n"),
    ],
)
def test_the_screen_says_who_can_reach_it(tmp_path: Path, host: str, bound: str, listens_on: str) -> None:
    """The address that the socket has, which need not be the one to try it by."""
    shown = screen.text(Settings(data_dir=tmp_path, host=host), (bound, 8204), "an API key", None, embedded=True)
    assert f"Listens on {listens_on}" in shown


@pytest.mark.parametrize("formatter", [logs.ForPeople("w"), logs.JsonLines("w")])
def test_a_line_has_an_end(formatter: logging.Formatter) -> None:
    """Of a message of megabytes, and of an error's, the beginning and the end are logged."""
    assert len(formatter.format(_record("a" * 5_000_000 + "z"))) < 2 * logs.MAX_MESSAGE
    record = _record("m")
    try:
        raise OSError("a" * 5_000_000)
    except OSError:
        record.exc_info = sys.exc_info()
    assert len(formatter.format(record)) < 2 * logs.MAX_MESSAGE


def _record(message: str, **extra: object) -> logging.LogRecord:
    return logging.getLogger("a.logger").makeRecord(
        "a.logger", logging.INFO, "f", 1, message, (), None, extra=MappingProxyType(extra)
    )


def test_http_clients_log_no_requests() -> None:
    """Their own lines repeat ours, and have the whole URL, a password in it included."""
    code = (
        "import httpx, httpx2; from app import logs; from app.settings import Settings; logs.configure(Settings(), 'w')\n"
        "for one in (httpx, httpx2):\n"
        "    with one.Client(transport=one.MockTransport(lambda _: one.Response(200))) as client:\n"
        "        client.get('http://user:password@127.0.0.1/')"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stderr == ""


def test_a_log_line_is_one_line() -> None:
    """Line breaks and control characters in a message can't forge a line or move the cursor."""
    line = logs.ForPeople("worker-1").format(_record("one\ntwo\x1b[2J", job_id="chatcmpl-1"))
    assert line.endswith(r"INFO    worker-1 | one\ntwo\x1b[2J  job_id=chatcmpl-1")
    with logs.about(worker="worker-1"):
        assert logs.ForPeople("worker-1").format(_record("m")).endswith("worker-1 | m")
    assert "\n" not in line


def test_a_json_line_has_the_known_extras_only() -> None:
    """What is not on the list, a prompt say, is not logged."""
    found = json.loads(logs.JsonLines("api").format(_record("done", request_id="r", prompt="secret")))
    assert found | {"time": ""} == {
        "time": "",
        "level": "info",
        "process": "api",
        "logger": "a.logger",
        "message": "done",
        "request_id": "r",
    }


def test_an_exception_is_in_its_json_line() -> None:
    """A traceback stays in the line of its message; the text of what might quote a request, a ValueError say, is left out."""
    prompt = "my prompt"
    try:
        try:
            raise ValueError(prompt)
        except ValueError as error:
            raise RuntimeError("where") from error
    except RuntimeError as error:
        record = logging.getLogger("a").makeRecord("a", logging.ERROR, "f", 1, "m", (), (RuntimeError, error, None))
    shown = json.loads(logs.JsonLines("api").format(record))["exception"]
    assert "RuntimeError: where" in shown
    assert shown.endswith("ValueError")
    assert "raise ValueError(prompt)" in shown
    assert prompt not in shown


def test_a_line_has_the_ids_of_what_it_is_about() -> None:
    """Of the surrounding work, and its own before them; outside there are none."""
    formatter = logs.JsonLines("api")
    with logs.about(request_id="r", job_id="j"), logs.about(batch_id="b"):
        found = json.loads(formatter.format(_record("m", job_id="other")))
    assert (found["request_id"], found["job_id"], found["batch_id"]) == ("r", "other", "b")
    assert "request_id" not in json.loads(formatter.format(_record("m")))


def test_secrets_are_struck_out() -> None:
    """A client's key, the webhooks' secret and Claude's login are in no line, whoever puts them there."""
    login = MappingProxyType({"ANTHROPIC_API_KEY": "sk-ant-1234567", "PATH": "/usr/bin:/bin"})
    settings = Settings(api_keys=("first-key", "k"), webhook_secret="whsec_abcdef", claude_environment=login)
    secrets = secrets_of(settings)
    line = logs.ForPeople("api", secrets).format(_record("first-key whsec_abcdef sk-ant-1234567 /usr/bin:/bin ok"))
    assert line.endswith("| *** *** *** /usr/bin:/bin ok")
