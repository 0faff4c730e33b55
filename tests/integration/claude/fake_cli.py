"""A Claude CLI that misbehaves: speaks its protocol on stdin and stdout, and does what the prompt names.

A prompt is the name of a fault in `FAULTS`; any other text is answered. Without a prompt there are the faults of the start:
what the file `fault` beside the program says. Standard library only.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

#: what is never given back
hoard: list[bytearray] = []


def say(**message: Any) -> None:
    """One line of the protocol."""
    sys.stdout.write(json.dumps(message) + "\n")
    sys.stdout.flush()


def event(**content: Any) -> None:
    """One event of the API's stream."""
    say(type="stream_event", event=content, session_id="s", uuid="u", parent_tool_use_id=None)


def begin() -> None:
    """The first half of an answer."""
    message = {"id": "msg_1", "model": "fake", "role": "assistant", "content": [], "usage": {"input_tokens": 1}}
    event(type="message_start", message=message)
    event(type="content_block_start", index=0, content_block={"type": "text", "text": ""})
    event(type="content_block_delta", index=0, delta={"type": "text_delta", "text": "fine"})


def end(subtype: str = "success") -> None:
    """The second half, and the turn's result."""
    if subtype == "success":
        event(type="message_delta", delta={"stop_reason": "end_turn"}, usage={"output_tokens": 1})
        event(type="message_stop")
    numbers = {"duration_ms": 1, "duration_api_ms": 1, "num_turns": 1, "total_cost_usd": 0.0}
    is_error = subtype != "success"
    say(type="result", subtype=subtype, is_error=is_error, session_id="s", result="fine", usage={}, **numbers)


def sleep() -> None:
    """Read nothing, say nothing, for ever."""
    while True:
        time.sleep(60)


def ignore_the_end() -> None:
    """Answer, and stay when told to leave in any way that can be refused."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    begin()
    end()
    serve()
    sleep()


def flood() -> None:
    """Bytes without a newline."""
    while True:
        os.write(1, b"x" * 65536)


def flood_stderr() -> None:
    """The same on the other pipe."""
    while True:
        os.write(2, b"x" * 65535 + b"\n")


def chatter() -> None:
    """Endless events."""
    begin()
    while True:
        event(type="content_block_delta", index=0, delta={"type": "text_delta", "text": "on and on " * 100})


def ping() -> None:
    """Endless lines that are part of no answer."""
    while True:
        say(type="system", subtype="status", session_id="s", uuid="u", text="x" * 1000)


def long_line() -> None:
    """A message over the limit of a line."""
    say(type="system", subtype="status", session_id="s", uuid="u", text="x" * 2 * 1024 * 1024)
    sleep()


def no_json() -> None:
    """A line that begins like a message and is none."""
    os.write(1, b'{"type": "resu\n')
    sleep()


def mute() -> None:
    """Close the output, and live."""
    os.close(1)
    sleep()


def orphan() -> None:
    """Die, while a child holds the output open."""
    subprocess.Popen(["sleep", "600"])
    os._exit(0)


def swell() -> None:
    """Take memory in the middle of an answer."""
    begin()
    hoard.append(bytearray(os.urandom(1024)) * 400 * 1024)
    sleep()


def leak() -> None:
    """Answer, and keep some memory."""
    hoard.append(bytearray(os.urandom(1024)) * 60 * 1024)
    begin()
    end()


def ask_and_leave() -> None:
    """Want to know something, and be gone before the answer."""
    os.close(0)
    for number in range(50):
        say(type="control_request", request_id=str(number), request={"subtype": "unknown"})
    time.sleep(0.2)
    os._exit(1)


FAULTS = {
    "silent": begin,
    "deaf": sleep,
    "ignore_the_end": ignore_the_end,
    "flood": flood,
    "flood_stderr": flood_stderr,
    "chatter": chatter,
    "ping": ping,
    "long_line": long_line,
    "no_json": no_json,
    "mute": mute,
    "orphan": orphan,
    "swell": swell,
    "leak": leak,
    "ask_and_leave": ask_and_leave,
}


#: what is merged into the requests
body: dict[str, Any] = {}


def prompt() -> str:
    """What a request would end with."""
    return "".join(block["text"] for block in body["messages"][-1]["content"])


def serve() -> None:
    """Until the end of the input."""
    for line in sys.stdin:
        message = json.loads(line)
        if message["type"] == "user":
            fault = FAULTS.get(prompt())
            if fault:
                fault()
            else:
                begin()
                end()
        elif message["type"] == "control_request":
            control(message["request_id"], message["request"])


def control(request_id: str, request: dict[str, Any]) -> None:
    """Confirm what is asked for."""
    said: dict[str, Any] = {}
    if request["subtype"] == "apply_flag_settings":
        body.update(json.loads(request["settings"]["env"]["CLAUDE_CODE_EXTRA_BODY"]))
    if request["subtype"] == "initialize":
        said = {"pid": os.getpid(), "claude_code_version": "fake", "commands": []}
    elif request["subtype"] == "rewind_conversation":
        target = request["target_message_uuid"]
        said = {"rewound": True, "targetMessageUuid": target, "precedingAssistantUuid": None}
    say(type="control_response", response={"subtype": "success", "request_id": request_id, "response": said})
    if request["subtype"] == "interrupt":
        end("error_during_execution")


if __name__ == "__main__":
    of_start = Path(sys.argv[0]).with_name("fault")
    if of_start.exists():
        FAULTS[of_start.read_text()]()
    serve()
