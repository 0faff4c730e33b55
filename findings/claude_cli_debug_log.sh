#!/usr/bin/env bash
# claude-agent-sdk 0.2.189 with the Claude CLI that its wheel bundles, Python 3.11: debug lines between the JSON lines.
#
# Expected: with `ANTHROPIC_LOG=debug`, the variable that makes Anthropic's client libraries log, the CLI logs to stderr, and
# with `--output-format stream-json` each line of stdout is still a JSON object, as documented.
#
# Seen: the client's log is written to stdout, dozens of plain lines ("sending request {", ...) between the JSON lines, and
# stderr is empty. A program that reads the stream line by line meets text that is no JSON. Without the variable all is JSON.
# What works: leave ANTHROPIC_LOG out of the CLI's environment.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check claude-agent-sdk==0.2.189 2>/dev/null
cd "$work"
"$work/venv/bin/python" -W ignore - <<'PYTHON'
import json
import os
import pathlib
import subprocess
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import claude_agent_sdk

MESSAGE = {
    "id": "msg_1",
    "type": "message",
    "role": "assistant",
    "model": "claude-haiku-4-5",
    "content": [],
    "stop_reason": None,
    "stop_sequence": None,
    "usage": {"input_tokens": 3, "output_tokens": 1},
}
EVENTS = [
    {"type": "message_start", "message": MESSAGE},
    {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
    {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "Hello"}},
    {"type": "content_block_stop", "index": 0},
    {"type": "message_delta", "delta": {"stop_reason": "end_turn", "stop_sequence": None}, "usage": {"output_tokens": 2}},
    {"type": "message_stop"},
]


class Api(BaseHTTPRequestHandler):
    def log_message(self, *_):
        pass

    def do_POST(self):
        self.rfile.read(int(self.headers["Content-Length"]))
        data = "".join(f"event: {event['type']}\ndata: {json.dumps(event)}\n\n" for event in EVENTS).encode()
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)


server = ThreadingHTTPServer(("127.0.0.1", 0), Api)
threading.Thread(target=server.serve_forever, daemon=True).start()
cli = pathlib.Path(claude_agent_sdk.__file__).parent / "_bundled" / "claude"
command = [cli, "--bare", "-p", "hi", "--output-format", "stream-json", "--verbose", "--model", "claude-haiku-4-5", "--tools", ""]


def is_json(line):
    try:
        return isinstance(json.loads(line), dict)
    except ValueError:
        return False


def ask(**more):
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": os.getcwd(),
        "CLAUDE_CONFIG_DIR": os.getcwd(),
        "ANTHROPIC_BASE_URL": f"http://127.0.0.1:{server.server_port}",
        "ANTHROPIC_API_KEY": "unused",
        "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1",
    }
    run = subprocess.run(
        command, env=environment | more, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60, check=True
    )
    return [line for line in run.stdout.splitlines() if not is_json(line)], run.stderr


plain, _ = ask()
assert plain == [], plain
plain, stderr = ask(ANTHROPIC_LOG="debug")
print(len(plain), "lines of stdout are no JSON, such as", repr(plain[0]), "- stderr:", repr(stderr))
assert len(plain) > 10 and any("sending request" in line for line in plain) and stderr == ""
print("as described")
PYTHON
