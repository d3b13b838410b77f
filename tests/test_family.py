"""A family refutes only where every member does and no control does."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import pytest
from flint import arb

from proofs_checks.family import FamilyTrial
from proofs_checks.statements import RECORD
from proofs_checks.verdict import form_verdict
from tests.test_verdict import REFUTATION


@dataclass(frozen=True)
class Number:
    n: int
    value: Any


def cubes(n: int) -> Number:
    return Number(n, n**3)


def squares(n: int) -> Number:
    return Number(n, n**2)


def cubes_from_five(n: int) -> Number:
    return Number(n, n**3 if n >= 5 else 0)


def wide(n: int) -> Number:
    return Number(n, arb(n**3, 1))


def value(witness: Number) -> Any:
    return witness.value


def square(n: int) -> int:
    return n**2


TRIAL = FamilyTrial("a power of n", value, cubes, squares, "squares", (2, 3, 5), shown=("n",))


def test_a_family_refutes() -> None:
    result = TRIAL.run(square, 0)
    assert result.outcome == "refutes"
    assert result.examples == 3
    assert result.counterexample is not None
    assert (result.counterexample.operands, result.counterexample.true) == ({"n": 2}, "8.000000000000000000000000")
    assert result.details[1] == ("2", "8", "4", "4", "4")


@pytest.mark.parametrize(
    "trial",
    [
        replace(TRIAL, witness=squares),
        replace(TRIAL, witness=cubes_from_five),
        replace(TRIAL, control=cubes),
        replace(TRIAL, control=cubes_from_five),
    ],
    ids=["none is refuted", "the largest alone is", "the controls are as well", "one control is"],
)
def test_anything_less_is_open(trial: FamilyTrial) -> None:
    result = trial.run(square, 0)
    assert result.outcome == "open"
    assert result.reason
    assert result.counterexample is None


def test_what_is_too_wide_decides_nothing() -> None:
    with pytest.raises(ValueError, match="too wide"):
        replace(TRIAL, witness=wide).run(square, 0)


def test_a_float_is_no_exact_number() -> None:
    with pytest.raises(TypeError, match="no exact number"):
        replace(TRIAL, measured=lambda w: float(w.value)).run(square, 0)


def test_what_a_claim_implies_is_tried_by_families_alone() -> None:
    """And a family tries nothing else: one counterexample does not refute what is said of all large n."""
    forms = [(s.id, form) for s in RECORD for part in s.parts for form in part.forms]
    wrong = [
        id
        for id, form in forms
        if any(isinstance(check.trial, FamilyTrial) != bool(form.necessary) for check in form.checks)
    ]
    assert not wrong, f"necessary forms and families do not go together: {wrong}"


def test_only_what_is_necessary_refutes() -> None:
    assert form_verdict("asymptotic", [REFUTATION], necessary="n ≤ n^{3/2}").word == "refuted"
    assert form_verdict("asymptotic", [REFUTATION], implication="n^{3/2} ≤ n").word == "undecided"
