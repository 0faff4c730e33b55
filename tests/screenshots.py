"""`scripts/screenshots`: a night in five minutes, and pictures of it for the README."""

from __future__ import annotations

import json
import math
import random
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from selenium.webdriver.common.by import By

from chaos.stack import ROOT
from tests.acceptance.stack import Stack, running
from tests.browser import DESK, PHONE, chromium
from tests.redis_server import wait_until

if TYPE_CHECKING:
    from tests.browser import Browser

IMAGES = ROOT / "docs/images"
#: seconds of work before the pause, of the pause, and of work after it
_BEFORE, _PAUSE, _AFTER = 130, 50, 110
#: lines of the batch that ends meanwhile, after the pause: the two batches share the workers
_ENDS = 340
#: what a picture may weigh in the README
_MOST_BYTES = 150_000
#: (what the prompt contains, how the simulator answers, seconds until it does)
_RULES: tuple[tuple[str, dict[str, Any], float], ...] = (
    ("slow", {}, 1.4),
    ("refuse", {"error": {"status": 400}}, 0.2),
    ("", {"usage": {"input_tokens": 900, "output_tokens": 140}}, 0.45),
)
#: number, text and stars of a table's rows
_REVIEWS = (
    (1, "Arrived broken, twice.", 1),
    (2, "Does what it says.", 4),
    (3, "My mother uses it each day, and so do I by now.", 5),
    (4, "The second one was better packed. Thank you for your patience with me!", 5),
    (5, "Too loud.", 2),
    (6, "Nobody answers my mails.", 1),
)


def main() -> int:
    """Exit status 1: a picture is too large."""
    IMAGES.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="nightshift-") as place:
        for stack in running(Stack(workers=3, directory=Path(place))):
            for text, respond, seconds in _RULES:
                stack.simulator.add_rule(respond, match={"contains": text} if text else None, latency_ms=1000 * seconds)
            ended = _submit(stack, "product-titles.jsonl", _ENDS)
            _submit(stack, "customer-reviews.jsonl", 2400)
            time.sleep(_BEFORE)
            stack.http("POST", "/v1/gate/pause", {})
            time.sleep(_PAUSE)
            stack.http("POST", "/v1/gate/resume")
            stack.submit("refuse this one")
            time.sleep(_AFTER)
            _wait_for(stack, ended)
            with chromium() as browser:
                for name, size, dark in (
                    ("page-light", DESK, False),
                    ("page-dark", DESK, True),
                    ("phone", PHONE, False),
                ):
                    _take(browser, f"{stack.url}/", name, size, dark=dark)
                _take(browser, f"{stack.url}/batches/{ended}", "report", (1280, 1000))
                take_new_batch(browser, stack)
    heavy = [path.name for path in IMAGES.glob("*.png") if path.stat().st_size > _MOST_BYTES]
    sys.stderr.write(f"Too large: {', '.join(heavy)}\n" if heavy else "")
    return 1 if heavy else 0


def _submit(stack: Stack, name: str, number: int) -> str:
    """A batch with some slow lines and some that fail, the same ones each time; its id."""
    chance = random.Random(number)
    lines = []
    for place in range(number):
        kind = chance.choices(("plain", "slow", "refuse"), (85 - 25 * math.sin(place / 60), 25, 1.5))[0]
        body = {"model": "haiku", "messages": [{"role": "user", "content": f"{kind} {place}"}]}
        line = {"custom_id": f"row-{place}", "method": "POST", "url": "/v1/chat/completions", "body": body}
        lines.append(json.dumps(line))
    client = stack.client()
    file = client.files.create(file=(name, "\n".join(lines).encode()), purpose="batch")
    made = client.batches.create(input_file_id=file.id, endpoint="/v1/chat/completions", completion_window="24h")
    return made.id


def _wait_for(stack: Stack, batch_id: str) -> None:
    wait_until(
        lambda: stack.http("GET", f"/v1/batches/{batch_id}").body["status"] == "completed", "the batch's end", 300
    )


def take_new_batch(browser: Browser, stack: Stack) -> None:
    """The page on which a prompt is written for a table."""
    with tempfile.TemporaryDirectory(prefix="nightshift-") as place:
        table = Path(place) / "reviews.csv"
        table.write_text("id,text,stars\n" + "".join(f'{n},"{text}",{stars}\n' for n, text, stars in _REVIEWS))
        browser.view((1000, 800))
        browser.open(f"{stack.url}/batches/new")
        browser.driver.find_element(By.ID, "file").send_keys(str(table))
        browser.driver.find_element(By.CSS_SELECTOR, "#upload button").click()
        browser.wait("document.activeElement.id === 'template'")
        browser.press("Is this review kind? Answer with one word. {text}")
        browser.screenshot(IMAGES / "new-batch.png")


def _take(browser: Browser, url: str, name: str, size: tuple[int, int], *, dark: bool = False) -> None:
    browser.view(size, dark=dark)
    browser.open(url)
    path = IMAGES / f"{name}.png"
    if name == "report":  # only what is seen first: it is long
        browser.driver.save_screenshot(str(path))
        return
    browser.wait("document.getElementById('live').textContent === 'live'")
    browser.wait("document.querySelector('.state.busy a') !== null")
    browser.screenshot(path)


if __name__ == "__main__":
    raise SystemExit(main())
