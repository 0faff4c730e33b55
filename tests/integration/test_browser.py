"""The browser sees what a page does wrong, so that a page without faults can be believed."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import quote

from tests.browser import PHONE

if TYPE_CHECKING:
    from tests.browser import Browser

PAGE = """<!doctype html><meta name=viewport content="width=device-width"><h1>Faults</h1><div style="width: 400px">wide</div>
<img src="http://example.com/one.png"><script>console.error("spoken")</script>"""


def test_faults_are_seen(browser: Browser) -> None:
    """Console errors, requests to other hosts and a page that is too wide for a phone are told; a new test starts without."""
    browser.view(PHONE, dark=True)
    browser.open(f"data:text/html,{quote(PAGE)}")
    assert browser.text("h1") == "Faults"
    assert browser.run("return matchMedia('(prefers-color-scheme: dark)').matches") is True
    assert browser.outside() == ["http://example.com/one.png"]
    assert browser.overflow() >= 40
    problems = browser.problems()
    assert any("spoken" in one for one in problems)
    assert any("one.png" in one for one in problems)
    browser.forget()
    assert (browser.problems(), browser.asked(), browser.overflow()) == ([], [], 0)
