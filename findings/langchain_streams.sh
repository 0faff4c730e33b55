#!/usr/bin/env bash
# langchain-openai 1.7.4 (langchain-core 1.8.3, openai 3.3.0), Python 3.11: what a stream hides that a plain answer shows.
#
# Expected:
# - Two choices (n=2): a stream keeps them apart, or is refused, as `ChatOpenAI(n=2, streaming=True)` is.
# - A record that comes as a function's arguments (`with_structured_output`, method "function_calling") and was cut at the token
#   limit, finish_reason "length": an exception, as with the methods "json_mode" and "json_schema".
#
# Seen:
# - `ChatOpenAI(n=2).stream(...)` is taken, and adds the pieces of both answers up to one text in the order of their arrival:
#   "Yes, No, indeed.never.". The finish_reason is "stoplength".
# - The record that was cut: `invoke` returns None, and `stream` ends with a record whose last text was cut, validated by its
#   model. No exception, no warning.
# What works: no `n` in streams, and method "json_schema" or `include_raw=True` with a look at `finish_reason`.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check langchain-openai==1.7.4 langchain-core==1.8.3 \
    openai==3.3.0 2>/dev/null
cd "$work"
LANGSMITH_TRACING=false "$work/venv/bin/python" -W ignore - <<'PYTHON'
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from langchain_openai import ChatOpenAI
from pydantic import BaseModel

CUT = '{"city": "Ankara", "note": "The capital of Tur'


class Api(BaseHTTPRequestHandler):
    def log_message(self, *_):
        pass

    def do_POST(self):
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        known = {"id": "c", "created": 1, "model": asked["model"]}
        if asked.get("n") == 2:
            deltas = [
                (0, {"role": "assistant", "content": "Yes, "}, None),
                (1, {"role": "assistant", "content": "No, "}, None),
                (0, {"content": "indeed."}, None),
                (1, {"content": "never."}, None),
                (0, {}, "stop"),
                (1, {}, "length"),
            ]
        else:
            if asked.get("tools"):
                call = {"id": "call_1", "type": "function", "function": {"name": "Place", "arguments": CUT}}
                said = {"content": None, "tool_calls": [call | {"index": 0} if asked.get("stream") else call]}
            else:
                said = {"content": CUT}
            deltas = [(0, {"role": "assistant"} | said, None), (0, {}, "length")]
        if asked.get("stream"):
            chunks = [
                known
                | {
                    "object": "chat.completion.chunk",
                    "choices": [{"index": index, "delta": delta, "finish_reason": reason, "logprobs": None}],
                }
                for index, delta, reason in deltas
            ]
            data = "".join(f"data: {json.dumps(chunk)}\n\n" for chunk in chunks) + "data: [DONE]\n\n"
            kind = "text/event-stream"
        else:
            message = {"role": "assistant", "refusal": None} | said
            choice = {"index": 0, "finish_reason": "length", "logprobs": None, "message": message}
            usage = {"prompt_tokens": 3, "completion_tokens": 20, "total_tokens": 23}
            data = json.dumps(known | {"object": "chat.completion", "choices": [choice], "usage": usage})
            kind = "application/json"
        self.send_response(200)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data.encode())


class Place(BaseModel):
    city: str
    note: str


server = ThreadingHTTPServer(("127.0.0.1", 0), Api)
threading.Thread(target=server.serve_forever, daemon=True).start()
asking = {"model": "m", "base_url": f"http://127.0.0.1:{server.server_port}/v1", "api_key": "unused", "max_retries": 0}

first, *others = ChatOpenAI(n=2, **asking).stream("Is it so?")
answer = sum(others, first)
print("two choices:", repr(answer.content), "- finish_reason:", answer.response_metadata["finish_reason"])
assert answer.content == "Yes, No, indeed.never." and answer.response_metadata["finish_reason"] == "stoplength"
try:
    ChatOpenAI(n=2, streaming=True, **asking)
except ValueError:
    pass
else:
    raise SystemExit("changed: n=2 with streaming=True is taken")

model = ChatOpenAI(**asking)
calling = model.with_structured_output(Place, method="function_calling")
whole, (*_, last) = calling.invoke("Where?"), calling.stream("Where?")
print("cut, function_calling: invoke", whole, "- stream", repr(last))
assert whole is None and last == Place(city="Ankara", note="The capital of Tur")
for method in ("json_mode", "json_schema"):
    reading = model.with_structured_output(Place, method=method)
    for ask in (reading.invoke, lambda text, reading=reading: list(reading.stream(text))):
        try:
            ask("Where? Answer in JSON.")
        except Exception as error:
            print(f"cut, {method}:", type(error).__name__)
            assert type(error).__name__ == "LengthFinishReasonError"
        else:
            raise SystemExit(f"changed: {method} returns what was cut")
raw = model.with_structured_output(Place, method="function_calling", include_raw=True).invoke("Where?")["raw"]
assert raw.response_metadata["finish_reason"] == "length"
print("as described")
PYTHON
