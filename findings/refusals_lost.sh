#!/usr/bin/env bash
# litellm 1.110.2, haystack-ai 3.4.1 and llama-index-llms-openai-like 0.8.1 (openai 3.57.0, 2.54.0), Python 3.11: a refusal.
#
# A model that declines answers with `content: null`, its words in `message.refusal` (`delta.refusal` in a stream) and
# finish_reason "stop", as OpenAI documents.
#
# Expected: the words can be found somewhere: Haystack's `meta`, LlamaIndex's `additional_kwargs`, litellm's delta.
#
# Seen: a declined request cannot be told from an empty answer.
# - Haystack: text None, finish_reason "stop", no refusal in `meta`. LlamaIndex: content None, nothing in `additional_kwargs`.
# - litellm keeps it in a plain answer (`message.refusal`), and drops it from a stream: empty deltas, then "stop".
# What works: the raw answer (LlamaIndex's `response.raw`), or litellm without streaming.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
for name in litellm haystack llama; do python3 -m venv "$name"; done
pip() { "$1/bin/pip" install --quiet --disable-pip-version-check "${@:2}" 2>/dev/null; }
pip litellm litellm==1.110.2 openai==3.57.0 & one=$!
pip haystack haystack-ai==3.4.1 openai==3.57.0 & two=$!
pip llama llama-index-llms-openai-like==0.8.1 openai==2.54.0 & three=$!
wait "$one"; wait "$two"; wait "$three"
cat >api.py <<'PYTHON'
"""A chat completion that declines, whole or as a stream."""

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

WORDS = "I cannot help with that."


class Api(BaseHTTPRequestHandler):
    def log_message(self, *_):
        pass

    def do_POST(self):
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        known = {"id": "c", "created": 1, "model": asked["model"]}
        if asked.get("stream"):
            deltas = [({"role": "assistant", "content": ""}, None), ({"refusal": WORDS}, None), ({}, "stop")]
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
            message = {"role": "assistant", "content": None, "refusal": WORDS}
            choice = {"index": 0, "finish_reason": "stop", "logprobs": None, "message": message}
            usage = {"prompt_tokens": 3, "completion_tokens": 5, "total_tokens": 8}
            data = json.dumps(known | {"object": "chat.completion", "choices": [choice], "usage": usage})
            kind = "application/json"
        self.send_response(200)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data.encode())


server = ThreadingHTTPServer(("127.0.0.1", 0), Api)
threading.Thread(target=server.serve_forever, daemon=True).start()
url = f"http://127.0.0.1:{server.server_port}/v1"
PYTHON
cat >with_litellm.py <<'PYTHON'
import api
import litellm

asking = {"model": "openai/m", "api_base": api.url, "api_key": "unused", "messages": [{"role": "user", "content": "hi"}]}
whole = litellm.completion(**asking).choices[0].message
chunks = [chunk.model_dump() for chunk in litellm.completion(**asking, stream=True)]
print("litellm, whole:", repr(whole.refusal), "- streamed:", [chunk["choices"][0]["delta"]["content"] for chunk in chunks])
assert whole.refusal == api.WORDS
assert api.WORDS not in str(chunks) and chunks[-1]["choices"][0]["finish_reason"] == "stop"
PYTHON
cat >with_haystack.py <<'PYTHON'
import api
from haystack.components.generators.chat import OpenAIChatGenerator
from haystack.dataclasses import ChatMessage
from haystack.utils import Secret

generator = OpenAIChatGenerator(api_key=Secret.from_token("unused"), model="m", api_base_url=api.url)
(reply,) = generator.run([ChatMessage.from_user("hi")])["replies"]
print("haystack:", reply.text, reply.meta["finish_reason"])
assert reply.text is None and reply.meta["finish_reason"] == "stop" and api.WORDS not in str(reply.to_dict())
PYTHON
cat >with_llama.py <<'PYTHON'
import api
from llama_index.core.llms import ChatMessage
from llama_index.llms.openai_like import OpenAILike

model = OpenAILike(model="m", api_base=api.url, api_key="unused", is_chat_model=True)
answer = model.chat([ChatMessage(role="user", content="hi")])
print("llama-index:", answer.message.content, answer.message.additional_kwargs, "- raw:", answer.raw.choices[0].message.refusal)
assert answer.message.content is None and api.WORDS not in str(answer.message) + str(answer.additional_kwargs)
assert answer.raw.choices[0].message.refusal == api.WORDS
PYTHON
LITELLM_LOCAL_MODEL_COST_MAP=True litellm/bin/python -W ignore with_litellm.py
HAYSTACK_TELEMETRY_ENABLED=False haystack/bin/python -W ignore with_haystack.py
llama/bin/python -W ignore with_llama.py
echo "as described"
