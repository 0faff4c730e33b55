"""A real browser, headless: what a page shows, what it logs, which hosts it asks, and how it looks at a phone's width.

Tests take the fixture `browser`, one Chromium a session: `view` (size, dark or light), `open`, then ask what is to be known.
"""

from __future__ import annotations

import contextlib
import json
import tempfile
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from selenium.common.exceptions import StaleElementReferenceException
from selenium.webdriver import Chrome, ChromeOptions, ChromeService
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys

from tests.needs import needs
from tests.redis_server import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

#: width and height in CSS pixels
PHONE = (360, 740)
DESK = (1280, 800)
_HERE = ("127.0.0.1", "localhost")
#: of a page's own pieces, `data:` say, nobody else hears
_NETWORK = ("http", "https", "ws", "wss")
#: the lowest contrast of text with what is behind it
_CONTRAST = """
const channel = (c) => (c /= 255) <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4;
const light = (c) => { const [r, g, b] = c.match(/[\\d.]+/g).map(Number); return .2126 * channel(r) + .7152 * channel(g) + .0722 * channel(b); };
const behind = (e) => { const c = getComputedStyle(e).backgroundColor; return e.parentElement && /, 0\\)$/.test(c) ? behind(e.parentElement) : c; };
let lowest = [99, ""];
for (const e of document.querySelectorAll("body *")) {
  if (![...e.childNodes].some((n) => n.nodeType === 3 && n.data.trim()) || !e.checkVisibility()) continue;
  const [high, low] = [light(getComputedStyle(e).color), light(behind(e))].sort((a, b) => b - a);
  const ratio = (high + .05) / (low + .05);
  if (ratio < lowest[0]) lowest = [ratio, e.textContent.trim().slice(0, 40)];
}
return lowest;
"""
_ARGUMENTS = (
    "--headless=new",
    "--no-sandbox",  # refuses to run as root, and where a container allows no namespaces
    "--disable-dev-shm-usage",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
    "--hide-scrollbars",  # they would take from the width
    "--host-resolver-rules=MAP * ~NOTFOUND , EXCLUDE 127.0.0.1, EXCLUDE localhost",
)


@dataclass
class Browser:
    """A started Chromium. It reaches this machine only; what it asks of others is seen, and fails."""

    driver: Chrome
    _width: int = DESK[0]
    _asked: list[str] = field(default_factory=list)

    def open(self, url: str) -> None:
        """Load the page, until its `load` event."""
        self.driver.get(url)

    def view(self, size: tuple[int, int] = DESK, *, dark: bool = False) -> None:
        """From now on this width and height, and light or dark as the user prefers."""
        self._width, height = size
        self._resize(height)
        scheme = [{"name": "prefers-color-scheme", "value": "dark" if dark else "light"}]
        self._command("Emulation.setEmulatedMedia", {"features": scheme})

    def forget(self) -> None:
        """As at the start: an empty page, nothing logged, nothing asked for, a desk's width, light."""
        self.driver.get("about:blank")
        self.driver.delete_all_cookies()
        self.view()
        self.problems()
        self.asked()
        self._asked.clear()

    def text(self, selector: str = "body") -> str:
        """What is to be read in the first element that fits."""
        return self.texts(selector, least=1)[0]

    def texts(self, selector: str, *, least: int = 0) -> list[str]:
        """The same of all that fit, waited for until there are so many."""
        found: list[str] = []

        def are_read() -> bool:
            # A page that lives may put another in an element's place just now.
            with contextlib.suppress(StaleElementReferenceException):
                found[:] = [str(one.text) for one in self.driver.find_elements(By.CSS_SELECTOR, selector)]
                return len(found) >= least
            return False

        wait_until(are_read, f"{least} of {selector}")
        return found

    def run(self, script: str) -> Any:
        """What a piece of JavaScript returns. It runs whatever the page's own policy says."""
        return self.driver.execute_script(script)

    def wait(self, condition: str, timeout: float = 30) -> None:
        """Until that piece of JavaScript is true."""
        wait_until(lambda: bool(self.run(f"return {condition}")), condition, timeout)

    def problems(self) -> list[str]:
        """What the console has said since the last call: errors and warnings, refused loads included."""
        return [str(entry["message"]) for entry in self.driver.get_log("browser")]  # type: ignore[no-untyped-call]

    def asked(self) -> list[str]:
        """The URLs that pages have asked for so far, in their order."""
        for entry in self.driver.get_log("performance"):  # type: ignore[no-untyped-call]
            message = json.loads(entry["message"])["message"]
            if message["method"] == "Network.requestWillBeSent":
                url = message["params"]["request"]["url"]
                if urlsplit(url).scheme in _NETWORK:
                    self._asked.append(url)
        return self._asked

    def outside(self) -> list[str]:
        """Those of them that lead to another machine."""
        return [url for url in self.asked() if urlsplit(url).hostname not in _HERE]

    def overflow(self) -> int:
        """By how many pixels the page is wider than the window: a phone would scroll sideways, or shrink it."""
        return int(self.run("return document.documentElement.scrollWidth")) - self._width

    def contrast(self) -> tuple[float, str]:
        """The lowest of a text with what is behind it, and that text."""
        ratio, text = self.run(_CONTRAST)
        return float(ratio), str(text)

    def tab_to(self, text: str, most: int = 40) -> None:
        """Press Tab until what reads so, or has this id, has the focus."""
        named = "document.activeElement.textContent.trim()", "document.activeElement.id"
        for _ in range(most):
            ActionChains(self.driver).send_keys(Keys.TAB).perform()
            if text in [self.run(f"return {one}") for one in named]:
                return
        raise AssertionError(f"Tab leads to no '{text}'")

    def press(self, *keys: str) -> None:
        """On the keyboard, into what has the focus."""
        ActionChains(self.driver).send_keys(*keys).perform()

    def screenshot(self, path: Path) -> None:
        """The whole page as a PNG: for people."""
        self._resize(int(self.run("return document.documentElement.scrollHeight")))
        self.driver.save_screenshot(str(path))

    def _resize(self, height: int) -> None:
        metrics = {"width": self._width, "height": height, "deviceScaleFactor": 1, "mobile": self._width <= PHONE[0]}
        self._command("Emulation.setDeviceMetricsOverride", metrics)

    def _command(self, name: str, parameters: Mapping[str, Any]) -> Any:
        return self.driver.execute_cdp_cmd(name, dict(parameters))


@contextlib.contextmanager
def chromium() -> Iterator[Browser]:
    """A browser with a profile of its own; nothing of it is left afterwards."""
    options = ChromeOptions()
    options.binary_location = needs("chromium")
    with tempfile.TemporaryDirectory(prefix="nightshift-browser-") as profile:
        for argument in (*_ARGUMENTS, f"--user-data-dir={profile}"):
            options.add_argument(argument)
        options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
        driver = Chrome(options, ChromeService(needs("chromedriver")))
        try:
            yield Browser(driver)
        finally:
            driver.quit()
