"""A page that is open fetches nothing: what would come from the network is a warning, which `make docs` refuses."""

from __future__ import annotations

import re
from pathlib import Path

from sphinx.application import Sphinx
from sphinx.util import logging

# What browsers fetch unasked; a link that somebody follows is an `a`.
FETCHED = re.compile(
    r"<(?:script|link|img|iframe|source)\b[^>]*?\b(?:src|href)=[\"']((?:https?:)?//[^\"']+)", re.IGNORECASE
)


def check(app: Sphinx, exception: Exception | None) -> None:
    """Look through the pages that were built."""
    if exception is not None or app.builder.format != "html":
        return
    for page in sorted(Path(app.outdir).rglob("*.html")):
        for address in FETCHED.findall(page.read_text("utf-8")):
            logging.getLogger(__name__).warning("%s would fetch %s", page.relative_to(app.outdir), address)


def setup(app: Sphinx) -> dict[str, bool]:
    app.connect("build-finished", check)
    return {"parallel_read_safe": True}
