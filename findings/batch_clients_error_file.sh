#!/usr/bin/env bash
# instructor 1.17.0 and autobatcher 0.12.0 beside OpenAI's Batch API, Python 3.11: what becomes of a request that failed.
#
# A batch that completed has the requests that failed in its *error* file, with status and reason, as OpenAI documents.
#
# Expected of three requests, the second of which failed: instructor's `retrieve_results`, which is documented to return
# BatchSuccess or BatchError for each, returns three, one of them a BatchError; autobatcher raises an exception that has
# the API's reason ("This prompt is too long.").
#
# Seen: neither of them reads the error file.
# - instructor returns two successes. Nothing says that there was a third request, whose id is missing.
# - autobatcher raises "No result for request <uuid>": a plain Exception, without status or reason.
# Whoever counts on them compares the ids by hand and reads the batch's `error_file_id`.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check instructor==1.17.0 autobatcher==0.12.0
cd "$work"
cat >api.py <<'PYTHON'
"""Files and batches as OpenAI answers them: a batch is complete at once, and its second request has failed."""

import json
import re
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

asked = []
files = {}
TOO_LONG = {"message": "This prompt is too long.", "type": "invalid_request_error", "param": "messages", "code": None}


def line(number, custom_id):
    message = {"role": "assistant", "refusal": None, "content": json.dumps({"name": f"number {number}"})}
    body = {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 1,
        "model": "gpt-4o-mini",
        "choices": [{"index": 0, "finish_reason": "stop", "logprobs": None, "message": message}],
    }
    failed = number == 1
    response = {"status_code": 400 if failed else 200, "request_id": "r", "body": {"error": TOO_LONG} if failed else body}
    return json.dumps({"id": f"batch_req_{number}", "custom_id": custom_id, "response": response, "error": None})


def batch():
    return {
        "id": "batch_1",
        "object": "batch",
        "endpoint": "/v1/chat/completions",
        "completion_window": "24h",
        "created_at": 1,
        "completed_at": 2,
        "input_file_id": "file-in",
        "output_file_id": "file-out",
        "error_file_id": "file-err",
        "status": "completed",
        "request_counts": {"total": 3, "completed": 2, "failed": 1},
    }


class Api(BaseHTTPRequestHandler):
    def log_message(self, *_):
        pass

    def answer(self, value):
        data = value if isinstance(value, bytes) else json.dumps(value).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def do_POST(self):
        asked.append(self.path)
        data = self.rfile.read(int(self.headers["Content-Length"]))
        if self.path == "/v1/files":
            ids = [json.loads(one)["custom_id"] for one in data.split(b"\n") if one.startswith(b'{"')]
            lines = [line(number, custom_id) for number, custom_id in enumerate(ids)]
            files["file-err"] = lines.pop(1).encode()
            files["file-out"] = "\n".join(lines).encode()
            made = {"id": "file-in", "object": "file", "bytes": 1, "created_at": 1, "filename": "in", "purpose": "batch"}
            self.answer(made | {"status": "processed"})
        else:
            self.answer(batch())

    def do_GET(self):
        asked.append(self.path)
        content = re.fullmatch(r"/v1/files/([a-z-]+)/content", self.path)
        self.answer(files[content[1]] if content else batch())


server = ThreadingHTTPServer(("127.0.0.1", 0), Api)
threading.Thread(target=server.serve_forever, daemon=True).start()
url = f"http://127.0.0.1:{server.server_port}/v1"
PYTHON
cat >with_instructor.py <<'PYTHON'
import os

import api

os.environ |= {"OPENAI_BASE_URL": api.url, "OPENAI_API_KEY": "unused"}
from instructor.batch import BatchProcessor
from pydantic import BaseModel


class Person(BaseModel):
    name: str


processor = BatchProcessor("openai/gpt-4o-mini", Person)
requests = [[{"role": "user", "content": f"Who is number {number}?"}] for number in range(3)]
batch = processor.submit_batch(processor.create_batch_from_messages(requests, "in.jsonl"))
found = processor.retrieve_results(batch)
print("instructor:", [(type(one).__name__, one.custom_id) for one in found])
assert [one.custom_id for one in found] == ["request-0", "request-2"] and all(one.success for one in found)
assert "/v1/files/file-err/content" not in api.asked
PYTHON
cat >with_autobatcher.py <<'PYTHON'
import asyncio

import api
from autobatcher import BatchOpenAI
from loguru import logger

logger.remove()


async def main():
    client = BatchOpenAI(
        base_url=api.url,
        api_key="unused",
        batch_size=3,
        batch_window_seconds=0.2,
        poll_interval_seconds=0.2,
        completion_window="24h",
    )
    asking = [
        client.chat.completions.create(model="m", messages=[{"role": "user", "content": f"Who is number {number}?"}])
        for number in range(3)
    ]
    found = await asyncio.gather(*asking, return_exceptions=True)
    await client.close()
    (failed,) = (one for one in found if isinstance(one, Exception))
    print("autobatcher:", type(failed).__name__, str(failed)[:23], "...")
    assert type(failed) is Exception and str(failed).startswith("No result for request")
    assert "/v1/files/file-err/content" not in api.asked


asyncio.run(asyncio.wait_for(main(), 60))
PYTHON
"$work/venv/bin/python" -W ignore with_instructor.py
"$work/venv/bin/python" -W ignore with_autobatcher.py
echo "as described"
