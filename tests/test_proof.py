"""Proofs on indeterminates: what is equal there, what is told apart, and that the indeterminates stand for numbers."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from flint import arb, ctx

from proofs_checks import generic as symbolic
from proofs_checks.equation import EquationTrial
from proofs_checks.generic import Dual, Generic, GenericSymbols, Ring
from proofs_checks.ground_truth import BITS
from proofs_checks.instances import Instance, gaussian, odd_scale, unit_scale
from proofs_checks.proof import ProofTrial, equal, with_proofs
from proofs_checks.record import Check, Statement
from proofs_checks.runner import Address, Book, Job, perform
from proofs_checks.symbols import Convention, Symbols
from reference import input_gradient as formulas

BOOK = Book.open()
LAYER = ("X", "W", "W_V", "G")


def proofs(id: str) -> list[tuple[Address, Check]]:
    addresses = BOOK.checks([id])
    return [(a, c) for a in addresses if (c := a.find(BOOK.statements)[-1]).kind == "proof"]


# --- what is proved


@pytest.mark.parametrize(
    "id", ["C.1", "C.4", "D.17", "E.4", "E.9", "F.4/step 3", "G.1", "H.2", "I.6", "J.3", "claim 4"]
)
def test_what_holds_as_printed_is_proved(id: str) -> None:
    found = proofs(id)
    assert found
    for _, check in found:
        assert check.trial.run(check.claim, 0).outcome == "supports"


@pytest.mark.parametrize("id", ["D.1", "D.9", "E.11", "G.3"])
def test_of_a_repaired_equation_only_the_repair_is_proved(id: str) -> None:
    for address, check in proofs(id):
        form = address.find(BOOK.statements)[2]
        wanted = "supports" if form.role == "repaired" else "open"
        assert check.trial.run(check.claim, 0).outcome == wanted, form


def test_every_identity_that_the_paper_derives_has_a_proof() -> None:
    without = [id for id in DERIVED if not proofs(id)]
    assert without == []


DERIVED = (
    "C.1", "C.2", "C.4", "D.1", *(f"D.{k}" for k in range(3, 15)), "D.17", "F.3", "F.4", "G.1", "G.2", "G.3", "H.1",
    "H.2", "I.6", "J.3", "claim 4", "own/antiderivative", "E.4", "E.9",
)  # fmt: skip


# --- what is not


def right(X: Any) -> Any:
    return X + X


def wrong_from_three_rows_on(X: Any) -> Any:
    return X + X * (1 if len(X) < 3 else 2)


def wrong_in_two_columns(X: Any) -> Any:
    return X + X[:, ::-1]


def of_another_shape(X: Any) -> Any:
    return X[0] + X[0]


def twice(symbols: Symbols) -> Any:
    return np.array([[x + x for x in row] for row in symbols.X], dtype=object)


TWICE = ProofTrial(EquationTrial(twice, "2 X", names=("X",)))


def test_a_claim_that_fails_at_some_size_is_not_proved() -> None:
    assert TWICE.run(right, 0).outcome == "supports"
    late = TWICE.run(wrong_from_three_rows_on, 0)
    assert (late.outcome, late.reason) == ("open", "the two sides are different fractions at n = 3, d = 1")
    assert TWICE.run(wrong_in_two_columns, 0).outcome == "open"


def test_a_crash_is_no_refusal() -> None:
    """A false variant counts as refused if the run ends open; an error ends failed."""
    address, check = proofs("G.3")[-1]
    statement = BOOK.statements["G.3"]
    parts = [
        replace(part, forms=tuple(replace(f, checks=crashing(f.checks)) for f in part.forms))
        for part in statement.parts
    ]
    book = Book("planted", {"G.3": replace(statement, parts=tuple(parts))})
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Book, "open", classmethod(lambda cls, module: book))
        result = perform("planted", Job(address, "variant", "crash", "", 0))
    assert result.outcome == "failed"
    assert "shape" in result.reason
    assert result.outcome not in check.trial.refusals


def crashing(checks: tuple[Check, ...]) -> tuple[Check, ...]:
    return tuple(replace(check, false={"crash": of_another_shape}) for check in checks)


def of_unit_scale(X: Any, W: Any, W_V: Any, G: Any) -> Any:
    return formulas.gradient_X(X, W, W_V, G)


def test_scores_of_any_scale_are_an_indeterminate() -> None:
    """What holds for τ = 1 only is not proved for any."""
    trial = EquationTrial(lambda s: s.dL_dX, "dL/dX", scales=(odd_scale,))
    without = ProofTrial(trial).run(of_unit_scale, 0)
    assert without.outcome == "open"
    one = ProofTrial(replace(trial, scales=(unit_scale,)))
    assert one.run(of_unit_scale, 0).outcome == "supports"


def test_numbers_that_are_not_exact_prove_nothing() -> None:
    x = Ring(1, 1).named("tau")
    assert equal(x, x)
    assert not equal(x, arb(1))
    assert equal(arb(1), 1)
    with pytest.raises(TypeError):
        equal(x, arb(1) / 3)
    with pytest.raises(TypeError, match="not exact"):
        equal(arb(1) / 3, arb(1) / 3)
    with pytest.raises(ZeroDivisionError):
        x / (x - x)


class OwnSoftmax(Symbols):
    def _output(self, lifted: Any) -> Any:
        return super()._output(lifted)


def test_symbols_that_are_written_anew_in_both_places_are_refused() -> None:
    with pytest.raises(TypeError, match="OwnSoftmax has its own _output"):
        symbolic.generic(OwnSoftmax)


def test_statements_without_an_equation_are_left_as_they_are() -> None:
    statement: Statement = BOOK.statements["1.4"]
    assert with_proofs(statement) == statement


# --- the indeterminates stand for numbers: put back, they give the true sides that balls give


def at(number: Any, values: dict[str, arb]) -> arb:
    """A fraction with numbers for its indeterminates."""
    if not isinstance(number, Generic):
        return arb(number)
    names = number.ring.context.names()

    def polynomial(terms: Any) -> arb:
        total = arb(0)
        for powers, c in terms.to_dict().items():
            term = arb(c)
            for name, power in zip(names, powers, strict=True):
                if power:
                    term *= values[name] ** int(power)
            total += term
        return total

    return polynomial(number.above) / polynomial(number.below)


def meanings(generic: GenericSymbols, instance: Instance) -> dict[str, arb]:
    """The number of each indeterminate on a layer: entries, τ, then functions of what has a number already."""
    values = {"tau": arb(instance.scale.numerator) / instance.scale.denominator}
    for name, array in instance.operands.items():
        values |= {f"{name}_{k}": arb(float(x)) for k, x in enumerate(array.flat)}
    symbols = Symbols(instance, generic.convention)
    scores = {generic.score(i, j).key: symbols.u[i, j] for i in range(symbols.n) for j in range(symbols.n)}
    for (function, *key), value in generic.X.flat[0].ring.values.items():
        assert function == "exp"
        if value.above.total_degree() == 1 and len(value.above.to_dict()) == 1:
            values[str(value.above)] = scores[tuple(key)]
    for (_, *key), value in generic.X.flat[0].ring.values.items():  # α_i is what its indeterminate's line adds up to
        for name in [str(g) for g in value.above.context().gens() if str(g).startswith("alpha")]:
            if value.above.degrees()[names_of(generic).index(name)]:
                others = value.above.subs({name: 0})
                values[name] = scores[tuple(key)] - at(Generic(value.ring, others, value.below), values)
    return values


def names_of(generic: GenericSymbols) -> list[str]:
    return list(generic.X.flat[0].ring.context.names())


READINGS = [  # whether masked, and how the symbols are read
    (False, Convention()), (True, Convention()),
    (False, Convention(columns=True)), (True, Convention(W_transposed=True)),
]  # fmt: skip


@pytest.mark.parametrize(("causal", "convention"), READINGS)
@pytest.mark.parametrize("what", ["u", "f", "s", "p", "dL_dX", "dL_dW", "dL_dW_V"])
def test_with_numbers_put_back_both_kinds_of_symbols_agree(what: str, causal: bool, convention: Convention) -> None:
    instance = Instance(gaussian(np.random.default_rng(3), 2, 2), Fraction(1, 3), causal)
    generic = GenericSymbols.at(2, 2, None, causal=causal, convention=convention)
    numbers = Symbols(instance, convention)
    with ctx.workprec(BITS):
        ours, theirs = getattr(generic, what), getattr(numbers, what)
        values = meanings(generic, instance)
        for mine, their in zip(ours.flat, theirs.flat, strict=True):
            found = at(mine, values)
            assert found.overlaps(arb(their))
            assert found.rad() < arb(2) ** -150


def test_dual_numbers_follow_the_rules_of_derivatives() -> None:
    ring = Ring(1, 1)
    x, y = ring.named("X_0"), ring.named("G_0")
    one = Dual(x, 1)
    assert equal((one * one * y).slope, 2 * x * y)
    assert equal((y / one).slope, -y / (x * x))
    assert equal((one**3).slope, 3 * x * x)
    assert equal((one * y).exp().slope, (x * y).exp() * y)
    assert equal((3 - one).slope, -1)
    assert equal(symbolic.phi_of_dual(one * y).slope, symbolic.phi_prime(x * y) * y)
