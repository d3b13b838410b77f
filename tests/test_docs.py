"""The site: the Python that its pages show runs, and the annotated modules leave out nothing of the source."""

from __future__ import annotations

import doctest
from pathlib import Path

import pytest

from docs.ext import pieces as extension
from docs.ext.pieces import escaped, pieces, rst

ROOT = Path(__file__).parent.parent
PAGES = sorted(path for path in (ROOT / "docs").glob("*.md") if ">>>" in path.read_text("utf-8"))
MODULES = sorted((ROOT / "reference").glob("*.py"))

SAMPLE = '''"""Head."""

import x

# --- first


# why
@decorated
def f():
    """Prose of f."""
    return 1


LIMIT = 2

# ---------------- second
# of two
#
# paragraphs


class C:
    """Prose of C."""

    size = 3

    def g(self):
        return 4
'''


@pytest.mark.parametrize("page", PAGES, ids=lambda path: path.stem)
def test_the_python_of_a_page_runs(page: Path) -> None:
    failed, tried = doctest.testfile(str(page), module_relative=False, optionflags=doctest.ELLIPSIS)
    assert tried
    assert not failed


def test_the_examples_of_the_extension_run() -> None:
    failed, tried = doctest.testmod(extension)
    assert tried
    assert not failed


@pytest.mark.parametrize("module", MODULES, ids=lambda path: path.stem)
def test_every_line_of_a_module_is_in_one_piece(module: Path) -> None:
    source = module.read_text("utf-8")
    assert [line for piece in pieces(source) for line in piece.lines] == source.splitlines()


@pytest.mark.parametrize("module", MODULES, ids=lambda path: path.stem)
def test_every_section_of_a_module_is_a_heading(module: Path) -> None:
    source = module.read_text("utf-8")
    ruled = [match[1] for line in source.splitlines() if (match := extension.SECTION.fullmatch(line.strip()))]
    assert [piece.heading for piece in pieces(source) if piece.heading] == ruled


def test_pieces_have_their_names_headings_prose_and_code() -> None:
    assert [
        (piece.name, piece.heading, piece.introduction, piece.docstring, piece.code) for piece in pieces(SAMPLE)
    ] == [
        ("", "", "", "Head.", "import x"),
        ("f", "first", "", "Prose of f.", "# why\n@decorated\ndef f():\n    return 1"),
        ("", "", "", "", "LIMIT = 2"),
        ("C", "second", "of two\n\nparagraphs", "Prose of C.", "class C:\n\n    size = 3"),
        ("C.g", "", "", "", "def g(self):\n    return 4"),
    ]


@pytest.mark.parametrize(
    ("prose", "as_rst"),
    [
        ("X_{i,*} and |x|", r"X\_{i,\*} and \|x\|"),
        ("`a_b`s, **bold** and *two words*", r"`a_b`\ s, **bold** and *two words*"),
        (":math:`a_b` for a_b", r":math:`a_b` for a\_b"),
    ],
)
def test_prose_keeps_only_known_markup(prose: str, as_rst: str) -> None:
    assert escaped(prose) == as_rst


def test_tables_lists_mathematics_and_examples_become_those_of_restructured_text() -> None:
    table = "| a | b |\n|---|---|\n| `x` | |"
    assert rst(table) == ".. list-table::\n   :header-rows: 1\n\n   * - a\n     - b\n   * - `x`\n     -"
    assert rst("Text:\n- one_\n  more\n- two") == "Text:\n\n- one\\_\n  more\n- two"
    for kept in (".. math:: a_b", ">>> a_b\n1", ".. math::\n\n    a_b"):
        assert rst(kept) == kept
