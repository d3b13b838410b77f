"""What makes evidence stale, and what does not: shown on a small package written for each test."""

from __future__ import annotations

import importlib
import json
import os
import platform
import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from proofs_checks import digest
from proofs_checks.record import Check, Form, Part, Statement
from proofs_checks.runner import Book
from proofs_checks.trial import Result, Trial

ROOT = Path(__file__).parent.parent
CACHED = (
    digest.closure,
    digest.packages,
    digest._version,
    digest._distributions,
    digest.module_digest,
    digest.imports,
)

Digest = Callable[[dict[str, str]], str]


@dataclass(frozen=True)
class LabTrial(Trial):
    """Has a setting of each kind."""

    size: int = 3
    names: tuple[str, ...] = ("X", "W")
    helper: Callable[..., Any] | None = None
    options: dict[str, Any] = field(default_factory=lambda: {"scale": 1})

    @property
    def scope(self) -> str:
        return ""

    def run(self, claim: Any, seed: int) -> Result:
        return Result("open")


def function(module: str, name: str = "claim") -> Callable[..., Any]:
    """A function as if it were defined in the module."""

    def claim() -> None: ...

    claim.__module__, claim.__qualname__ = module, name
    return claim


CHECK = Check(
    kind="property",
    claim=function("lab.root"),
    trial=LabTrial(),
    false={"a": function("lab.root", "half"), "b": function("lab.root", "twice")},
)
FORM = Form(checks=(CHECK,), reading="scale 1")
PART = Part(kind="identity", claim="f = g", name="formula", forms=(FORM,))
STATEMENT = Statement(id="A", kind="lemma", title="", locus="", parts=(PART,), assumes=("n ≥ d",))


def clear() -> None:
    """Forget what was read: within one process the digest takes no notice of files that change."""
    importlib.invalidate_caches()
    for cached in CACHED:
        cached.cache_clear()


@pytest.fixture
def lab(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An empty package `lab` that counts as the project's own."""
    folder = tmp_path / "lab"
    folder.mkdir()
    (folder / "__init__.py").touch()
    monkeypatch.setattr(digest, "PROJECT", (*digest.PROJECT, "lab"))
    monkeypatch.setattr(LabTrial, "__module__", "lab.root")
    monkeypatch.syspath_prepend(str(tmp_path))
    clear()
    yield folder
    for name in [n for n in sys.modules if n.split(".")[0] == "lab"]:
        del sys.modules[name]
    clear()


@pytest.fixture
def digest_of(lab: Path) -> Digest:
    """The digest of the check, whose claim and trial are defined in `lab.root`, given the modules' code."""

    def written(modules: dict[str, str]) -> str:
        for name, code in modules.items():
            path = lab / f"{name.replace('.', '/')}.py"
            path.parent.mkdir(exist_ok=True)
            path.write_text(textwrap.dedent(code), encoding="utf-8")
        clear()
        return digest.check_digest(STATEMENT, PART, FORM, CHECK)

    return written


@pytest.fixture
def plain(digest_of: Digest) -> str:
    """The digest where nothing is imported."""
    return digest_of({"root": ""})


# --- code

CODE = '''
"""What it is."""

class Holder:
    """A class."""

    size = 3

    async def later(self):
        """Does nothing."""

def claim(x):
    """Twice x."""
    return "2" + x  # not doubled
'''
SAME = {
    "no comment": CODE.replace("  # not doubled", ""),
    "another comment": CODE.replace("# not doubled", "# prefixed"),
    "the module's docstring": CODE.replace("What it is.", "Something else."),
    "no docstring of the module": CODE.replace('"""What it is."""', ""),
    "the class's docstring": CODE.replace("A class.", "Some class."),
    "no docstring of the class": CODE.replace('    """A class."""\n', ""),
    "the coroutine's docstring": CODE.replace("Does nothing.", "Sleeps."),
    "pass for a docstring": CODE.replace('"""Does nothing."""', "pass"),
    "the function's docstring": CODE.replace("Twice x.", "x, prefixed by a two."),
    "a longer docstring": CODE.replace("Twice x.", "Twice x.\n\n    >>> claim(1)\n    2\n    "),
    "empty lines": CODE.replace("\n", "\n\n"),
    "parentheses": CODE.replace('"2" + x', '("2" + x)'),
}
OTHER = {
    "a string that is no docstring": CODE.replace('"2"', '"3"'),
    "an operator": CODE.replace(" + x", " * x"),
    "a name": CODE.replace("(x)", "(y)"),
    "a constant of the class": CODE.replace("size = 3", "size = 4"),
    "one more statement": CODE + "\nclaim = None\n",
    "a decorator": CODE.replace("def claim", "@print\ndef claim"),
    "a default": CODE.replace("(x)", "(x=1)"),
    "an annotation": CODE.replace("(x)", "(x: int)"),
}


@pytest.mark.parametrize("change", SAME)
def test_words_about_the_code_keep_evidence_fresh(digest_of: Digest, change: str) -> None:
    assert SAME[change] != CODE, "the change changes nothing"
    assert digest_of({"root": CODE}) == digest_of({"root": SAME[change]})


@pytest.mark.parametrize("change", OTHER)
def test_changed_code_makes_evidence_stale(digest_of: Digest, change: str) -> None:
    assert OTHER[change] != CODE, "the change changes nothing"
    assert digest_of({"root": CODE}) != digest_of({"root": OTHER[change]})


def test_two_modules_with_the_same_code_have_the_same_module_digest(digest_of: Digest) -> None:
    digest_of({"root": CODE, "other": SAME["no comment"]})
    assert digest.module_digest("lab.root") == digest.module_digest("lab.other")


# --- what the code imports


IMPORTS = {
    "import": "import lab.other",
    "import as": "import lab.other as o",
    "from the module": "from lab.other import value",
    "everything from the module": "from lab.other import *",
    "from the package": "from lab import other",
    "from the package, as": "from lab import other as o",
    "with others": "import json, lab.other",
    "in a function": "def claim():\n    from lab import other",
    "in a method": "class A:\n    def f(self):\n        import lab.other",
    "in a branch": "if True:\n    from lab.other import value",
    "in a try": "try:\n    import lab.other\nexcept ImportError:\n    pass",
    "relative": "from .other import value",
    "relative, from the package": "from . import other",
}


@pytest.mark.parametrize("way", IMPORTS)
def test_a_change_in_an_imported_module_makes_evidence_stale(digest_of: Digest, way: str) -> None:
    modules = {"root": IMPORTS[way], "other": "value = 1"}
    assert digest_of(modules) != digest_of({**modules, "other": "value = 2"})


@pytest.mark.parametrize("way", IMPORTS)
def test_a_change_further_down_makes_evidence_stale(digest_of: Digest, way: str) -> None:
    modules = {"root": "from lab import middle", "middle": IMPORTS[way], "other": "value = 1"}
    assert digest_of(modules) != digest_of({**modules, "other": "value = 2"})


def test_a_change_in_a_module_of_an_inner_package_makes_evidence_stale(digest_of: Digest) -> None:
    modules = {"root": "from lab.inner import leaf", "inner.__init__": "", "inner.leaf": "value = 1"}
    assert digest_of(modules) != digest_of({**modules, "inner.leaf": "value = 2"})


def test_a_name_of_the_package_itself_is_followed(digest_of: Digest) -> None:
    modules = {"root": "from lab import other, value", "__init__": "value = 1", "other": ""}
    assert digest_of(modules) != digest_of({**modules, "__init__": "value = 2"})


def test_modules_that_import_each_other_are_all_followed(digest_of: Digest) -> None:
    modules = {"root": "import lab.other", "other": "import lab.root, lab.third", "third": "value = 1"}
    assert digest_of(modules) != digest_of({**modules, "third": "value = 2"})


def test_a_docstring_of_an_imported_module_keeps_evidence_fresh(digest_of: Digest) -> None:
    modules = {"root": "import lab.other", "other": '"""One."""'}
    assert digest_of(modules) == digest_of({**modules, "other": '"""Two."""'})


def test_a_module_that_is_not_imported_does_not_matter(digest_of: Digest) -> None:
    modules = {"root": "import lab.other", "other": "", "aside": "value = 1"}
    assert digest_of(modules) == digest_of({**modules, "aside": "value = 2"})


@pytest.mark.parametrize(
    "check",
    [
        replace(CHECK, claim=function("lab.other")),
        replace(CHECK, false={"a": function("lab.other"), "b": function("lab.root")}),
        replace(CHECK, trial=LabTrial(helper=function("lab.other"))),
        replace(CHECK, trial=LabTrial(options={"helpers": (function("lab.other"),)})),
    ],
    ids=["claim", "false variant", "trial", "deep in the trial"],
)
def test_the_module_of_every_function_counts(digest_of: Digest, check: Check) -> None:
    digests = set()
    for value in (1, 2):
        digest_of({"root": "", "other": f"value = {value}"})
        digests.add(digest.check_digest(STATEMENT, PART, FORM, check))
    assert len(digests) == 2, "the code of lab.other does not count"


# --- package versions


def versions(monkeypatch: pytest.MonkeyPatch, **given: str) -> None:
    monkeypatch.setattr(digest, "version", lambda name: given.get(name, "1.0"))


def test_the_version_of_an_imported_package_counts(digest_of: Digest, monkeypatch: pytest.MonkeyPatch) -> None:
    modules = {"root": "import lab.other", "other": "import numpy as np\nfrom flint import ctx"}
    digests = []
    for given in ({}, {"numpy": "1.1"}, {"python-flint": "1.1"}, {"scipy": "1.1"}):
        versions(monkeypatch, **given)
        digests.append(digest_of(modules))
    assert len(set(digests[:3])) == 3, "an imported package does not count"
    assert digests[3] == digests[0], "a package that is not imported counts"


def test_the_version_of_python_counts(digest_of: Digest, monkeypatch: pytest.MonkeyPatch) -> None:
    before = digest_of({"root": ""})
    monkeypatch.setattr(platform, "python_version", lambda: "4.0.0")
    assert digest_of({"root": ""}) != before


# --- the record


@pytest.mark.parametrize(
    "changed",
    [
        (replace(STATEMENT, id="B"), PART, FORM, CHECK),
        (replace(STATEMENT, assumes=()), PART, FORM, CHECK),
        (STATEMENT, replace(PART, claim="f = h"), FORM, CHECK),
        (STATEMENT, replace(PART, name="bound"), FORM, CHECK),
        (STATEMENT, replace(PART, kind="inequality"), FORM, CHECK),
        (STATEMENT, PART, replace(FORM, role="repaired"), CHECK),
        (STATEMENT, PART, replace(FORM, reading="scale 1/d"), CHECK),
        (STATEMENT, PART, FORM, replace(CHECK, kind="enclosure")),
        (STATEMENT, PART, FORM, replace(CHECK, claim=function("lab.root", "other"))),
        (STATEMENT, PART, FORM, replace(CHECK, false={"a": function("lab.root", "half")})),
        (STATEMENT, PART, FORM, replace(CHECK, false={**CHECK.false, "b": function("lab.root", "thrice")})),
        (STATEMENT, PART, FORM, replace(CHECK, trial=LabTrial(size=4))),
        (STATEMENT, PART, FORM, replace(CHECK, trial=LabTrial(names=("W", "X")))),
        (STATEMENT, PART, FORM, replace(CHECK, trial=LabTrial(options={"scale": 2}))),
        (STATEMENT, PART, FORM, replace(CHECK, trial=LabTrial(helper=function("lab.root")))),
    ],
    ids=[
        *("id", "assumes", "claim text", "part name", "part kind", "role", "reading", "evidence kind", "claim"),
        *("fewer variants", "another variant", "number", "order", "option", "helper"),
    ],
)
def test_the_record_counts(plain: str, changed: tuple[Statement, Part, Form, Check]) -> None:
    assert digest.check_digest(*changed) != plain


def test_an_equal_record_has_an_equal_digest(plain: str) -> None:
    again = replace(CHECK, claim=function("lab.root"), trial=LabTrial())
    assert digest.check_digest(STATEMENT, PART, FORM, again) == plain


def test_what_has_no_lasting_form_is_refused(lab: Path) -> None:
    """Its address in memory would make all evidence stale in the next process."""
    (lab / "root.py").touch()
    with pytest.raises(TypeError):
        digest.check_digest(STATEMENT, PART, FORM, replace(CHECK, trial=LabTrial(options={"it": object()})))


# --- the real record

PRINT_DIGESTS = """
import json
from proofs_checks.runner import Book
book = Book.open()
print(json.dumps([[str(a), book.digest(a)] for a in book.checks(book.statements)]))
"""


@pytest.mark.parametrize("hash_seed", ["1", "2"])
def test_a_fresh_interpreter_finds_the_same_digests(hash_seed: str) -> None:
    book = Book.open()
    here = [[str(a), book.digest(a)] for a in book.checks(book.statements)]
    command = [sys.executable, "-c", PRINT_DIGESTS]
    environment = {**os.environ, "PYTHONHASHSEED": hash_seed}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=True)
    assert json.loads(done.stdout) == here


def test_no_two_checks_share_a_digest() -> None:
    book = Book.open()
    digests = [book.digest(a) for a in book.checks(book.statements)]
    assert len(set(digests)) == len(digests)
