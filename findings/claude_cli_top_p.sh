#!/usr/bin/env bash
# The Claude CLI 2.1.332 in claude-agent-sdk 0.2.189: `top_p` in CLAUDE_CODE_EXTRA_BODY never goes out alone to some models.
#
# Expected: with CLAUDE_CODE_EXTRA_BODY='{"top_p": 0.8}' the request of the Messages API has `top_p` and no other sampling
# parameter: neither the user nor any setting has named one.
#
# Seen: for claude-sonnet-4-5, with thinking off, the CLI puts `temperature: 1` into each request by itself, so `top_p` arrives
# beside it. By public reports the models from Opus 4.1 to Sonnet 4.6 refuse the two together: a request whose only wish is
# `top_p` fails there. For claude-sonnet-5 no temperature is added. A temperature of one's own replaces the 1, and nothing in
# that variable takes it away (null is sent as null).
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check claude-agent-sdk==0.2.189
cd "$work"
"$work/venv/bin/python" - <<'PYTHON'
import json
import os
import subprocess
import tempfile
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import claude_agent_sdk

bodies = []
EVENTS = [
    {"type": "message_start", "message": {"id": "msg_1", "type": "message", "role": "assistant", "model": "m", "content": [],
     "stop_reason": None, "stop_sequence": None, "usage": {"input_tokens": 1, "output_tokens": 1}}},
    {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
    {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "Hello."}},
    {"type": "content_block_stop", "index": 0},
    {"type": "message_delta", "delta": {"stop_reason": "end_turn", "stop_sequence": None}, "usage": {"output_tokens": 2}},
    {"type": "message_stop"},
]


class Api(BaseHTTPRequestHandler):
    def log_message(self, *_):
        pass

    def do_POST(self):
        bodies.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Connection", "close")
        self.end_headers()
        for event in EVENTS:
            self.wfile.write(f"event: {event['type']}\ndata: {json.dumps(event)}\n\n".encode())


server = ThreadingHTTPServer(("127.0.0.1", 0), Api)
threading.Thread(target=server.serve_forever, daemon=True).start()
cli = Path(claude_agent_sdk.__file__).parent / "_bundled" / "claude"
version = subprocess.run([cli, "--version"], capture_output=True, text=True, check=True).stdout.strip()
print("CLI", version)


def sampling(model, extra):
    """What the API was asked for beside the extra body."""
    bodies.clear()
    with tempfile.TemporaryDirectory() as home:
        environment = {
            "PATH": os.environ["PATH"],
            "HOME": home,
            "CLAUDE_CONFIG_DIR": home,
            "ANTHROPIC_BASE_URL": f"http://127.0.0.1:{server.server_port}",
            "ANTHROPIC_API_KEY": "unused",
            "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1",
            "CLAUDE_CODE_DISABLE_THINKING": "1",
            "CLAUDE_CODE_EXTRA_BODY": json.dumps(extra),
        }
        argv = [cli, "--bare", "--print", "--model", model, "--no-session-persistence", "Say hello."]
        subprocess.run(argv, env=environment, capture_output=True, check=True, timeout=90, stdin=subprocess.DEVNULL)
    (asked,) = [body for body in bodies if body.get("stream")]
    found = {name: asked[name] for name in ("temperature", "top_p", "stop_sequences") if name in asked}
    print(model, extra, "->", found)
    return found


assert sampling("claude-sonnet-4-5", {"stop_sequences": ["x"]}) == {"temperature": 1, "stop_sequences": ["x"]}
assert sampling("claude-sonnet-4-5", {"top_p": 0.8}) == {"temperature": 1, "top_p": 0.8}
assert sampling("claude-sonnet-5", {"top_p": 0.8}) == {"top_p": 0.8}
assert sampling("claude-sonnet-4-5", {"top_p": 0.8, "temperature": 0.5}) == {"temperature": 0.5, "top_p": 0.8}
print("as described")
PYTHON
