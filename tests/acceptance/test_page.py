"""Nightshift's own page in a real browser, on a whole stack: what it shows is so, it stays so, and it can be used by anybody."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys

from tests.acceptance.stack import Stack, running
from tests.browser import DESK, PHONE
from tests.redis_server import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator

    from openai import OpenAI

    from tests.browser import Browser

#: three answers, a failure, and a batch of five
TURNS = 9
PROMPT, ANSWER = "the prompt that nobody may see", "the answer that nobody may see"


@pytest.fixture(scope="module")
def night() -> Iterator[Stack]:
    """A stack on which three requests were answered, one failed, and a batch of five, two of them bad, has ended."""
    for stack in running(Stack()):
        stack.simulator.add_rule({"error": {"status": 400}}, match={"contains": "refuse"})
        stack.simulator.add_rule({"held": True}, match={"contains": "slowly"})
        stack.simulator.add_rule({"text": ANSWER})
        for _ in range(3):
            stack.ask(PROMPT)
        stack.wait_for(stack.submit("refuse"), "failed")
        prompts = [PROMPT, PROMPT, "refuse", PROMPT, "refuse"]
        lines = [line(number, prompt) for number, prompt in enumerate(prompts)]
        run_batch(stack.client(), "\n".join(lines).encode())
        yield stack


def run_batch(client: OpenAI, data: bytes) -> None:
    """Until it has ended."""
    file = client.files.create(file=("night.jsonl", data), purpose="batch")
    batch = client.batches.create(input_file_id=file.id, endpoint="/v1/chat/completions", completion_window="24h")
    wait_until(lambda: client.batches.retrieve(batch.id).status == "completed", "the batch")


def line(number: int, prompt: str) -> str:
    body: dict[str, Any] = {"model": "haiku", "messages": [{"role": "user", "content": prompt}]}
    return json.dumps({"custom_id": str(number), "method": "POST", "url": "/v1/chat/completions", "body": body})


def turns(stack: Stack) -> dict[str, int]:
    """What each worker says it has run."""
    return {row["name"]: row["turns_total"] for row in stack.http("GET", "/health").body["workers"]}


def shown_turns(page: Browser) -> list[str]:
    return [text.split()[0] for text in page.texts("#workers tbody td:nth-child(2)")]


@pytest.fixture
def page(night: Stack, browser: Browser) -> Iterator[Browser]:
    """The page, open and live; it must have logged nothing and asked nobody else."""
    browser.open(night.url)
    browser.wait("document.getElementById('live').textContent === 'live'")
    yield browser
    assert (browser.problems(), browser.outside()) == ([], [])


def test_its_numbers(night: Stack, page: Browser) -> None:
    """They are those of /health and the API; it tells of causes, batches and workers, and of no prompt and no answer."""
    page.wait("document.querySelector('h1').textContent === 'All is well: 2 workers idle, nothing to do.'")
    assert [page.text(f"#{name}") for name in ("queued", "in-progress", "completed", "failed")] == ["0", "0", "6", "3"]
    assert len(night.http("GET", "/v1/jobs?status=failed").body["data"]) == 1
    assert page.text("#failures tbody th code") == "invalid_request_error"
    assert page.text("#failures tbody td") == "3"
    assert page.text("#batches tbody th a") == "night.jsonl"
    assert page.text("#batches tbody td").split() == ["5", "of", "5"]
    assert "2 failed" in page.text("#batches tbody th")
    # Nothing is to be done, so what the next beats tell is the last word; the page may have it a look later.
    wait_until(lambda: sum(turns(night).values()) == TURNS, "the workers to have told of each turn")
    assert page.texts("#workers .name") == sorted(turns(night))
    in_order = [str(count) for _, count in sorted(turns(night).items())]
    wait_until(lambda: shown_turns(page) == in_order, "the page to show them")
    source = page.driver.page_source
    assert PROMPT not in source
    assert ANSWER not in source


def test_it_stays_true(night: Stack, page: Browser) -> None:
    """What is asked and answered meanwhile shows without a reload, the worker that does it too."""
    page.run("window.stays = 'the same page'")
    before = int(page.text("#completed"))
    job = night.submit("slowly")
    # All of it at one moment: later the answer may be there.
    page.wait(
        "document.querySelector('h1').textContent.startsWith('All is well: 1 of 2 workers busy')"
        f" && document.querySelector('#workers .state.busy a')?.href.endsWith('{job}')"
    )
    (held,) = (one["id"] for one in night.simulator.rules() if one["rule"]["match"].get("contains") == "slowly")
    night.simulator.remove_rule(held)
    page.wait(f"document.getElementById('completed').textContent === '{before + 1}'")
    assert page.run("return window.stays") == "the same page"
    assert page.run("return document.querySelectorAll('#plots canvas').length") == 2


def test_pause_and_resume_by_keyboard(night: Stack, page: Browser) -> None:
    """Tab reaches the buttons in order; a pause is so in the API, counts down, is read out, and ends by the next key."""
    page.run("window.stays = 'the same page'")
    keys = ActionChains(page.driver)
    focused: list[str] = []
    while "Pause" not in focused:
        keys.send_keys(Keys.TAB).perform()
        focused.append(str(page.run("return document.activeElement.textContent.trim()")))
        assert len(focused) < 9
    assert focused[0] == "Skip to the content"
    assert page.run("return getComputedStyle(document.activeElement).outlineStyle") == "solid"
    keys.send_keys(Keys.TAB, "for 1").perform()
    keys.key_down(Keys.SHIFT).send_keys(Keys.TAB).key_up(Keys.SHIFT).send_keys(Keys.ENTER).perform()
    page.wait("document.querySelector('h1').textContent.startsWith('Paused until ')")
    gate = night.http("GET", "/v1/gate").body
    assert (gate["cause"], 3500 < gate["until"] - gate["since"] <= 3600) == ("paused", True)
    countdown = page.text("h1 time[data-shown=countdown]")
    assert countdown.startswith(("in 59 min", "in 1 h"))
    page.wait(f"document.querySelector('h1 time[data-shown=countdown]').textContent !== '{countdown}'")
    assert page.text("#said") == "Paused"
    assert page.run("return document.activeElement.textContent.trim()") == "Resume"
    keys.send_keys(Keys.ENTER).perform()
    page.wait("document.querySelector('h1').textContent.startsWith('All is well')")
    assert night.http("GET", "/v1/gate").body["open"] is True
    assert page.run("return window.stays") == "the same page"


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("size", [DESK, PHONE], ids=["desk", "phone"])
def test_anybody_can_read_it(page: Browser, size: tuple[int, int], *, dark: bool) -> None:
    """No sideways scrolling, enough contrast, one main heading, and every table with its caption and heads."""
    page.view(size, dark=dark)
    page.run("document.querySelector('summary').click()")
    assert page.overflow() <= 0
    ratio, text = page.contrast()
    assert ratio >= 4.5, text
    assert (page.run("return getComputedStyle(document.body).backgroundColor") == "rgb(16, 20, 27)") == dark
    count = page.run("return ['main', 'h1', 'table', 'table > caption'].map(s => document.querySelectorAll(s).length)")
    assert count == [1, 1, 4, 4]
    assert page.run("return [...document.querySelectorAll('thead th')].every(one => one.scope === 'col')")


def test_without_a_script(night: Stack, browser: Browser) -> None:
    """It is all there, as it was when it was loaded, and the buttons work."""
    browser.driver.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": True})
    try:
        browser.open(night.url)
        assert browser.text("#live") == "as it was when it was loaded"
        assert len(browser.driver.find_elements(By.CSS_SELECTOR, "#plots svg path.completed")) == 1
        browser.driver.find_element(By.CSS_SELECTOR, "form button").click()
        wait_until(lambda: browser.text("h1") == "Paused until somebody resumes.", "the pause")
        browser.driver.find_element(By.CSS_SELECTOR, "form button").click()
        wait_until(lambda: browser.text("h1").startswith("All is well"), "the resume")
    finally:
        browser.driver.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": False})
