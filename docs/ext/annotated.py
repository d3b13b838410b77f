"""Pages that show each module of `reference/` with its mathematics beside its code, made from the source alone.

Before a build, one page for each module is written to `docs/modules/`, which holds nothing else; the directive
`annotated` fills it.
"""

from __future__ import annotations

import importlib
import inspect
from pathlib import Path
from typing import Any

from docutils import nodes
from docutils.statemachine import StringList
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

from docs.ext.pieces import Piece, pieces, rst

PACKAGE = "reference"


class Annotated(SphinxDirective):
    """A module's pieces, each with its docstring as prose and its code."""

    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        module = importlib.import_module(self.arguments[0])
        path = inspect.getsourcefile(module)
        assert path is not None
        self.env.note_dependency(path)
        page = nodes.container()
        section: nodes.Element = page
        for piece in pieces(Path(path).read_text("utf-8")):
            if piece.heading:
                section = nodes.section("", nodes.title("", piece.heading), ids=[nodes.make_id(piece.heading)])
                page += section
                self.parse(piece.introduction, piece, section)
            if piece.code or piece.docstring:
                section += self.pair(piece)
        return page.children

    def pair(self, piece: Piece) -> nodes.Element:
        """Prose and code side by side."""
        prose = nodes.container(classes=["prose"])
        if piece.name:
            prose += nodes.paragraph("", "", nodes.strong("", piece.name))
        self.parse(piece.docstring, piece, prose)
        code = nodes.literal_block(piece.code, piece.code, language="python")
        return nodes.container("", prose, code, classes=["pair"], ids=[piece.name] if piece.name else [])

    def parse(self, text: str, piece: Piece, into: nodes.Element) -> None:
        """Read prose of a piece, which warnings then name."""
        lines = StringList(rst(text).splitlines(), source=f"{self.arguments[0]}.{piece.name}")
        self.state.nested_parse(lines, 0, into)


def write_pages(app: Sphinx) -> None:
    """One page for each module, and the list of them."""
    folder = Path(app.srcdir) / "modules"
    folder.mkdir(exist_ok=True)
    package = Path(app.srcdir).parent / PACKAGE
    names = sorted(path.stem for path in package.glob("*.py") if path.stem != "__init__")
    for stale in {path.stem for path in folder.glob("*.rst")} - set(names):
        (folder / f"{stale}.rst").unlink()
    for name in names:
        write(folder / f"{name}.rst", f"{name}\n{'=' * len(name)}\n\n.. annotated:: {PACKAGE}.{name}\n")


def write(path: Path, text: str) -> None:
    """Write a page unless it says so already, which would make Sphinx read it again."""
    if not path.exists() or path.read_text("utf-8") != text:
        path.write_text(text, "utf-8")


def as_rst(app: Sphinx, what: str, name: str, obj: Any, options: Any, lines: list[str]) -> None:
    """Docstrings on the pages of autodoc are read as those beside the code."""
    lines[:] = rst("\n".join(lines).strip()).splitlines()


def setup(app: Sphinx) -> dict[str, bool]:
    app.add_directive("annotated", Annotated)
    app.connect("builder-inited", write_pages)
    app.connect("autodoc-process-docstring", as_rst)
    return {"parallel_read_safe": True}
