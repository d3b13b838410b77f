"""Makes docs/pictures/*.png of the report that `altgrad report` writes from what `make verify` left.

    python docs/screenshots.py

needs Chromium and its driver (Debian: chromium, chromium-driver), and the extra `tests`.
"""

from __future__ import annotations

import base64
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from proofs_checks import report  # noqa: E402  # the clone's, from wherever this is run
from proofs_checks.judgement import judge  # noqa: E402
from proofs_checks.runner import Book, Run  # noqa: E402
from proofs_checks.store import FOLDER, Store  # noqa: E402
from tests.browser import PHONE, Browser, address, browser  # noqa: E402

# For each picture what comes to its top, the size of the window, and whether it is dark.
PICTURES = {
    "summary": ("summary", (1000, 620), False),
    "graph": ("graph-title", (1000, 620), True),
    "statement": (report.anchor("G.3"), (1000, 760), False),
    "phone": (report.anchor("G.3"), (PHONE, 760), True),
}


def main() -> None:
    """All pictures."""
    run = Run(Book.open(), Store(ROOT / FOLDER), profile="quick", seed=0)
    with TemporaryDirectory() as folder, browser() as window:
        page = Path(folder) / "report.html"
        page.write_text(report.html(judge(run.book, run), run), encoding="utf-8")
        for name, (top, size, dark) in PICTURES.items():
            window.open(address(page), dark=dark, width=size[0])
            (ROOT / "docs" / "pictures" / f"{name}.png").write_bytes(taken(window, top, size))


def taken(window: Browser, top: str, size: tuple[int, int]) -> bytes:
    """The window with an element at its top."""
    y = window.run("document.getElementById(arguments[0]).scrollIntoView(); return scrollY", top)
    clip = {"x": 0, "y": y, "width": size[0], "height": size[1], "scale": 1}
    return base64.b64decode(window.driver.execute_cdp_cmd("Page.captureScreenshot", {"clip": clip})["data"])


if __name__ == "__main__":
    main()
