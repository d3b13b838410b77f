"""Our bounds on the approximate gradient are attained, or it says here why not; the examples of docs/bounds.md."""

from __future__ import annotations

import inspect
import re
from collections.abc import Mapping
from fractions import Fraction
from math import factorial, log
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pytest
from flint import arb, ctx
from hypothesis import given, settings

from proofs_checks import error_bounds as checks
from proofs_checks.equation import parameters
from proofs_checks.error_bounds import (
    STATEMENTS,
    Absolute,
    AbsoluteTrial,
    Approximate,
    Differentiated,
    Neighbours,
    NeighbourTrial,
    Polynomial,
)
from proofs_checks.ground_truth import BITS
from proofs_checks.inequality import exceeds, over
from proofs_checks.instances import Array, Instance
from proofs_checks.judgement import judge
from proofs_checks.record import Claim
from proofs_checks.runner import Book, Run
from proofs_checks.store import Store
from proofs_checks.terminal import extreme_line
from proofs_checks.trial import Extreme
from reference import error_bounds as bounds
from reference import low_rank

TINY = 1e-6  # of a light key, where a bound is attained in the limit


class HeavyCentre(Neighbours):
    """The centre is the heavy key."""

    @property
    def centre(self) -> Array:
        heavy: Array = self.X[0]
        return heavy


def two_keys(
    light: float,
    kappa: float,
    *,
    more: bool = True,
    constant: bool = False,
    kind: type[Neighbours] = HeavyCentre,
) -> Neighbours:
    """Two keys, of weights 1 − light and light in both rows; the light one, or else the heavy one, has r = κ.

    X is (0, 1) and (1, 1), the values and q are 0 and 1, or all 1 if `constant`.
    """
    W_V = [[0, 0], [1, 0]] if constant else [[1, 0], [0, 0]]
    X, W, G = [[0, 1], [1, 1]], [[0, 0], [log(light / (1 - light)), 0]], [[1, 0], [1, 0]]
    symbols = kind.of(2, 2, X=X, W=W, W_V=W_V, G=G)
    fractions = [[arb(0), arb(1)]] * 2 if more else [[arb(1), arb(0)]] * 2
    symbols.__dict__.update(delta=arb(kappa) - 1, _fractions=np.array(fractions, dtype=object))
    return symbols


def ratios(claim: Claim, measured: Any, symbols: Approximate) -> Array:
    """Measured over allowed, entry by entry."""
    with ctx.workprec(BITS):
        allowed = np.asarray(claim(**{name: symbols.exact(name) for name in parameters(claim)}), dtype=object)
        pairs = zip(np.ravel(measured(symbols)), allowed.flat, strict=True)
        return np.array([over(*pair) for pair in pairs]).reshape(allowed.shape)


def ratio(claim: Claim, measured: Any, symbols: Approximate) -> float:
    """The largest of them."""
    return float(ratios(claim, measured, symbols).max())


def balanced(kappa: float) -> float:
    """The weight from which most weight moves."""
    return float(1 / (1 + np.sqrt(kappa)))


ATTAINED: Mapping[tuple[str, str], tuple[float, dict[str, Any]]] = {
    ("own/weights", "relative"): (TINY, {}),
    ("own/weights", "sharp"): (0.3, {}),
    ("own/weights", "total"): (-1, {}),
    ("own/weights", "pairs"): (TINY, {}),
    ("own/output", "range"): (-1, {}),
    ("own/output", "position"): (0.3, {}),
    ("own/output", "deviation"): (-2, {}),
    ("own/cotangent", "mean, range"): (-1, {}),
    ("own/cotangent", "mean, deviation"): (-2, {}),
    ("own/cotangent", "entries"): (TINY, {}),
    ("own/cotangent", "entries, sharp"): (TINY, {}),
    ("own/cotangent", "entries, deviation"): (TINY, {}),
    ("own/cotangent", "sums over keys"): (TINY, {}),
    # One of the three terms of dX alone; together they are attained only by accident, since the entries of p̃ − p in a
    # row, which sum to zero, have both signs.
    ("own/gradients", "dX"): (TINY, {"constant": True}),
    ("own/gradients", "dX, deviation"): (TINY, {"constant": True}),
    ("own/gradients", "dW"): (TINY, {}),
    ("own/gradients", "dW, deviation"): (TINY, {}),
    ("own/gradients", "dW_V"): (TINY, {}),
    ("own/gradients", "dW_V, deviation"): (-2, {}),
    ("own/differentiate", "entries"): (TINY, {"more": False, "kind": Differentiated}),
    ("own/differentiate", "dW"): (TINY, {"more": False, "kind": Differentiated}),
    ("own/differentiate", "dX"): (TINY, {"constant": True, "kind": Differentiated}),
}
INEQUALITIES = {
    (s.id, part.name): part.forms[0].checks[0]
    for s in STATEMENTS
    for part in s.parts
    if isinstance(part.forms[0].checks[0].trial, NeighbourTrial)
}


def test_every_bound_has_its_instance() -> None:
    assert set(INEQUALITIES) == set(ATTAINED)


@pytest.mark.parametrize("kappa", [1 + 2.0**-20, 1.5, 10.0])
@pytest.mark.parametrize("name", ATTAINED, ids=" ".join)
def test_bounds_are_attained(name: tuple[str, str], kappa: float) -> None:
    """But for terms of the order of the light key's weight, of its root where a deviation stands beside the entry."""
    where, options = ATTAINED[name]
    light = {-1: balanced(kappa), -2: 1 / (1 + kappa)}.get(int(where), where) if where < 0 else where
    trial: Any = INEQUALITIES[name].trial
    reached = ratio(INEQUALITIES[name].claim, trial.measured, two_keys(light, kappa, **options))
    assert 1 - np.sqrt(kappa * TINY) < reached <= 1


def three_keys(first: float, share: float, *, light: float | None = None) -> Absolute:
    """Three keys; q and the values are 1, 1, −1; f̃ is (first, ½ − first, ½), and Ã − A is `share` of D̃ on the first.

    With `light` the second key has that weight, up to its own error, which is as large and the other way.
    """
    second = 0.5 - first if light is None else light
    A, values = [first - share, second, 1 - first - second], [1, 1, -1]
    W, W_V, G = [[log(a) for a in A]] * 3, [[h, 0, 0] for h in values], [[1, 0, 0]] * 3
    symbols = Absolute.of(3, 3, X=np.eye(3), W=W, W_V=W_V, G=G)
    moved = [[arb(1), arb(0 if light is None else -1), arb(0)]] * 3
    off = [arb(share / (first - share))] * 3
    symbols.__dict__.update(_moved=np.array(moved, dtype=object), _epsilon=np.array(off, dtype=object))
    return symbols


ABSOLUTE = {part.name: part.forms[0].checks[0] for s in STATEMENTS if s.id == "own/moments" for part in s.parts}


@pytest.mark.parametrize("share", [2.0**-20, 0.125, 0.4])
@pytest.mark.parametrize("name", ABSOLUTE)
def test_bounds_by_absolute_errors_are_attained(name: str, share: float) -> None:
    """All errors on one key, where Ã is above A, so that D = D̃ − T: then each bound is an equality."""
    trial: Any = ABSOLUTE[name].trial
    reached = ratio(ABSOLUTE[name].claim, trial.measured, three_keys((share + 0.5) / 2, share))
    assert reached == 1


@pytest.mark.parametrize("share", [0.125, 0.4])
@pytest.mark.parametrize("name", ["weights", "cotangent"])
def test_the_own_error_of_a_key_counts_in_full(name: str, share: float) -> None:
    """In the limit of a light key: its error is opposite to that of the row, which it makes smaller by itself."""
    trial: Any = ABSOLUTE[name].trial
    symbols = three_keys(0.5 - TINY, share, light=TINY)
    assert symbols.E[0, 1] > symbols.u[0, 1] / 4  # as large as the key
    assert 1 - np.sqrt(TINY) < ratios(ABSOLUTE[name].claim, trial.measured, symbols)[0, 1] <= 1


@pytest.mark.parametrize("name", ABSOLUTE)
def test_weights_may_be_negative(name: str) -> None:
    """A polynomial below zero at a light key: the first entry of x draws one."""
    W = [[log(TINY), 0], [log(TINY), 0]]
    symbols = Absolute.of(2, 2, X=np.eye(2), W=W, W_V=np.eye(2), G=[[1, 3], [2, -1]], x=[42 / 1024, 0])
    trial: Any = ABSOLUTE[name].trial
    assert symbols.A_tilde[0, 0] < 0
    assert ratio(ABSOLUTE[name].claim, trial.measured, symbols) <= 1


def test_the_rank_is_attained() -> None:
    rng = np.random.default_rng(0)
    for d, choice in ((1, 7), (2, 5), (2, 7)):
        x = np.full(16, choice / 1024)
        operands: dict[str, Any] = {"X": rng.normal(size=(16, d)), "W": np.eye(d), "x": x, "z": rng.normal(size=16)}
        s = Polynomial.of(16, d, **operands)
        assert checks.rank_of_polynomial(s) == low_rank.rank(d, s.degree)


# --- the statement of the kinds


def test_the_bounds_live_in_the_reference_and_are_written_out() -> None:
    for statement in STATEMENTS:
        assert statement.own
        for part in statement.parts:
            formula = part.forms[0].formula
            assert formula is not None
            assert formula.__module__ in {bounds.__name__, low_rank.__name__}
            assert ".. math::" in (inspect.getdoc(formula) or "")


@settings(max_examples=50)
@given(NeighbourTrial("", checks.weights).instances)
def test_what_is_drawn_meets_the_hypothesis(layer: Instance) -> None:
    """f̃_ij/f_ij is proportional to numbers that differ by a factor of κ at most, and rows sum to one."""
    s = Neighbours(layer)
    with ctx.workprec(BITS):
        for i in range(s.n):
            assert sum(s.f_tilde[i]).overlaps(arb(1))
            ratios = [s.f_tilde[i, j] / s.f[i, j] for j in s.allowed(i)]
            assert not exceeds(max(ratios), (1 + s.delta) * min(ratios))


@settings(max_examples=50)
@given(AbsoluteTrial("", checks.weights).instances)
def test_errors_that_are_drawn_meet_the_hypothesis(layer: Instance) -> None:
    """|Ã − A| ≤ E, and Σ_j E_ij < D̃_i."""
    s = Absolute(layer)
    with ctx.workprec(BITS):
        for i in range(s.n):
            assert sum(s.E[i]) < s.D_tilde[i]
            assert not any(exceeds(abs(s.A_tilde[i, j] - s.u[i, j]), s.E[i, j]) for j in range(s.n))
            assert all(s.A_tilde[i, j] == s.E[i, j] == 0 for j in range(s.n) if j not in s.allowed(i))


@settings(max_examples=30)
@given(NeighbourTrial("", checks.weights).instances)
def test_deviations_of_the_reference_are_those_of_the_checks(layer: Instance) -> None:
    s = Neighbours(layer)
    f, h, X, W = (s.floats(name, np.float64) for name in ("f", "h", "X", "W"))
    for y, name in ((h, "h_deviation"), (X, "X_deviation"), (X @ W.T, "y_deviation")):
        expected = s.floats(name, np.float64)
        # n + d + 2 roundings of the mean and of y in each deviation, which are at most 2 max |y|; four times that.
        largest = np.abs(X).max() * (np.abs(W).sum() + np.abs(layer.operands["W_V"]).sum() + 1)
        spare = 8 * (s.n + s.d + 2) * np.finfo(np.float64).eps * largest
        assert np.abs(bounds.deviation(f, y) - expected).max() <= np.sqrt(s.n) * spare


# --- what is kept and shown of them


def test_a_false_bound_is_refuted_at_an_entry() -> None:
    trial = NeighbourTrial("|f̃ − f|", checks.weights)
    found = trial.run(checks.quarter_of_delta, 0).counterexample
    assert found is not None
    assert re.fullmatch(r"entry \(\d, \d\) of \|f̃ − f\|", found.where)
    printed: list[Any] = []
    exec("\n".join(found.python), {"print": lambda *sides, sep: printed.extend(sides)})
    allowed, measured = printed
    assert any(m > a for m, a in zip(measured.flat, allowed.flat, strict=True))


def test_a_nearest_instance_is_shown_if_it_is_small() -> None:
    small = Extreme(0.5, {"X": [[1, 2]], "x": [3]}, "-1/2", True)
    large = Extreme(0.5, {"X": [[0.25] * 5] * 3, "x": [3, 3, 3]}, "1", False)
    assert extreme_line(small) == "the largest, 0.5, at X = [[1, 2]], x = [3], scale -1/2, causal"
    assert extreme_line(large) == "the largest, 0.5, at X (3, 5), x (3,), scale 1"


def test_bounds_are_ours_and_no_findings() -> None:
    book = Book("tests.test_bounds", {s.id: s for s in STATEMENTS})
    with TemporaryDirectory() as folder:
        judged = judge(book, Run(book, Store(Path(folder)), profile="quick", seed=0))
    assert not any(j.findings or j.derivation for j in judged.values())
    assert all(p.verdict.own for j in judged.values() for p in j.parts)


# --- docs/bounds.md, rounding


@pytest.mark.parametrize("degree", [80, 100])
def test_features_lose_what_the_score_does_not_show(degree: int) -> None:
    """A score of 0.224 whose weight is wrong in the third digit, and a bound that says so."""
    x, y = np.array([[4.04, 3.988]]), np.array([[4.0, -3.996]])
    coefficients = [Fraction(1, factorial(k)) for k in range(degree + 1)]
    w = np.array([float(c) for c in low_rank.weights(coefficients, 2)])  # (k,)
    U, V = low_rank.monomials(x, degree).T * w, low_rank.monomials(y, degree).T  # (1, k) both
    score = sum(Fraction(a) * Fraction(b) for a, b in zip(x.flat, y.flat, strict=True))
    exact = sum(c * score**k for k, c in enumerate(coefficients))
    error = float(abs(Fraction((U @ V.T).item()) - exact))
    N = 2 * (degree - 1) + 2 + len(w)
    gamma = N * 2.0**-53 / (1 - N * 2.0**-53)
    assert round(float(score), 3) == 0.224
    assert 2e-3 < error < gamma * (np.abs(U) @ np.abs(V).T).item()
