"""The returned bounds hold on layers larger than those of the checks, are of use there, and notice what breaks them.

The exact values are computed in the 80-bit format, from closed forms that are written here; what that may round is
bounded beside them, and is subtracted.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import reference
from reference import AltgradError, qkv
from reference.certificate import Head
from reference.fast_qkv import METHODS, Method, QuerySide, prepare
from reference.polynomial import ExpPolynomial, chebyshev, fitted, taylor

Wide = np.longdouble
U = 2.0**-64 if np.finfo(Wide).nmant == 63 else None  # elsewhere longdouble may be float64


@pytest.fixture(autouse=True)
def wide_enough() -> None:
    assert U is not None, "these tests need an 80-bit longdouble"


class Exact(NamedTuple):
    """The output and the three gradients of one head, and what rounding in the 80-bit format may do to each."""

    values: tuple[Any, ...]
    noise: tuple[Any, ...]


def exact(Q: Any, K: Any, V: Any, dO: Any, scale: float, causal: bool) -> Exact:
    """softmax(τ Q Kᵀ) V and the gradients of ⟨dO, ·⟩, the keys and values taken relative to the first ones."""
    Q, K, V, dO = (a.astype(Wide) for a in (Q, K, V, dO))
    K, V, first = K - K[0], V - V[0], V[0]
    S = Wide(scale) * (Q @ K.T)  # (n, m)
    mask = np.tri(len(Q), len(K), dtype=bool) if causal else np.ones(S.shape, bool)
    A = np.where(mask, np.exp(S - np.where(mask, S, -np.inf).max(axis=1, keepdims=True)), 0)
    f = A / A.sum(axis=1, keepdims=True)  # (n, m)
    q = dO @ V.T  # (n, m)
    p = f * (q - (f * q).sum(axis=1, keepdims=True))  # (n, m)
    tau = abs(Wide(scale))
    sizes = f * (2 * (np.abs(dO) @ np.abs(V).T).max(axis=1, keepdims=True))  # (n, m), at least |p|
    path = 8 * (len(Q) + len(K) + Q.shape[1] + V.shape[1]) + 40
    k = U * path * (1 + 8 * (tau * np.abs(Q) @ np.abs(K).T).max())  # scores that rounding moves move the weights
    noise = (
        k * (f @ np.abs(V) + np.abs(first)),
        k * tau * sizes @ np.abs(K),
        k * tau * sizes.T @ np.abs(Q),
        k * f.T @ np.abs(dO),
    )
    return Exact((f @ V + first, Wide(scale) * p @ K, Wide(scale) * p.T @ Q, f.T @ dO), noise)


def exact_layer(X: Any, W: Any, W_V: Any, G: Any, scale: float, causal: bool) -> Exact:
    """The same in X, W and W_V: the output, then the gradients on X, W, W_V."""
    X, W, W_V, G = (a.astype(Wide) for a in (X, W, W_V, G))
    (s, dQ, dK, dV), (e, eQ, eK, eV) = exact(X @ W, X, X @ W_V, G, scale, causal)
    values = s, dQ @ W.T + dK + dV @ W_V.T, X.T @ dQ, X.T @ dV
    abs_X, abs_W, abs_V = np.abs(X), np.abs(W), np.abs(W_V)
    twice = 4  # the products with W, W_V and Xᵀ, before and after, round no more often than what stands between
    noise = e, eQ @ abs_W.T + eK + eV @ abs_V.T, abs_X.T @ eQ, abs_X.T @ eV
    return Exact(values, tuple(twice * a for a in noise))


def worst(values: Any, bounds: Any, truth: Exact) -> float:
    """Largest error over bound, the error less what the exact values may be off."""
    ratios = []
    for value, bound, true, noise in zip(values, bounds, truth.values, truth.noise, strict=True):
        assert np.isfinite(value).all()
        assert not np.isnan(bound).any()
        error = np.maximum(np.abs(value.astype(Wide) - true) - noise, 0)
        ratios.append(float(np.where(error > 0, error / np.maximum(bound.astype(Wide), Wide(10) ** -4000), 0).max()))
    return max(ratios)


def explained(refusal: AltgradError) -> None:
    """Only these are reasons to refuse the layers that are drawn here."""
    reasons = "rounding in", "may vanish", "rtol is", "would carry"
    assert any(reason in str(refusal) for reason in reasons), refusal


# --- layers

SIZES = st.sampled_from((1.0, 1.0, 1.0, 1e-30, 1e-8, 1e8, 1e30))


@st.composite
def polynomials(draw: Any) -> dict[str, Any]:
    """A tolerance or a polynomial."""
    kind = draw(st.sampled_from(("rtol", "taylor", "chebyshev", "fitted")))
    if kind == "rtol":
        return {"rtol": 10.0 ** -draw(st.floats(0, 8))}
    polynomial: ExpPolynomial = {
        "taylor": lambda: taylor(draw(st.sampled_from((0, 2, 4, 8))), 1.0),
        "chebyshev": lambda: chebyshev(draw(st.integers(1, 8)), draw(st.sampled_from((0.5, 2.0, 8.0)))),
        "fitted": lambda: fitted(np.linspace(-2, 2, 30), draw(st.sampled_from((2, 4))), 4.0),
    }[kind]()
    return {"polynomial": polynomial}


def rows(rng: np.random.Generator, style: int, *shape: int) -> Any:
    """Gaussian rows, some zero, integers, or repeated ones."""
    drawn = rng.normal(size=shape)
    if style == 1:
        return drawn * rng.integers(0, 2, size=(shape[0], 1))
    if style == 2:
        return rng.integers(-2, 3, size=shape).astype(float)
    return drawn[rng.integers(0, shape[0], size=shape[0]) // 2] if style == 3 else drawn


common = {
    "n": st.sampled_from((1, 2, 3, 20, 60)),
    "d": st.integers(1, 4),
    "seed": st.integers(0, 2**32 - 1),
    "style": st.integers(0, 3),
    "how": polynomials(),
    "causal": st.booleans(),
    "dtype": st.sampled_from((np.float32, np.float64)),
    "scale": st.sampled_from((1.0, 0.1, -0.5, 0.01)),
    "method": st.sampled_from(METHODS),
}


@given(
    **common, m=st.sampled_from((1, 2, 7, 40)), e=st.integers(1, 3), size=SIZES, offset=st.sampled_from((0, 1, 100))
)
def test_no_bound_of_a_head_is_broken(
    n: int, d: int, seed: int, style: int, how: Any, causal: bool, dtype: Any, scale: float, method: Method,
    m: int, e: int, size: float, offset: int,
) -> None:  # fmt: skip
    rng = np.random.default_rng(seed)
    m = n if causal else m
    operands = (
        rows(rng, style, n, d),
        rows(rng, style, m, d) + offset,
        rows(rng, style, m, e) * size,
        rows(rng, style, n, e),
    )
    Q, K, V, dO = (a.astype(dtype) for a in operands)
    try:
        output = qkv.fast_attention(Q, K, V, scale=scale, causal=causal, **how)
        gradient = qkv.fast_attention_vjp(Q, K, V, dO, scale=scale, causal=causal, method=method, **how)
    except AltgradError as refusal:
        explained(refusal)
        return
    truth = exact(Q, K, V, dO, scale, causal)
    assert worst((output.value, *gradient.value), (output.bound, *gradient.bound), truth) <= 1
    for fast, bounds in ((output, [output.bound]), (gradient, gradient.bound)):
        assert all(np.isfinite(b).all() for b in bounds) or "rounding in" in fast.why or "overflows" in fast.why


@given(**common)
def test_no_bound_of_a_layer_is_broken(
    n: int, d: int, seed: int, style: int, how: Any, causal: bool, dtype: Any, scale: float, method: Method
) -> None:
    rng = np.random.default_rng(seed)
    operands = rows(rng, style, n, d), rng.normal(size=(d, d)) / 2, rng.normal(size=(d, d)), rows(rng, style, n, d)
    X, W, W_V, G = (a.astype(dtype) for a in operands)
    try:
        output = reference.fast_attention(X, W, W_V, scale=scale, causal=causal, **how)
        gradient = reference.fast_attention_gradient(X, W, W_V, G, scale=scale, causal=causal, method=method, **how)
    except AltgradError as refusal:
        explained(refusal)
        return
    value, bound = gradient.value, gradient.bound
    truth = exact_layer(X, W, W_V, G, scale, causal)
    assert worst((output.value, value.X, value.W, value.W_V), (output.bound, bound.X, bound.W, bound.W_V), truth) <= 1


# --- of use: the region that docs/bounds.md states


def region(seed: int) -> tuple[Any, ...]:
    """Gaussian layers, n ≤ 64, d ≤ 4, scores over d, weights up to 1/√d; tolerances from 0.1 to 1e-6 in float64."""
    rng = np.random.default_rng(seed)
    n, d = int(rng.integers(2, 65)), int(rng.integers(1, 5))
    W = rng.normal(size=(d, d)) / np.sqrt(d) * rng.choice((0.1, 0.3, 1.0))
    operands = rng.normal(size=(n, d)), W, rng.normal(size=(d, d)), rng.normal(size=(n, d))
    return operands, bool(rng.integers(2)), 10.0 ** -rng.uniform(1, 6), METHODS[seed % 3]


def test_in_the_stated_region_bounds_are_finite_and_of_use() -> None:
    """What docs/bounds.md says of the region, for 300 layers of it."""
    ratios, norms = [], []
    for seed in range(300):
        (X, W, W_V, G), causal, rtol, method = region(seed)
        gradient = reference.fast_attention_gradient(X, W, W_V, G, causal=causal, rtol=rtol, method=method)
        output = reference.fast_attention(X, W, W_V, causal=causal, rtol=rtol)
        truth = exact_layer(X, W, W_V, G, 1 / X.shape[1], causal)
        values = output.value, gradient.value.X, gradient.value.W, gradient.value.W_V
        bounds = output.bound, gradient.bound.X, gradient.bound.W, gradient.bound.W_V
        errors = [np.abs(v - t.astype(float)) for v, t in zip(values, truth.values, strict=True)]
        assert all(np.isfinite(b).all() for b in bounds)
        assert worst(values, bounds, truth) <= 1
        ratios += [b[e > 0] / e[e > 0] for b, e in zip(bounds, errors, strict=True)]
        norms.append([np.linalg.norm(b) / np.linalg.norm(e) for b, e in zip(bounds, errors, strict=True)])
    assert np.median(np.concatenate(ratios)) <= 100
    assert (np.median(norms, axis=0) <= (10, 75, 250, 60)).all()  # output, X, W, W_V


def test_the_moment_makes_the_bound_ten_times_smaller() -> None:
    Q, K, V, dO = np.random.default_rng(0).normal(size=(4, 300, 4))
    rows = [a.__getitem__ for a in (Q, K, V, dO)]
    head = Head(300, 300, 4, 4, Q.dtype, 0.05, True, *rows)
    bounds, infinite = [], np.full((300, 1), np.inf)
    for patched in ({}, {"_excess": lambda *_: (infinite, infinite)}):
        (fast,), _ = prepare([head], None, taylor(2, 1.0), "antiderivative", qkv.Wording("test"))
        vars(fast.bounds).update(patched)
        with np.errstate(invalid="ignore"):  # as the public functions have it
            blocks = [b for b in fast.gradient() if isinstance(b, QuerySide)]
        bounds.append(np.median(np.concatenate([b.dQ_bound for b in blocks])))
    assert 10 * bounds[0] < bounds[1]


def test_a_smaller_tolerance_gives_a_smaller_bound() -> None:
    (X, W, W_V, G), *_ = region(1)
    bounds = [
        np.abs(reference.fast_attention_gradient(X, W, W_V, G, rtol=rtol).bound.X).max() for rtol in (1e-1, 1e-3, 1e-5)
    ]
    assert bounds[0] > 10 * bounds[1] > 100 * bounds[2]


# --- edges


def test_norms_whose_squares_underflow_are_seen() -> None:
    Q, K, V = np.array([[1.5e-162]]), np.array([[1e153], [-1e153]]), np.array([[1.0], [-1.0]])
    fast = qkv.fast_attention(Q, K, V, scale=1.0, rtol=1e-3)
    assert abs(fast.value - 1.5e-9) <= fast.bound
    assert fast.bound < 1e-6


def test_queries_that_underflow_are_counted() -> None:
    Q, K = np.full((1, 1000), 5.9e-8, np.float32), np.full((2, 1000), 3e38, np.float32)
    K[1] *= -1
    V = np.array([[1.0], [-1.0]], np.float32)
    scale = 1.1755e-38
    exactly = qkv.attention(*(a.astype(float) for a in (Q, K, V)), scale=scale)
    fast = qkv.fast_attention(Q, K, V, scale=scale, rtol=1e-3)
    assert abs(fast.value - exactly) <= fast.bound


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("small", ["smallest_subnormal", "tiny"])
@pytest.mark.parametrize("swapped", [False, True])
@pytest.mark.parametrize("method", METHODS)
def test_queries_and_keys_at_opposite_ends_of_the_range(dtype: Any, small: str, swapped: bool, method: Method) -> None:
    """No power of two of the dtype makes the smallest and the largest number equal."""
    limits = np.finfo(dtype)
    little, large = np.array([[getattr(limits, small)]], dtype), np.array([[1], [-1]], dtype) * (limits.max / 2)
    Q, K = (large[:1], little * np.array([[1], [-1]], dtype)) if swapped else (little, large)
    V, dO = np.array([[1], [-1]], dtype), np.ones((1, 1), dtype)
    output = qkv.fast_attention(Q, K, V, scale=1.0, polynomial=taylor(2, 1.0))
    gradient = qkv.fast_attention_vjp(Q, K, V, dO, scale=1.0, polynomial=taylor(2, 1.0), method=method)
    truth = exact(Q, K, V, dO, 1.0, False)
    assert worst((output.value, *gradient.value), (output.bound, *gradient.bound), truth) <= 1


@pytest.mark.parametrize("d", [1, 3])
def test_equal_keys_or_no_queries_of_any_size(d: int) -> None:
    """All scores are the same: nothing overflows."""
    rng = np.random.default_rng(0)
    V, dO = rng.normal(size=(2, 5, 2)).astype(np.float32)
    large, none = np.full((5, d), 1e10, np.float32), np.zeros((5, d), np.float32)
    for Q, K in ((large, large), (none, large * rng.normal(size=(5, d)).astype(np.float32))):
        fast = qkv.fast_attention_vjp(Q, K, V, dO, scale=1.0, polynomial=taylor(4, 1.0))
        assert np.abs(fast.value.V - dO.mean(axis=0)).max() <= fast.bound.V.max() < 1e-3


def test_keys_that_differ_by_the_smallest_number() -> None:
    tiny = np.finfo(np.float64).smallest_subnormal
    fast = qkv.fast_attention(np.ones((1, 1)), np.array([[0.0], [tiny]]), np.eye(2), scale=1.0, rtol=0.1)
    assert (np.abs(fast.value - 0.5) <= fast.bound).all()


def test_what_is_exact_has_a_bound_of_rounding_only() -> None:
    """Equal values, equal keys or one key: nothing is approximated."""
    rng = np.random.default_rng(0)
    Q, K, V, dO = rng.normal(size=(4, 5, 2))
    same_values = qkv.fast_attention(Q, K, np.ones((5, 2)) * 3, scale=0.2, polynomial=taylor(0, 1.0))
    assert np.array_equal(same_values.value, np.full((5, 2), 3.0))
    assert same_values.bound.max() < 1e-14
    same_keys = qkv.fast_attention_vjp(Q, np.ones((5, 2)), V, dO, scale=0.2, polynomial=taylor(0, 1.0))
    assert max(b.max() for b in same_keys.bound) < 1e-12
    one_key = qkv.fast_attention_vjp(Q, K[:1], V[:1], dO, scale=0.2, polynomial=taylor(2, 1.0))
    assert (one_key.value.Q == 0).all()
    assert one_key.bound.Q.max() < 1e-200


@pytest.mark.parametrize("zero", range(4))
def test_zero_operands(zero: int) -> None:
    Q, K, V, dO = (a * (k != zero) for k, a in enumerate(np.random.default_rng(0).normal(size=(4, 6, 3))))
    fast = qkv.fast_attention_vjp(Q, K, V, dO, scale=0.2, rtol=1e-3)
    truth = exact(Q, K, V, dO, 0.2, False)
    assert worst(fast.value, fast.bound, Exact(truth.values[1:], truth.noise[1:])) <= 1


def test_a_scale_of_zero() -> None:
    Q, K, V, dO = np.random.default_rng(0).normal(size=(4, 6, 3))
    fast = qkv.fast_attention_vjp(Q, K, V, dO, scale=0.0, rtol=1e-3)
    assert fast.degree == 0
    assert (fast.value.Q == 0).all()
    assert np.allclose(fast.value.V, dO.mean(axis=0), rtol=0, atol=1e-15)


@pytest.mark.parametrize("B", [2, 6, 11])
def test_scores_that_float32_reaches_at_one_percent(B: int) -> None:
    x = line(B)
    fast = qkv.fast_attention(x, x, x, scale=1.0, rtol=1e-2)
    assert (np.abs(fast.value - qkv.attention(*(x.astype(float),) * 3, scale=1.0)) <= fast.bound).all()


@pytest.mark.parametrize("B", [13, 20])
def test_scores_that_it_does_not_reach_are_refused(B: int) -> None:
    x = line(B)
    with pytest.raises(AltgradError, match="rounding in float32 alone may reach"):
        qkv.fast_attention(x, x, x, scale=1.0, rtol=1e-2)
    wide = x.astype(float)
    assert np.isfinite(qkv.fast_attention(wide, wide, wide, scale=1.0, rtol=1e-2).bound).all()


def line(B: float) -> Any:
    """Queries and keys in one dimension with scores up to B."""
    return np.linspace(-np.sqrt(B), np.sqrt(B), 400)[:, None].astype(np.float32)
