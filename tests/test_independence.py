"""The true side of every check uses nothing of the code that it judges."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from fractions import Fraction
from types import CodeType, FunctionType, ModuleType
from typing import Any

import numpy as np
import pytest

from proofs_checks.certificate import CertificateTrial
from proofs_checks.digest import closure
from proofs_checks.equation import EquationTrial
from proofs_checks.family import FamilyTrial
from proofs_checks.inequality import BoundTrial
from proofs_checks.instances import Instance, shapes
from proofs_checks.low_rank import cut_off
from proofs_checks.readings import printed_group, repaired_group
from proofs_checks.statements import RECORD
from proofs_checks.symbols import Symbols
from reference import low_rank, weight_gradient

TRIALS = [check.trial for s in RECORD for p in s.parts for f in p.forms for check in f.checks]
TRIALS += [member.trial for group in (printed_group(), repaired_group()) for member in group.values()]
TRUTHS: set[Any] = {t.truth for t in TRIALS if isinstance(t, EquationTrial | CertificateTrial)}
TRUTHS |= {t.measured for t in TRIALS if isinstance(t, BoundTrial)} | {cut_off}
# What they are handed: some modules that use the reference add symbols of their own.
LAYER = Instance({name: np.ones(shape) for name, shape in shapes(2, 2).items()}, Fraction(1))
TRUTHS |= {type(t.symbols(LAYER)) for t in TRIALS if isinstance(t, EquationTrial | BoundTrial)}
TRUTHS |= {side for t in TRIALS if isinstance(t, FamilyTrial) for side in (t.measured, t.witness, t.control)}


def names(code: CodeType) -> set[str]:
    """Every name that the code, or a function within it, looks up."""
    inner = (c for c in code.co_consts if isinstance(c, CodeType))
    return set(code.co_names).union(*map(names, inner))


def used(function: Callable[..., Any]) -> Iterator[Any]:
    """The functions, classes and modules that a function reaches through its module, and what these reach."""
    seen: set[int] = set()
    waiting: list[Any] = [function]
    while waiting:
        thing = waiting.pop()
        if id(thing) in seen:
            continue
        seen.add(id(thing))
        yield thing
        if isinstance(thing, type):
            waiting += thing.__bases__
            waiting += [getattr(v, "func", getattr(v, "fget", v)) for v in vars(thing).values()]
        if isinstance(thing, FunctionType) and thing.__module__.startswith("proofs_checks"):
            reached = (thing.__globals__[n] for n in names(thing.__code__) if n in thing.__globals__)
            waiting += [r for r in reached if isinstance(r, FunctionType | ModuleType | type)]


def home(thing: Any) -> str:
    return str(getattr(thing, "__name__" if isinstance(thing, ModuleType) else "__module__", ""))


def title(truth: Any) -> str:
    return f"{truth.__module__}.{truth.__name__}"


@pytest.mark.parametrize("truth", sorted(TRUTHS, key=title), ids=title)
def test_truth_uses_nothing_of_the_reference(truth: Any) -> None:
    shared = [home(t) for t in used(truth) if home(t).split(".")[0] == "reference"]
    assert not shared, f"{title(truth)} rests on {shared}"


@pytest.mark.parametrize("module", ["ground_truth", "symbols", "instances", "running_error"])
def test_what_truth_is_made_of_imports_nothing_of_the_reference(module: str) -> None:
    assert not [m for m in closure(frozenset({f"proofs_checks.{module}"})) if m.split(".")[0] == "reference"]


def borrowed(symbols: Any) -> Any:
    """As a truth must not be: what it borrows stands in an inner function."""
    return [weight_gradient.gradient_W(*symbols) for _ in range(1)]


class Borrowing(Symbols):
    """As symbols must not be."""

    @property
    def U1(self) -> Any:
        return low_rank.row_kronecker(self.X, self.G)


class Inheriting(Borrowing):
    """It borrows nothing itself."""


def test_a_borrowed_truth_would_be_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(borrowed, "__module__", "proofs_checks.pretended")
    assert weight_gradient in list(used(borrowed))


def test_a_borrowed_symbol_would_be_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    assert isinstance(Borrowing.U1, property)
    monkeypatch.setattr(Borrowing.U1.fget, "__module__", "proofs_checks.pretended")
    assert low_rank in list(used(Inheriting))
