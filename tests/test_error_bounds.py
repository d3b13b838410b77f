"""The rounding bound holds, against enclosures, for every program that is compared by it; and it is not idle."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from flint import ctx
from hypothesis import given, settings
from hypothesis import strategies as st

import reference
from proofs_checks import ground_truth
from proofs_checks.instances import Array, Instance
from reference import input_gradient, qkv, weight_gradient
from reference import softmax_attention as attn
from reference.error_bounds import attention_rounding, gradient_rounding, output_rounding, vjp_rounding
from tests.layers import anywhere, huge, worst_ratio
from tests.test_ground_truth import distance


def closed_forms(layer: Instance) -> dict[str, Array]:
    """The three repaired gradients, in the operands' dtype."""
    X, W, W_V, G = layer.arrays
    options: dict[str, Any] = {"scale": float(layer.scale), "causal": layer.causal}
    return {
        "X": input_gradient.gradient_X(X, W, W_V, G, **options),
        "W": weight_gradient.gradient_W(X, W, W_V, G, **options),
        "W_V": weight_gradient.gradient_W_V(X, W, G, **options),
    }


def public(layer: Instance) -> dict[str, Array]:
    gradient = reference.attention_gradient(*layer.arrays, scale=float(layer.scale), causal=layer.causal)
    return {"X": gradient.X, "W": gradient.W, "W_V": gradient.W_V}


def ratios(layer: Instance, computed: dict[str, Array], dtype: Any = None) -> dict[str, float]:
    """Distance from the exact gradient over the bound."""
    exact = ground_truth.ball_gradient(*layer.arrays, scale=layer.scale, causal=layer.causal)
    bound = gradient_rounding(*layer.arrays, scale=float(layer.scale), causal=layer.causal, dtype=dtype)
    return {k: worst_ratio(distance(getattr(exact, k), v), getattr(bound, k)) for k, v in computed.items()}


@settings(max_examples=150)
@given(anywhere)
def test_closed_forms_stay_within(layer: Instance) -> None:
    assert max(ratios(layer, closed_forms(layer)).values()) <= 1


@settings(max_examples=150)
@given(st.one_of(anywhere, huge))
def test_public_gradient_stays_within(layer: Instance) -> None:
    assert max(ratios(layer, public(layer)).values()) <= 1


def ball_output(layer: Instance) -> Array:
    """The exact output, from the definitions in balls."""
    X, W, W_V, _ = map(ground_truth.balls, layer.arrays)
    u = attn.u(X, W, scale=ground_truth.ball(layer.scale), causal=layer.causal)
    return attn.s(attn.f(u), attn.h(X, W_V))


@settings(max_examples=150)
@given(st.one_of(anywhere, huge))
def test_output_stays_within(layer: Instance) -> None:
    X, W, W_V, _ = layer.arrays
    computed = reference.attention(X, W, W_V, scale=float(layer.scale), causal=layer.causal)
    bound = output_rounding(X, W, W_V, scale=float(layer.scale), causal=layer.causal)
    with ctx.workprec(ground_truth.BITS):
        exact = ball_output(layer)
    assert worst_ratio(distance(exact, computed), bound) <= 1


@settings(max_examples=100)
@given(anywhere)
def test_qkv_stays_within(layer: Instance) -> None:
    """With Q = K = V = X and W = W_V = 1, the gradient for X is the sum of those for Q, K and V."""
    X, _, _, G = layer.arrays
    scale = float(layer.scale)
    one = np.eye(layer.d, dtype=X.dtype)
    exact = ground_truth.ball_gradient(X, one, one, G, scale=layer.scale, causal=layer.causal)
    computed = qkv.attention_vjp(X, X, X, G, scale=scale, causal=layer.causal)
    bounds = vjp_rounding(X, X, X, G, scale=scale, causal=layer.causal)
    total = sum(np.asarray(part, np.float64) for part in computed)
    assert worst_ratio(distance(exact.X, np.asarray(total)), sum(bounds)) <= 1
    output = qkv.attention(X, X, X, scale=scale, causal=layer.causal)
    with ctx.workprec(ground_truth.BITS):
        true = ball_output(Instance({"X": X, "W": one, "W_V": one, "G": G}, layer.scale, layer.causal))
    assert worst_ratio(distance(true, output), attention_rounding(X, X, X, scale=scale, causal=layer.causal)) <= 1


@pytest.mark.parametrize("operand", ["X", "W", "W_V"])
def test_the_bound_is_not_idle(operand: str) -> None:
    """A factor 1 + 1e-9 on a gradient is seen in float64: the bound is far below what it should detect."""
    rng = np.random.default_rng(1)
    arrays = dict(
        zip(("X", "W", "W_V", "G"), (rng.normal(size=s) for s in ((6, 4), (4, 4), (4, 4), (6, 4))), strict=True)
    )
    layer = Instance(arrays, Fraction(1, 4))
    wrong = {operand: closed_forms(layer)[operand] * (1 + 1e-9)}
    assert ratios(layer, wrong)[operand] > 1


def test_float32_numbers_break_the_float64_bound() -> None:
    """The bound tells the precisions apart, so a silent float32 computation would be caught."""
    rng = np.random.default_rng(2)
    arrays = {
        k: rng.normal(size=s).astype(np.float32)
        for k, s in {"X": (6, 4), "W": (4, 4), "W_V": (4, 4), "G": (6, 4)}.items()
    }
    layer = Instance(arrays, Fraction(1, 4))
    assert max(ratios(layer, public(layer), dtype=np.float64).values()) > 1


def test_the_bound_is_zero_only_up_to_underflow() -> None:
    zero = np.zeros((2, 2))
    bound = gradient_rounding(zero, zero, zero, zero, scale=0.5)
    tiny = float(np.finfo(np.float64).tiny)
    assert max(bound.X.max(), bound.W.max(), bound.W_V.max()) <= 2 * tiny


def test_a_bound_that_does_not_exist_is_infinite() -> None:
    """Scores so large that float32 says nothing about their differences."""
    X, one = np.full((2, 1), 1e9, np.float32), np.ones((1, 1), np.float32)
    bound = gradient_rounding(X, one, one, np.array([[1.0], [-1.0]], np.float32), scale=1.0)
    assert np.isinf(bound.W).all()
    assert not np.isnan(bound.X).any()


def test_underflow_in_the_scores_is_paid_for() -> None:
    """X W underflows, and a huge scale brings the lost product back into the scores."""
    layer = Instance(
        {
            "X": np.array([[5e-308, 0], [0, 1e100]]),
            "W": np.array([[0, 1.3e-14], [0, 0]]),
            "W_V": np.array([[0, 0], [0, 1e-60]]),
            "G": np.array([[0, 1e-60], [0, 0]]),
        },
        Fraction(1e220),
    )
    assert max(ratios(layer, public(layer)).values()) <= 1


def test_an_overflowing_bound_is_infinite_and_silent() -> None:
    X, W = np.array([[0, 0], [1e5, 3]], np.float32), 1e5 * np.eye(2, dtype=np.float32)
    bound = gradient_rounding(X, W, np.eye(2, dtype=np.float32), np.zeros((2, 2), np.float32), scale=0.5)
    for array in (bound.X, bound.W, bound.W_V):
        assert not np.isnan(array).any()
        assert (array >= 0).all()
