#!/usr/bin/env bash
# llama-index-llms-openai-like 0.8.1, Python 3.11: a function call that was cut at the token limit.
#
# finish_reason "length" and `arguments` that break off say that the call is not whole.
#
# Expected, as Haystack, the AI SDK and inspect-ai do: the call is dropped or marked as invalid, and the function does not run.
#
# Seen: `get_tool_calls_from_response` completes the broken JSON by itself, and `predict_and_call` runs the function: the
# argument that was cut is None, and so the function's own default is not used either. No error, no warning.
# What works: look at `response.raw.choices[0].finish_reason` before any function runs.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check llama-index-llms-openai-like==0.8.1 openai==2.54.0 2>/dev/null
cd "$work"
"$work/venv/bin/python" -W ignore - <<'PYTHON'
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Api(BaseHTTPRequestHandler):
    def log_message(self, *_):
        pass

    def do_POST(self):
        self.rfile.read(int(self.headers["Content-Length"]))
        call = {"id": "call_1", "type": "function", "function": {"name": "clear", "arguments": '{"folder": "drafts/ol'}}
        message = {"role": "assistant", "content": None, "tool_calls": [call]}
        choice = {"index": 0, "finish_reason": "length", "logprobs": None, "message": message}
        usage = {"prompt_tokens": 3, "completion_tokens": 5, "total_tokens": 8}
        known = {"id": "c", "object": "chat.completion", "created": 1, "model": "m"}
        data = json.dumps(known | {"choices": [choice], "usage": usage}).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)


server = ThreadingHTTPServer(("127.0.0.1", 0), Api)
threading.Thread(target=server.serve_forever, daemon=True).start()
from llama_index.core.tools import FunctionTool
from llama_index.llms.openai_like import OpenAILike

ran = []


def clear(folder: str = "drafts/empty") -> str:
    """Clears a folder."""
    ran.append(folder)
    return "cleared"


url = f"http://127.0.0.1:{server.server_port}/v1"
model = OpenAILike(model="m", api_base=url, api_key="unused", is_chat_model=True, is_function_calling_model=True)
tools = [FunctionTool.from_defaults(clear)]
answer = model.chat_with_tools(tools, user_msg="Clear the old drafts")
(call,) = model.get_tool_calls_from_response(answer)
said = str(model.predict_and_call(tools, user_msg="Clear the old drafts"))
print("call:", call.tool_kwargs, "- the function ran with", ran, "and said", said)
assert call.tool_kwargs == {"folder": None} and ran == [None] and said == "cleared"
assert answer.raw.choices[0].finish_reason == "length"
print("as described")
PYTHON
