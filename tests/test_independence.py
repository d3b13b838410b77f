"""The true side of every check uses nothing of the code that it judges."""

from __future__ import annotations

from typing import Any

import pytest

from proofs_checks import independence
from proofs_checks.independence import borrowed, used
from proofs_checks.statements import RECORD
from proofs_checks.symbols import Symbols
from reference import low_rank, weight_gradient

BORROWED = borrowed(RECORD)


@pytest.mark.parametrize("truth", BORROWED)
def test_truth_uses_nothing_of_the_reference(truth: str) -> None:
    assert not BORROWED[truth], f"{truth} rests on {BORROWED[truth]}"


def borrowing(symbols: Any) -> Any:
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
    monkeypatch.setattr(borrowing, "__module__", "proofs_checks.pretended")
    monkeypatch.setattr(independence, "truths", lambda record: {borrowing})
    assert borrowed(RECORD)["proofs_checks.pretended.borrowing"] == ["reference.weight_gradient"]


def test_a_borrowed_symbol_would_be_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    assert isinstance(Borrowing.U1, property)
    monkeypatch.setattr(Borrowing.U1.fget, "__module__", "proofs_checks.pretended")
    assert low_rank in list(used(Inheriting))


def test_a_borrowed_foundation_would_be_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(independence, "FOUNDATIONS", ("low_rank",))
    assert "reference.low_rank" in borrowed(RECORD)["low_rank"]
