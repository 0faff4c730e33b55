#!/usr/bin/env bash
# The Claude CLI 2.1.332 in claude-agent-sdk 0.2.189, Python 3.11: what of an answer `claude --print` prints.
#
# An answer of the Messages API is a list of content blocks; one that cites its sources has several text blocks, as documented.
#
# Expected: `--print` prints all text of the answer, and so does the field `result` of `--output-format json`, which is
# the text of the result.
#
# Seen: the last block alone counts, with exit code 0 and "subtype": "success".
# - Three text blocks, "One. ", "Two. ", "Three.": only "Three." is printed.
# - Text, then a thinking block, or an empty text block: nothing is printed, the text is lost.
# What works: `--output-format stream-json --verbose`, and all text blocks of the lines of type "assistant".
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

DELTAS = {"text": ["text"], "thinking": ["thinking", "signature"]}
blocks = []


def events():
    usage = {"input_tokens": 3, "output_tokens": 1}
    known = {"id": "msg_1", "type": "message", "role": "assistant", "model": "claude-sonnet-5", "content": [], "usage": usage}
    yield {"type": "message_start", "message": known | {"stop_reason": None, "stop_sequence": None}}
    for index, (kind, text) in enumerate(blocks):
        yield {"type": "content_block_start", "index": index, "content_block": {"type": kind} | dict.fromkeys(DELTAS[kind], "")}
        for part in DELTAS[kind]:
            delta = {"type": f"{part}_delta", part: "c2lnbmVk" if part == "signature" else text}
            yield {"type": "content_block_delta", "index": index, "delta": delta}
        yield {"type": "content_block_stop", "index": index}
    yield {"type": "message_delta", "delta": {"stop_reason": "end_turn", "stop_sequence": None}, "usage": {"output_tokens": 9}}
    yield {"type": "message_stop"}


class Api(BaseHTTPRequestHandler):
    def log_message(self, *_):
        pass

    def do_POST(self):
        self.rfile.read(int(self.headers["Content-Length"]))
        data = "".join(f"event: {event['type']}\ndata: {json.dumps(event)}\n\n" for event in events()).encode()
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)


server = ThreadingHTTPServer(("127.0.0.1", 0), Api)
threading.Thread(target=server.serve_forever, daemon=True).start()
cli = pathlib.Path(claude_agent_sdk.__file__).parent / "_bundled" / "claude"
environment = {
    "PATH": os.environ["PATH"],
    "HOME": os.getcwd(),
    "CLAUDE_CONFIG_DIR": os.getcwd(),
    "ANTHROPIC_BASE_URL": f"http://127.0.0.1:{server.server_port}",
    "ANTHROPIC_API_KEY": "unused",
    "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1",
}


def ask(answer, output):
    blocks[:] = answer
    command = [cli, "--bare", "--print", "--model", "claude-sonnet-5", "--tools", "", "--no-session-persistence"]
    command += ["--output-format", output, "--verbose", "Say it."] if output == "stream-json" else ["--output-format", output, "Say it."]
    run = subprocess.run(command, env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=90, check=True)
    return run.stdout


def streamed(answer):
    lines = [json.loads(line) for line in ask(answer, "stream-json").splitlines()]
    content = [block for line in lines if line["type"] == "assistant" for block in line["message"]["content"]]
    return "".join(block["text"] for block in content if block["type"] == "text")


three = [("text", "One. "), ("text", "Two. "), ("text", "Three.")]
printed = ask(three, "text").strip()
whole = json.loads(ask(three, "json"))
print("three text blocks, printed:", repr(printed), "- result:", repr(whole["result"]), whole["subtype"])
assert printed == whole["result"] == "Three." and whole["subtype"] == "success" and not whole["is_error"]
assert streamed(three) == "One. Two. Three."

for last in (("thinking", "Done."), ("text", "")):
    whole = json.loads(ask([("text", "One."), last], "json"))
    print("text, then", last, "- result:", repr(whole["result"]), whole["subtype"])
    assert whole["result"] == "" and whole["subtype"] == "success" and not whole["is_error"]
assert streamed([("text", "One."), ("thinking", "Done.")]) == "One."
print("as described")
PYTHON
