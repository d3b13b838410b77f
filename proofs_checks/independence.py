"""What the ground truth of each check reaches: nothing of the code that it judges."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from fractions import Fraction
from types import CodeType, FunctionType, ModuleType
from typing import Any

import numpy as np

from proofs_checks.certificate import CertificateTrial
from proofs_checks.digest import closure
from proofs_checks.equation import EquationTrial
from proofs_checks.family import FamilyTrial
from proofs_checks.inequality import BoundTrial
from proofs_checks.instances import Instance, shapes
from proofs_checks.low_rank import cut_off
from proofs_checks.readings import printed_group, repaired_group
from proofs_checks.record import Statement
from proofs_checks.trial import Trial

JUDGED = "reference"
FOUNDATIONS = ("ground_truth", "symbols", "instances", "running_error")  # what truths are made of


def borrowed(record: Iterable[Statement]) -> dict[str, list[str]]:
    """Each true side of the record's checks, and each module it is made of, with what it uses of `reference/`."""
    by_code = {title(truth): of_judged(map(home, used(truth))) for truth in truths(record)}
    by_import = {m: of_judged(closure(frozenset({f"proofs_checks.{m}"}))) for m in FOUNDATIONS}
    return dict(sorted(by_code.items())) | by_import


def of_judged(modules: Iterable[str]) -> list[str]:
    return sorted({m for m in modules if m.split(".")[0] == JUDGED})


def truths(record: Iterable[Statement]) -> set[Any]:
    """Every function and class from which the checks take what is true."""
    trials: list[Trial] = [check.trial for s in record for p in s.parts for f in p.forms for check in f.checks]
    trials += [member.trial for group in (printed_group(), repaired_group()) for member in group.values()]
    found: set[Any] = {t.truth for t in trials if isinstance(t, EquationTrial | CertificateTrial)}
    found |= {t.measured for t in trials if isinstance(t, BoundTrial)} | {cut_off}
    # What they are handed: some modules that use the reference add symbols of their own.
    layer = Instance({name: np.ones(shape) for name, shape in shapes(2, 2).items()}, Fraction(1))
    found |= {type(t.symbols(layer)) for t in trials if isinstance(t, EquationTrial | BoundTrial)}
    found |= {side for t in trials if isinstance(t, FamilyTrial) for side in (t.measured, t.witness, t.control)}
    return found


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
