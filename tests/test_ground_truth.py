"""The three independent ways to the truth agree, and share nothing with what they judge."""

from __future__ import annotations

from fractions import Fraction
from functools import partial

import numpy as np
import pytest
from flint import arb, ctx
from hypothesis import given, settings
from hypothesis import strategies as st

from proofs_checks import ground_truth
from proofs_checks.digest import closure
from proofs_checks.ground_truth import OPERANDS
from proofs_checks.instances import Array, Instance
from reference import softmax_attention as attn
from reference.error_bounds import gradient_rounding
from tests.layers import anywhere, huge, worst_ratio


def distance(enclosure: Array, computed: Array) -> Array:
    """Upper bounds on |exact − computed|, entry by entry."""
    with ctx.workprec(ground_truth.BITS):
        bounds = [float(abs(e - arb(float(c))).upper()) for e, c in zip(enclosure.flat, computed.flat, strict=True)]
    above: Array = np.nextafter(np.array(bounds), np.inf).reshape(computed.shape)
    return above


@settings(max_examples=100)
@given(st.one_of(anywhere, huge))
def test_autodiff_and_balls_agree(layer: Instance) -> None:
    scale = float(layer.scale)
    computed = ground_truth.gradient(*layer.arrays, scale=scale, causal=layer.causal)
    exact = ground_truth.ball_gradient(*layer.arrays, scale=layer.scale, causal=layer.causal)
    allowed = gradient_rounding(*layer.arrays, scale=scale, causal=layer.causal, dtype=np.float64)
    for name in OPERANDS:
        ratio = worst_ratio(distance(getattr(exact, name), getattr(computed, name)), getattr(allowed, name))
        assert ratio <= 1, f"d{name} by autograd is {ratio:.3g} times the rounding bound off the enclosure"


@settings(max_examples=50)
@given(anywhere)
def test_complex_step_and_balls_agree(layer: Instance) -> None:
    scale = float(layer.scale)
    computed = ground_truth.complex_step(*layer.arrays, scale=scale, causal=layer.causal)
    exact = ground_truth.ball_gradient(*layer.arrays, scale=layer.scale, causal=layer.causal)
    allowed = gradient_rounding(*layer.arrays, scale=scale, causal=layer.causal, dtype=np.float64, per_operation=4)
    for name in OPERANDS:
        ratio = worst_ratio(distance(getattr(exact, name), getattr(computed, name)), getattr(allowed, name))
        assert ratio <= 1, f"d{name} by complex step is {ratio:.3g} times the rounding bound off the enclosure"


def assert_overlap(left: Array, right: Array) -> None:
    assert all(a.overlaps(b) for a, b in zip(left.flat, right.flat, strict=True)), f"{left} against {right}"


@settings(max_examples=25)
@given(anywhere)
def test_normalising_columns_is_transposing_the_weights(layer: Instance) -> None:
    """The columns of exp(X W Xᵀ) are the rows of exp(X Wᵀ Xᵀ)."""
    X, W, W_V, G = layer.arrays
    for transposed in (False, True):
        columns = ground_truth.ball_gradient(X, W, W_V, G, scale=layer.scale, columns=True, transposed=transposed)
        rows = ground_truth.ball_gradient(X, W.T, W_V, G, scale=layer.scale, transposed=not transposed)
        assert_overlap(columns.X, rows.X)
        assert_overlap(columns.W, rows.W.T)
        assert_overlap(columns.W_V, rows.W_V)


@settings(max_examples=25)
@given(anywhere)
def test_the_transposed_output_is_the_adjoint(layer: Instance) -> None:
    """⟨X M, fᵀ X W_V⟩ = ⟨X W_V, f X M⟩: the same gradient through f, and the rest is f X M W_Vᵀ or fᵀ X W_V Mᵀ."""
    with ctx.workprec(ground_truth.BITS):
        X, W, W_V, M = map(ground_truth.balls, (*layer.arrays[:3], layer.arrays[1] + 1))
        enclose = partial(ground_truth.ball_gradient, scale=layer.scale, causal=layer.causal)
        there = enclose(X, W, W_V, X @ M, transposed=True)
        back = enclose(X, W, M, X @ W_V)
        f = attn.f(attn.u(X, W, scale=ground_truth.ball(layer.scale), causal=layer.causal))
        assert_overlap(there.W, back.W)
        assert_overlap(there.W_V, X.T @ f @ X @ M)
        assert_overlap(there.X - f @ X @ M @ W_V.T, back.X - f.T @ X @ W_V @ M.T)


def test_a_known_derivative() -> None:
    """Two tokens, zero scores: each output is the mean of the values, so dL/dW_V = Xᵀ 1/2 G summed by hand."""
    X, zero, one = np.array([[1.0], [3.0]]), np.zeros((1, 1)), np.ones((1, 1))
    G = np.array([[1.0], [0.0]])
    for truth in (ground_truth.gradient, ground_truth.complex_step):
        assert truth(X, zero, one, G, scale=1.0).W_V == [[2.0]]
    # dL/dW = Σ_j X_0 f_0j (h_j − s_0) X_j = (1·(1 − 2)·1 + 1·(3 − 2)·3)/2
    assert ground_truth.ball_gradient(X, zero, one, G, scale=1).W[0, 0].overlaps(arb(1))


def test_enclosures_are_tight() -> None:
    rng = np.random.default_rng(0)
    X, W, W_V, G = (rng.normal(size=s) for s in ((4, 3), (3, 3), (3, 3), (4, 3)))
    for array in ground_truth.ball_gradient(X, W, W_V, G, scale=Fraction(1, 3)):
        assert all(entry.rel_accuracy_bits() > ground_truth.BITS // 2 for entry in array.flat)


def test_enclosures_leave_the_precision_alone() -> None:
    before = ctx.prec, ctx.cap
    ground_truth.ball_gradient(*(np.ones((1, 1)),) * 4, scale=1)
    assert (ctx.prec, ctx.cap) == before


def test_truth_imports_nothing_that_it_judges() -> None:
    modules = closure(frozenset({"proofs_checks.ground_truth"}))
    assert modules == ["proofs_checks.ground_truth"], modules


@pytest.mark.parametrize("truth", [ground_truth.gradient, ground_truth.complex_step])
def test_truth_leaves_its_inputs_alone(truth: object) -> None:
    arrays = [np.ones((2, 2)) for _ in range(4)]
    for array in arrays:
        array.flags.writeable = False
    assert callable(truth)
    truth(*arrays, scale=0.5)
