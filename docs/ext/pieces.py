"""A module's source in pieces, each with its prose apart: what the annotated pages are made of.

Every line of the source belongs to exactly one piece, in order, so no page can leave something out.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import pairwise, takewhile
from textwrap import dedent

SECTION = re.compile(r"# -{3,} *(.*)")
# What prose may hold of the markup of docstrings: `code`, :math:`x`, **bold**, *a few words*.
MARKUP = re.compile(r"(:math:`[^`]+`|`[^`]+`|\*\*[^*]+\*\*|(?<!\w)\*\w[\w -]*\*(?!\w))")
SPECIAL = re.compile(r"([*_|\\])")

Definition = ast.FunctionDef | ast.ClassDef


@dataclass(frozen=True)
class Piece:
    """Consecutive lines of a module: its head, a definition, or what stands between definitions."""

    name: str  # of what is defined here, with its class; empty if nothing is
    lines: tuple[str, ...]
    docstring: str
    docstring_lines: range  # within `lines`

    @property
    def heading(self) -> str:
        """The section that begins here, if one does."""
        found = SECTION.fullmatch(self.lines[0].strip())
        return found[1] if found else ""

    @property
    def introduction(self) -> str:
        """What comments say of the section, right under its heading."""
        comments = takewhile(lambda line: line.lstrip().startswith("#"), self.lines[1:] if self.heading else ())
        return "\n".join(comment.strip().removeprefix("#").removeprefix(" ") for comment in comments)

    @property
    def code(self) -> str:
        """The lines without the docstring, the section's rule and its introduction."""
        first = 1 + len(self.introduction.splitlines()) if self.heading else 0
        kept = (line for k, line in enumerate(self.lines) if k >= first and k not in self.docstring_lines)
        return dedent("\n".join(kept)).strip("\n")


def pieces(source: str) -> list[Piece]:
    """A module's source, cut before each function, class and method, and before what follows one.

    >>> for piece in pieces('"Head."\\nx = 1\\n\\ndef f():\\n    "Prose."\\n    return x\\n'):
    ...     piece.name, piece.docstring, piece.code
    ('', 'Head.', 'x = 1')
    ('f', 'Prose.', 'def f():\\n    return x')
    """
    lines = source.splitlines()
    module = ast.parse(source)
    starts = {0: ("", module), **{_start(node, lines): (name, node) for name, node in _boundaries(module, lines)}}
    return [_piece(*starts[a], a, lines[a:b]) for a, b in pairwise([*sorted(starts), len(lines)])]


def _boundaries(
    parent: ast.Module | ast.ClassDef, lines: list[str], prefix: str = ""
) -> Iterator[tuple[str, ast.stmt]]:
    """Each definition, each first statement after one that is none itself, and each that a section begins with."""
    after_definition = False
    for node in parent.body:
        if isinstance(node, Definition):
            yield prefix + node.name, node
            if isinstance(node, ast.ClassDef):
                yield from _boundaries(node, lines, f"{prefix}{node.name}.")
        elif after_definition or SECTION.fullmatch(lines[_start(node, lines)].strip()):
            yield "", node
        after_definition = isinstance(node, Definition)


def _start(node: ast.stmt, lines: list[str]) -> int:
    """The line, from 0, where a statement begins with its decorators and the comments above it."""
    decorators = node.decorator_list if isinstance(node, Definition) else []
    first = min([node.lineno, *(decorator.lineno for decorator in decorators)]) - 1
    first = _above(lines, first, lambda line: line.startswith("#"))
    section = _above(lines, _above(lines, first, lambda line: not line), lambda line: line.startswith("#"))
    return section if SECTION.fullmatch(lines[section].strip()) else first


def _above(lines: list[str], k: int, belongs: Callable[[str], bool]) -> int:
    """The first of the lines right above line k that belong to it."""
    while k and belongs(lines[k - 1].strip()):
        k -= 1
    return k


def _piece(name: str, node: ast.AST, start: int, lines: list[str]) -> Piece:
    docstring = ast.get_docstring(node) if isinstance(node, Definition | ast.Module) else None
    if docstring is None:
        return Piece(name, tuple(lines), "", range(0))
    text = node.body[0]  # type: ignore[attr-defined]
    return Piece(name, tuple(lines), docstring, range(text.lineno - 1 - start, text.end_lineno - start))


def rst(docstring: str) -> str:
    """A docstring as reStructuredText: its tables are Markdown's, and its prose is full of `X_{i,*}` and `|x|`.

    >>> rst("The norm |x| of `x`.")
    'The norm \\\\|x\\\\| of `x`.'
    """
    return "\n\n".join(_block(block) for block in re.split(r"\n{2,}", docstring))


def _block(block: str) -> str:
    """Lines between blank ones: a table, something that is code or mathematics, or prose."""
    lines = block.split("\n")
    if len(lines) > 1 and lines[1].startswith("|--"):
        return _table(lines)
    if re.match(r"\s*(>>>|\.\. math::)", block):
        return block
    if all(line.startswith("    ") for line in lines):  # what follows `.. math::` after a blank line
        return block
    return "\n".join(_items(lines))


def _items(lines: list[str]) -> Iterator[str]:
    """Prose, escaped; a list gets the blank line before it that Markdown does without."""
    for k, line in enumerate(lines):
        if line.startswith("- ") and k and not lines[k - 1].startswith(("- ", "  ")):
            yield ""
        yield escaped(line)


def escaped(text: str) -> str:
    """Prose in which only known markup keeps its meaning."""
    parts = MARKUP.split(text)
    parts[::2] = [SPECIAL.sub(r"\\\1", part) for part in parts[::2]]
    parts[2::2] = [re.sub(r"^(?=\w)", r"\\ ", part) for part in parts[2::2]]  # `Part`s
    return "".join(parts)


def _table(lines: list[str]) -> str:
    rows = [[cell.strip() for cell in line.strip()[1:-1].split("|")] for line in (lines[0], *lines[2:])]
    shown = [".. list-table::", "   :header-rows: 1", ""]
    for row in rows:
        shown += [f"   {' ' if k else '*'} - {escaped(cell)}".rstrip() for k, cell in enumerate(row)]
    return "\n".join(shown)
