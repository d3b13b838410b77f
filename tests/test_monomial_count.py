"""The number of monomials for all d and g: what is proved, and closed forms that are not."""

from __future__ import annotations

from dataclasses import replace

import pytest
from sympy import binomial

from proofs_checks import monomial_count
from proofs_checks.monomial_count import COUNT, PRINTED, CountProof, D, G
from proofs_checks.runner import Book
from reference.low_rank import rank
from reference.polynomial import rank_bound

EXACT, ABOVE = CountProof(COUNT, "="), CountProof(PRINTED, "≤")


def test_the_count_and_the_printed_bound_are_proved_for_all_sizes() -> None:
    for trial, claim in ((EXACT, rank), (ABOVE, rank_bound), (replace(EXACT, sign="≤"), rank)):
        assert trial.run(claim, 0).outcome == "supports"
        assert trial.complete


@pytest.mark.parametrize(
    ("trial", "step"),
    [
        (CountProof(PRINTED, "="), "the step"),
        (CountProof(2 * COUNT, "="), "d = 0"),
        (CountProof(COUNT / 2, "≤"), "d = 0"),
        (CountProof(binomial(D + G - 1, G), "≤"), "d = 0"),
        (CountProof(D * G + 1, "≤"), "the step"),
        (CountProof(1 - D * G, "≤"), "the sign"),
    ],
)
def test_a_closed_form_that_is_false_is_not_proved(trial: CountProof, step: str) -> None:
    """Also where the claim computes it."""
    result = trial.run(lambda d, g: int(trial.closed.subs({D: d, G: g})), 0)
    assert (result.outcome, result.reason[-len(step) - 16 :]) == ("open", f"{step} does not follow")


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
