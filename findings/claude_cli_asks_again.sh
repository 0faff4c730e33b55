#!/usr/bin/env bash
# The Claude CLI 2.1.332 in claude-agent-sdk 0.2.189, Python 3.11: an answer without text.
#
# A model may say nothing: told to answer only if there is something to report, or cut by a stop sequence at once.
#
# Expected: `--print` prints nothing, and the API was asked once, with what the user wrote.
#
# Seen: where an answer has no text but white space, or thinking alone, the CLI asks a second time by itself, and puts a sentence
# of its own into the user's message ("[Your previous response had no visible output. ...]"). The first answer is dropped, what
# the model says to the CLI's sentence is the result, both requests are billed, and only `num_turns` (2) tells.
# `--max-turns 1` does not prevent it. What works: read the events of the stream, and end the process after the first answer.
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
asked = []
answers = []


def events(blocks):
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
        asked.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
        blocks = answers[min(len(asked), len(answers)) - 1]
        data = "".join(f"event: {event['type']}\ndata: {json.dumps(event)}\n\n" for event in events(blocks)).encode()
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


def ask(*said):
    """What the CLI makes of these answers, each a list of blocks."""
    asked.clear()
    answers[:] = said
    command = [cli, "--bare", "--print", "--model", "claude-sonnet-5", "--tools", "", "--no-session-persistence", "--max-turns", "1"]
    command += ["--output-format", "json", "Name the errors in this log, and say nothing if there are none."]
    run = subprocess.run(command, env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=90, check=True)
    found = json.loads(run.stdout)
    print(said[0], "-> asked", len(asked), "times, num_turns", found["num_turns"], "- result:", repr(found["result"]))
    return found


found = ask([("text", "None.")], [("text", "Never asked for.")])
assert found["result"] == "None." and found["num_turns"] == 1 and len(asked) == 1
for silent in ([], [("text", " ")], [("thinking", "There are none.")]):
    found = ask(silent, [("text", "Sorry! There are no errors.")])
    assert found["result"] == "Sorry! There are no errors." and found["subtype"] == "success"
    assert found["num_turns"] == 2 and len(asked) == 2 and found["usage"]["output_tokens"] == 18
    before, after = (body["messages"][-1]["content"] for body in asked)
    assert "no visible output" not in json.dumps(before) and "no visible output" in json.dumps(after)
print("the CLI's own words:", after[-1]["text"] if isinstance(after, list) else after)
print("as described")
PYTHON
