#!/usr/bin/env bash
# instructor 1.17.0 (openai 3.3.0), Python 3.11: a list of records whose stream was cut at the token limit.
#
# finish_reason "length" says so. `create` raises IncompleteOutputException, which is documented for this case.
#
# Expected: `create_iterable` and `create_partial`, which stream, raise it at the end of the stream, too.
#
# Seen: they end as if the answer were whole, whether the records come as JSON or as a function's arguments.
# - `create_iterable` yields the records before the cut. The one that was cut and all after it are missing.
# - The last value of `create_partial` has a text that was cut, and nothing says so.
# Who extracts records from long texts so loses the last of them. What works: `create(response_model=list[...])`.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check instructor==1.17.0 openai==3.3.0 2>/dev/null
cd "$work"
"$work/venv/bin/python" -W ignore - <<'PYTHON'
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import instructor
import openai
from instructor.core.exceptions import IncompleteOutputException
from pydantic import BaseModel

LIST = '{"tasks": [{"name": "Ada", "age": 36}, {"name": "Charles", "age": 79}, {"name": "Mary Som'
ONE = '{"age": 91, "name": "Mary Som'


class Api(BaseHTTPRequestHandler):
    def log_message(self, *_):
        pass

    def do_POST(self):
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        text = LIST if "tasks" in json.dumps(asked) else ONE
        known = {"id": "c", "created": 1, "model": asked["model"]}
        if asked.get("tools"):
            function = {"name": asked["tools"][0]["function"]["name"], "arguments": text}
            said = {"content": None, "tool_calls": [{"index": 0, "id": "call_1", "type": "function", "function": function}]}
        else:
            said = {"content": text}
        if asked.get("stream"):
            deltas = [({"role": "assistant"} | said, None), ({}, "length")]
            chunks = [
                known
                | {
                    "object": "chat.completion.chunk",
                    "choices": [{"index": 0, "delta": delta, "finish_reason": reason, "logprobs": None}],
                }
                for delta, reason in deltas
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


class Person(BaseModel):
    name: str
    age: int


server = ThreadingHTTPServer(("127.0.0.1", 0), Api)
threading.Thread(target=server.serve_forever, daemon=True).start()
url = f"http://127.0.0.1:{server.server_port}/v1"
asking = {"model": "m", "max_tokens": 20, "max_retries": 0, "messages": [{"role": "user", "content": "Who is in the letter?"}]}
for mode in (instructor.Mode.TOOLS, instructor.Mode.JSON):
    client = instructor.from_openai(openai.OpenAI(base_url=url, api_key="unused"), mode=mode)
    for model in (Person, list[Person]):
        try:
            client.create(response_model=model, **asking)
        except IncompleteOutputException:
            pass
        else:
            raise SystemExit("changed: create returns an answer that was cut")
    found = list(client.create_iterable(response_model=Person, **asking))
    print(mode.name, "- create_iterable:", found)
    assert found == [Person(name="Ada", age=36), Person(name="Charles", age=79)]
    *_, last = client.create_partial(response_model=Person, **asking)
    print(mode.name, "- create_partial:", last)
    assert last.name == "Mary Som" and last.age == 91
print("as described")
PYTHON
