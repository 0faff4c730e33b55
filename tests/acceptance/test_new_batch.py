"""A batch from a table in a real browser, on a whole stack: on a phone, by keyboard alone, light and dark."""

from __future__ import annotations

import csv
from typing import TYPE_CHECKING

from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys

from tests.browser import PHONE

if TYPE_CHECKING:
    from pathlib import Path

    from tests.acceptance.stack import Stack
    from tests.browser import Browser

EVIL = "<img src=x onerror=\"document.title='evil'\">"


def look(page: Browser) -> None:
    """It can be read in both colours, without sideways scrolling."""
    for dark in (True, False):
        page.view(PHONE, dark=dark)
        assert page.overflow() <= 0
        ratio, text = page.contrast()
        assert ratio >= 4.5, text
    assert page.run("return document.querySelectorAll('main h1, header h1').length") == 1


def upload(page: Browser, stack: Stack, table: Path) -> None:
    """From the first page to the prompt's."""
    page.open(stack.url)
    page.tab_to("New batch from a table")
    page.press(Keys.ENTER)
    page.wait("document.querySelector('#file') !== null")
    look(page)
    # The dialogue that Enter opens is the browser's own.
    page.driver.find_element(By.ID, "file").send_keys(str(table))
    page.tab_to("Upload")
    page.press(Keys.ENTER)
    page.wait("document.activeElement.id === 'template'")
    look(page)


def write(page: Browser) -> None:
    """A prompt with a mistake, and the right one, whose column's name is put in by its button."""
    page.press("Is it kind? {txt}")
    page.tab_to("Try 5 rows")
    page.press(Keys.ENTER)
    page.wait("document.title.startsWith('Please look again')")
    assert page.run("return document.activeElement.id") == "template"
    described = page.run("return document.activeElement.getAttribute('aria-describedby').split(' ')[0]")
    assert page.text(f"#{described}").startswith("There is no column 'txt'. Did you mean 'text'?")
    look(page)
    page.driver.switch_to.active_element.send_keys(Keys.CONTROL + "a")
    page.press("Is it kind? ")
    page.tab_to("{text}")
    page.press(Keys.ENTER)
    assert page.run("return document.activeElement.value") == "Is it kind? {text}"


def test_from_a_table_to_its_answers(stack: Stack, browser: Browser, tmp_path: Path) -> None:
    """Upload, a prompt with a mistake, five rows on trial, the forecast, the rest; each step is said, and the table comes back."""
    held = stack.simulator.add_rule({"text": "=Kind.", "held": True})
    stack.simulator.add_rule({"text": "=Kind."})
    table = tmp_path / "reviews.csv"
    table.write_text("id,text\n" + "".join(f"r{n},{'good ' * n}{EVIL if n == 2 else ''}\n" for n in range(8)))
    browser.view(PHONE)
    upload(browser, stack, table)
    assert EVIL in browser.text("tbody")
    write(browser)
    browser.tab_to("Try 5 rows")
    browser.press(Keys.ENTER)
    browser.wait("document.getElementById('verdict')?.textContent === '0 of 8 requests done so far'")
    browser.run("window.stays = 'the same page'")
    assert "It tries 5 requests first" in browser.text("header")
    stack.simulator.remove_rule(held)
    browser.wait("document.getElementById('held') !== null")
    assert browser.text("#forecast caption").startswith("3 requests, by the 5 that were tried")
    assert browser.texts("#answers pre")[1] == "=Kind."
    look(browser)
    # For those who hear the page, and without a reload.
    said = browser.run("return document.getElementById('said').textContent")
    assert said == "5 of 8 requests done so far: its first requests were tried"
    assert browser.run("return window.stays") == "the same page"
    # What is folded by hand stays so, whatever the page does with itself meanwhile.
    browser.run("document.querySelector('#answers details').open = false")
    browser.run("document.querySelector('#answers summary').textContent = 'drawn anew'")
    browser.wait("document.querySelector('#answers summary').textContent !== 'drawn anew'")
    assert browser.run("return [...document.querySelectorAll('#answers details')].map((one) => one.open)") == [
        False,
        *[True] * 4,
    ]
    browser.tab_to("Continue")
    browser.press(Keys.ENTER)
    browser.wait("document.getElementById('verdict')?.textContent === 'All 8 requests were answered'")
    look(browser)
    browser.tab_to("reviews.answers.csv")
    found = browser.run("return fetch(document.activeElement.href).then((answer) => answer.text())")
    rows = list(csv.DictReader(found.splitlines()))
    assert [(row["id"], row["answer"], row["error"]) for row in rows] == [(f"r{n}", "=Kind.", "") for n in range(8)]
    assert "evil" not in browser.driver.title
    assert browser.outside() == []
    # The prompt that could not be used, and nothing else.
    assert ["400 (BAD REQUEST)" in one for one in browser.problems()] == [True]
