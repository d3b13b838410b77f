"""The number of monomials for all d and g: what is proved, and closed forms that are not."""

from __future__ import annotations

from dataclasses import replace

import pytest
from sympy import Expr, binomial

from proofs_checks import monomial_count
from proofs_checks.derivation import Sign
from proofs_checks.monomial_count import CLOSED, CountProof, D, G
from proofs_checks.runner import Book
from reference.low_rank import rank
from reference.polynomial import rank_bound

EXACT, ABOVE = CountProof("binom(d+g, g)", "="), CountProof("binom(2(g+d), 2g)", "≤")
COUNT, PRINTED = CLOSED[EXACT.closed], CLOSED[ABOVE.closed]


def test_the_count_and_the_printed_bound_are_proved_for_all_sizes() -> None:
    for trial, claim in ((EXACT, rank), (ABOVE, rank_bound), (replace(EXACT, sign="≤"), rank)):
        assert trial.run(claim, 0).outcome == "supports"
        assert trial.complete


@pytest.mark.parametrize(
    ("closed", "sign", "step"),
    [
        (PRINTED, "=", "the step"),
        (2 * COUNT, "=", "d = 0"),
        (COUNT / 2, "≤", "d = 0"),
        (binomial(D + G - 1, G), "≤", "d = 0"),
        (D * G + 1, "≤", "the step"),
        (1 - D * G, "≤", "the sign"),
    ],
)
def test_a_closed_form_that_is_false_is_not_proved(
    closed: Expr, sign: Sign, step: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where the claim computes it."""
    monkeypatch.setitem(CLOSED, "false", closed)
    result = CountProof("false", sign).run(lambda d, g: int(closed.subs({D: d, G: g})), 0)
    assert (result.outcome, result.reason) == ("open", f"of the induction for false, {step} does not follow")


def test_another_formula_than_the_binomial_is_not_proved() -> None:
    result = EXACT.run(lambda d, g: rank(d, g) + (d == g == 8), 0)
    assert (result.outcome, result.reason) == ("open", "the formula is 12871, not 12870, at d = 8, g = 8")


def test_a_recurrence_that_does_not_count_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(monomial_count, "monomials", lambda d, g: iter([(0,) * d]))
    assert EXACT.run(rank, 0).reason == "the monomials do not split by their last variable"


@pytest.mark.parametrize(("id", "part"), [("own/rank", "count"), ("I.1", "rank")])
def test_false_variants_on_record_are_refused(id: str, part: str) -> None:
    found = next(p for p in Book.open().statements[id].parts if p.name == part)
    check = next(c for c in found.forms[0].checks if c.kind == "proof")
    assert check.false
    assert {check.trial.run(false, 0).outcome for false in check.false.values()} == {"open"}
