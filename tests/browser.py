"""A page in Chromium, and what can be wrong with it. Nothing is downloaded: browser and driver are the system's."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from selenium import webdriver
from selenium.webdriver.chrome.service import Service

PHONE = 390  # pixels
CHROMIUM, DRIVER = shutil.which("chromium"), shutil.which("chromedriver")
QUIET = (
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
)
# The ratio is that of the Web Content Accessibility Guidelines, 2.2; 4.5 is needed, and 3 for large letters.
CONTRASTS = """
const context = document.createElement("canvas").getContext("2d", { willReadFrequently: true });
const known = {};
const rgba = colour => known[colour] ??= painted(colour);
function painted(colour) {
  context.clearRect(0, 0, 1, 1);
  context.fillStyle = colour;
  context.fillRect(0, 0, 1, 1);
  const [r, g, b, a] = context.getImageData(0, 0, 1, 1).data;
  return [r, g, b, a / 255];
}
const over = (top, below) => [0, 1, 2].map(k => top[k] * top[3] + below[k] * (1 - top[3])).concat(1);
function background(element) {
  if (!element) return document.documentElement.matches("[data-theme=dark]") ? [0, 0, 0, 1] : rgba("Canvas");
  const own = rgba(getComputedStyle(element).backgroundColor);
  return own[3] === 1 ? own : over(own, background(element.parentElement));
}
function luminance(colour) {
  const [r, g, b] = colour.map(x => (x /= 255) <= 0.04045 ? x / 12.92 : ((x + 0.055) / 1.055) ** 2.4);
  return 0.2126 * r + 0.7152 * g + 0.0722 * b;
}
const found = {};
for (const element of document.querySelectorAll("body *")) {
  const words = [...element.childNodes].filter(x => x.nodeType === 3).map(x => x.data.trim()).join(" ").trim();
  if (!words || element.closest("script, style") || !element.checkVisibility({ visibilityProperty: true })) continue;
  const style = getComputedStyle(element), size = parseFloat(style.fontSize), below = background(element);
  const letters = over(rgba(element instanceof SVGElement ? style.fill : style.color), below);
  const [dark, light] = [luminance(letters), luminance(below)].sort((a, b) => a - b);
  const ratio = (light + 0.05) / (dark + 0.05), large = size >= 24 || (size >= 18.66 && style.fontWeight >= 700);
  const where = `${element.tagName}.${element.getAttribute("class")}: ${ratio.toFixed(2)}`;
  if (ratio < (large ? 3 : 4.5)) found[where] ??= words.slice(0, 60);
}
return found;
"""
WIDE = """
return [...document.querySelectorAll("body *")].filter(x => x.getBoundingClientRect().right > arguments[0] + 1)
  .slice(0, 5).map(x => `${x.tagName}.${x.className} ${x.textContent.trim().slice(0, 40)}`);
"""
WORDLESS = """
const named = x => x.getAttribute("alt") ?? x.getAttribute("aria-label") ?? x.getAttribute("aria-labelledby");
return [...document.querySelectorAll("img, svg, canvas")]
  .filter(x => named(x) === null && !x.closest("[aria-label], [aria-hidden=true], a, button"))
  .map(x => x.outerHTML.slice(0, 90));
"""


class Browser:
    """A Chromium without a window."""

    def __init__(self, driver: webdriver.Chrome) -> None:
        self.driver = driver

    def open(self, page: str, *, dark: bool = False, width: int = 1200) -> None:
        """Open a page at a width, light or dark, as a reader who prefers that would have it."""
        wishes = {"prefers-color-scheme": "dark" if dark else "light", "prefers-reduced-motion": "reduce"}
        features = [{"name": name, "value": value} for name, value in wishes.items()]
        self.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})
        metrics = {"width": width, "height": 844, "deviceScaleFactor": 1, "mobile": width == PHONE}
        self.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
        self.driver.get("about:blank")
        self.forget()
        self.driver.get(page)

    def forget(self) -> None:
        for log in ("browser", "performance"):
            self.driver.get_log(log)

    def run(self, script: str, *arguments: Any) -> Any:
        return self.driver.execute_script(script, *arguments)

    def complaints(self) -> list[str]:
        """The errors on the console since the page was opened."""
        return [entry["message"] for entry in self.driver.get_log("browser") if entry["level"] == "SEVERE"]

    def fetched(self) -> list[str]:
        """What was asked of a network since the page was opened."""
        events = (json.loads(entry["message"])["message"] for entry in self.driver.get_log("performance"))
        asked = (e["params"]["request"]["url"] for e in events if e["method"] == "Network.requestWillBeSent")
        return [url for url in asked if not url.startswith(("file:", "data:", "about:", "blob:"))]

    def pale(self) -> dict[str, str]:
        """Text that is hard to read, by what it stands in."""
        found: dict[str, str] = self.run(CONTRASTS)
        return found

    def wide(self, width: int) -> list[str]:
        """What makes the page wider than the screen."""
        needed = self.run("return document.documentElement.scrollWidth")
        return [] if needed <= width else [f"{needed} px", *self.run(WIDE, width)]

    def wordless(self) -> list[str]:
        """Pictures without words for those who do not see them."""
        found: list[str] = self.run(WORDLESS)
        return found


@contextmanager
def browser() -> Iterator[Browser]:
    """Chromium, until the block ends. Needs CHROMIUM and DRIVER."""
    options = webdriver.ChromeOptions()
    options.binary_location = str(CHROMIUM)
    for argument in QUIET:
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    driver = webdriver.Chrome(options=options, service=Service(str(DRIVER)))
    try:
        yield Browser(driver)
    finally:
        driver.quit()


def address(file: Path) -> str:
    return file.absolute().as_uri()
