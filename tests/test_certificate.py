"""The returned bounds hold on layers larger than those of the checks, are of use there, and notice what breaks them.

The exact values are computed in the 80-bit format, from closed forms that are written here; what that may round is
bounded beside them, and is subtracted.
"""

from __future__ import annotations

import math
from fractions import Fraction
from typing import Any, NamedTuple
from unittest.mock import patch

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

import reference
from reference import AltgradError, backend, qkv, row_bounds
from reference.certificate import BINS, Certificate, Head, Ranges, error_table, gamma, product_rounding
from reference.fast_qkv import METHODS, Approximation, Method, QuerySide, prepare
from reference.polynomial import ExpPolynomial, chebyshev, fitted, taylor
from reference.row_bounds import Errors, Facts, Fixed, Numbers

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
    return max(shares(values, bounds, truth))


def shares(values: Any, bounds: Any, truth: Exact) -> list[float]:
    """The same for each of the values."""
    ratios = []
    for value, bound, true, noise in zip(values, bounds, truth.values, truth.noise, strict=True):
        assert np.isfinite(value).all()
        assert not np.isnan(bound).any()
        error = np.maximum(np.abs(value.astype(Wide) - true) - noise, 0)
        ratios.append(float(np.where(error > 0, error / np.maximum(bound.astype(Wide), Wide(10) ** -4000), 0).max()))
    return ratios


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


def head_bounds_hold(
    operands: tuple[Any, ...], scale: float, causal: bool, method: Method, how: Any, curable: bool
) -> None:
    """Or the head is refused for a reason; if `curable`, one in float32 also for overflow, and float64 is the cure."""
    Q, K, V, dO = operands
    try:
        output = qkv.fast_attention(Q, K, V, scale=scale, causal=causal, **how)
        gradient = qkv.fast_attention_vjp(Q, K, V, dO, scale=scale, causal=causal, method=method, **how)
    except AltgradError as refusal:
        if curable and "overflows float32" in str(refusal) and str(refusal).endswith("or float64"):
            wide = tuple(a.astype(np.float64) for a in operands)
            head_bounds_hold(wide, scale, causal, method, how, curable=False)
        else:
            explained(refusal)
        return
    truth = exact(Q, K, V, dO, scale, causal)
    assert worst((output.value, *gradient.value), (output.bound, *gradient.bound), truth) <= 1
    for fast, bounds in ((output, [output.bound]), (gradient, gradient.bound)):
        assert all(np.isfinite(b).all() for b in bounds) or "rounding in" in fast.why or "overflows" in fast.why


@given(
    **common, m=st.sampled_from((1, 2, 7, 40)), e=st.integers(1, 3), size=SIZES, offset=st.sampled_from((0, 1, 100))
)
@example(
    n=1,
    d=1,
    seed=3,
    style=0,
    how={"rtol": 1.0},
    causal=False,
    dtype=np.float32,
    scale=1.0,
    method="paper",
    m=40,
    e=1,
    size=1e30,
    offset=0,
)  # the gradients are of order 1e30, the sums of powers of the scores that they are made of overflow
def test_no_bound_of_a_head_is_broken(
    n: int, d: int, seed: int, style: int, how: Any, causal: bool, dtype: Any, scale: float, method: Method,
    m: int, e: int, size: float, offset: int,
) -> None:  # fmt: skip
    rng = np.random.default_rng(seed)
    m = n if causal else m
    operands = (
        rows(rng, style, n, d),
        rows(rng, style, m, d) + offset,
        (rows(rng, style, m, e) + offset) * size,
        rows(rng, style, n, e),
    )
    head = tuple(a.astype(dtype) for a in operands)
    head_bounds_hold(head, scale, causal, method, how, curable=size == 1e30)  # times powers of the scores


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


# --- sharp: instances that attain the bound to first order, which no constant in it can be too small for

ANSWERS = "output", "dQ", "dK", "dV"


def attained(x: float, keys: Any, V: Any, scale: float, method: Method, polynomial: ExpPolynomial) -> dict[str, float]:
    """Largest error over bound of each answer, for one query with scores ±x and dO = 1."""
    Q, K, V, dO = (np.reshape(a, (-1, 1)).astype(float) for a in (x / abs(scale), keys, V, 1))
    output = qkv.fast_attention(Q, K, V, scale=scale, polynomial=polynomial)
    gradient = qkv.fast_attention_vjp(Q, K, V, dO, scale=scale, method=method, polynomial=polynomial)
    truth = exact(Q, K, V, dO, scale, False)
    found = dict(
        zip(ANSWERS, shares((output.value, *gradient.value), (output.bound, *gradient.bound), truth), strict=True)
    )
    assert max(found.values()) <= 1
    return found


one_of_each = pytest.mark.parametrize(("scale", "method"), [(s, m) for s in (1.0, -0.5) for m in METHODS])


@one_of_each
def test_bounds_by_the_ratio_are_attained(scale: float, method: Method) -> None:
    """P = 1, one key and its value apart from all others. Left out: terms of order x, and 1/m for one key."""
    x, m = 2.0**-16, 2**14
    two = attained(x, [1, -1], [1, -1], scale, method, taylor(0, 1.0))
    assert two["output"] > 1 - x
    assert two["dQ"] > 1 - 4 * x or method != "differentiate"  # R = P′ = 0
    many = attained(x, [1] + (m - 1) * [-1], [1] + (m - 1) * [-1], scale, method, taylor(0, 1.0))
    assert min(many["dK"], many["dV"]) > 1 - 8 * x - 4 / m


@one_of_each
def test_bounds_by_the_moment_are_attained(scale: float, method: Method) -> None:
    """P = 1 + x + x²/2, scores of ±x and otherwise 0. Left out: terms of order x, and 1/m for one key."""
    x, m = 2.0**-7, 2**10
    K, odd = np.zeros(m), np.zeros(m)
    K[:2] = odd[:2] = 1, -1
    of_odd, of_even = (attained(x, K, V, scale, method, taylor(2, 1.0)) for V in (odd, np.abs(odd)))
    assert of_odd["output"] > 1 - x
    assert (of_odd if method == "differentiate" else of_even)["dQ"] > 1 - x  # there the error is that of P′, and even
    assert min(of_odd["dK"], of_odd["dV"]) > 1 - x


@pytest.mark.parametrize("bin", range(1, BINS))
def test_each_query_goes_by_the_sixteenth_of_the_range_that_its_scores_lie_in(bin: int) -> None:
    """P = 1 + x + x²/2 and an odd V: the longest query has scores ±x, the other just within the end of its bin."""
    x, K = 2.0**-7, np.array([[1.0], [-1.0]])
    Q = np.array([[x], [x * bin / BINS * (1 - 2.0**-18)]])
    fast = qkv.fast_attention(Q, K, K, scale=1.0, polynomial=taylor(2, 1.0))
    truth = exact(Q, K, K, Q, 1.0, False)
    for row in range(2):
        one = Exact((truth.values[0][row],), (truth.noise[0][row],))
        assert 1 - x - 2.0**-16 < worst([fast.value[row]], [fast.bound[row]], one) <= 1


@pytest.mark.parametrize("method", ["paper", "antiderivative"])
def test_the_error_of_the_row_sum_counts_in_full(method: Method) -> None:
    """P of degree 3 is off by about x⁴/24 at ±x: a key of score 0 at the same end of q feels it through D and K."""
    x, m = 2.0**-5, 2**8
    K, V = np.zeros((m, 1)), np.tile([[-1.0], [1.0]], (m // 2, 1))
    K[:2], V[:2] = [[1], [-1]], -1
    Q, dO = np.array([[x]]), np.ones((1, 1))
    fast = qkv.fast_attention_vjp(Q, K, V, dO, scale=1.0, method=method, polynomial=taylor(3, 1.0))
    values, noise = exact(Q, K, V, dO, 1.0, False)
    one = np.s_[2:3]
    for value, bound, true, lost in zip(fast.value[1:], fast.bound[1:], values[2:], noise[2:], strict=True):
        assert 1 - x - 4 / m < worst([value[one]], [bound[one]], Exact((true[one],), (lost[one],))) <= 1


@pytest.mark.parametrize("method", ["paper", "antiderivative"])
def test_the_mean_of_the_keys_counts_in_full(method: Method) -> None:
    """As above, and most keys at one end in a second dimension: its share of dQ errs by their mean alone."""
    x, m = 2.0**-7, 2**10
    Q, dO = np.array([[x, 0.0]]), np.ones((1, 1))
    K, V = np.tile([0.0, 1.0], (m, 1)), np.zeros((m, 1))
    K[:3] = [[1, 0], [-1, 0], [0, -1]]
    V[:2] = [[1], [-1]]
    fast = qkv.fast_attention_vjp(Q, K, V, dO, scale=1.0, method=method, polynomial=taylor(2, 1.0))
    values, noise = exact(Q, K, V, dO, 1.0, False)
    second = np.s_[:, 1:]
    truth = Exact((values[1][second],), (noise[1][second],))
    assert 1 - 2 * x < worst([fast.value.Q[second]], [fast.bound.Q[second]], truth) <= 1


# --- rounding: operands whose products or features cancel


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("cancels", ["X W", "X W_V"])
def test_no_bound_is_broken_where_a_product_cancels(cancels: str, method: Method) -> None:
    """Entries of X W or X W_V are 2⁻¹⁸ of what they are sums of: rounding moves the scores, or the values, by 1 %."""
    for seed in range(20):
        rng = np.random.default_rng(seed)
        nearly_equal = rng.uniform(1, 2, size=(6, 1)) + 2.0**-18 * rng.normal(size=(6, 2)) * [[0, 1]]
        large, small = 2.0**18 * rng.normal(size=(1, 2)) * [[1], [-1]], rng.normal(size=(2, 2))
        weights = (large / 16, small) if cancels == "X W" else (small / 16, large)
        X, W, W_V, G = (a.astype(np.float32) for a in (nearly_equal, *weights, rng.normal(size=(6, 2))))
        how: dict[str, Any] = {"scale": 0.5, "causal": bool(seed % 2), "polynomial": taylor(4, 1.0)}
        output = reference.fast_attention(X, W, W_V, **how)
        gradient = reference.fast_attention_gradient(X, W, W_V, G, **how, method=method)
        bounds = output.bound, gradient.bound.X, gradient.bound.W, gradient.bound.W_V
        assert all(np.isfinite(b).all() for b in bounds)
        values = output.value, gradient.value.X, gradient.value.W, gradient.value.W_V
        assert worst(values, bounds, exact_layer(X, W, W_V, G, how["scale"], how["causal"])) <= 1


@given(
    seed=st.integers(0, 2**32 - 1),
    size=st.sampled_from((1.0, 2.0, 3.0)),
    degree=st.sampled_from((2, 4, 8)),
    causal=st.booleans(),
    dtype=st.sampled_from((np.float32, np.float64)),
    method=st.sampled_from(METHODS),
)
def test_no_bound_is_broken_where_features_cancel(
    seed: int, size: float, degree: int, causal: bool, dtype: Any, method: Method
) -> None:
    """Queries and keys that are long and almost orthogonal: scores say nothing of the rounding in their features."""
    rng = np.random.default_rng(seed)
    along, across = np.array([[1.01, 0.997]]), np.array([[1.0, -0.999]])
    Q, K = (size * rng.uniform(0.9, 1.1, size=(6, 1)) * a for a in (along, across))
    K *= rng.choice((-1, 1), size=(6, 1))
    Q, K, V, dO = (a.astype(dtype) for a in (Q, K, *rng.normal(size=(2, 6, 2))))
    how: dict[str, Any] = {"scale": 1.0, "causal": causal, "polynomial": taylor(degree, 1.0)}
    output = qkv.fast_attention(Q, K, V, **how)
    gradient = qkv.fast_attention_vjp(Q, K, V, dO, **how, method=method)
    truth = exact(Q, K, V, dO, 1.0, causal)
    assert worst((output.value, *gradient.value), (output.bound, *gradient.bound), truth) <= 1


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
    bounds = []
    for moment in (1.0, np.inf):
        (fast,), _ = prepare([head], None, taylor(2, 1.0), "antiderivative", qkv.Wording("test"))
        assert fast.bounds
        table = fast.bounds.table * (1, 1, moment, 1)
        with (
            patch("reference.certificate.error_table", lambda *_, table=table: table),
            np.errstate(invalid="ignore"),  # as the public functions have it
        ):
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


def broken_by(fast: Approximation, Q: Any, K: Any, V: Any, scale: float) -> float:
    """Largest error over bound of an output."""
    values, noise = exact(Q, K, V, np.zeros((len(Q), V.shape[1])), scale, False)
    return worst([fast.value], [fast.bound], Exact(values[:1], noise[:1]))


def broken_by_gradient(fast: Approximation, Q: Any, K: Any, V: Any, dO: Any, scale: float) -> float:
    """Largest error over bound of three gradients."""
    values, noise = exact(Q, K, V, dO, scale, False)
    return worst(fast.value, fast.bound, Exact(values[1:], noise[1:]))


def rounding_alone(function: Any, *operands: Any, **how: Any) -> Any:
    """The bound if P were the exponential."""
    with patch("reference.certificate.error_table", lambda *_: np.zeros((BINS, 4))):
        return function(*operands, **how).bound


def test_norms_whose_squares_underflow_are_seen() -> None:
    Q, K, V = np.array([[1.5e-162]]), np.array([[1e153], [-1e153]]), np.array([[1.0], [-1.0]])
    fast = qkv.fast_attention(Q, K, V, scale=1.0, rtol=1e-3)
    assert broken_by(fast, Q, K, V, 1.0) <= 1
    assert fast.degree == 0
    assert (
        fast.bound < 2 * 1.5e-9
    )  # P = 1, so that the output is 0: the score is the error, and the bound to first order


def test_queries_that_underflow_are_counted() -> None:
    Q, K = np.full((1, 1000), 5.9e-8, np.float32), np.full((2, 1000), 3e38, np.float32)
    K[1] *= -1
    V = np.array([[1.0], [-1.0]], np.float32)
    scale = 1.1755e-38
    assert broken_by(qkv.fast_attention(Q, K, V, scale=scale, rtol=1e-3), Q, K, V, scale) <= 1


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
        how: dict[str, Any] = {"scale": 1.0, "polynomial": taylor(4, 1.0)}
        fast = qkv.fast_attention_vjp(Q, K, V, dO, **how)
        assert broken_by_gradient(fast, Q, K, V, dO, 1.0) <= 1
        assert all(np.isfinite(b).all() for b in fast.bound)
        alone = rounding_alone(qkv.fast_attention_vjp, Q, K, V, dO, **how)
        assert all(np.array_equal(a, b) for a, b in zip(fast.bound, alone, strict=True))


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
    assert same_values.bound.max() < 5 * 2.0**-53 * 3  # four roundings of the value and its own; the range is 0
    how: dict[str, Any] = {"scale": 0.2, "polynomial": taylor(0, 1.0)}
    same_keys = qkv.fast_attention_vjp(Q, np.ones((5, 2)), V, dO, **how)
    alone = rounding_alone(qkv.fast_attention_vjp, Q, np.ones((5, 2)), V, dO, **how)
    assert all(np.array_equal(a, b) for a, b in zip(same_keys.bound, alone, strict=True))
    one_key = qkv.fast_attention_vjp(Q, K[:1], V[:1], dO, scale=0.2, polynomial=taylor(2, 1.0))
    assert (one_key.value.Q == 0).all()
    assert one_key.bound.Q.max() < 2.0**53 * np.finfo(float).tiny  # underflow, of far fewer operations; 0 rounds to 0


@pytest.mark.parametrize("zero", range(4))
def test_zero_operands(zero: int) -> None:
    Q, K, V, dO = (a * (k != zero) for k, a in enumerate(np.random.default_rng(0).normal(size=(4, 6, 3))))
    fast = qkv.fast_attention_vjp(Q, K, V, dO, scale=0.2, rtol=1e-3)
    assert broken_by_gradient(fast, Q, K, V, dO, 0.2) <= 1


def test_a_scale_of_zero() -> None:
    Q, K, V, dO = np.random.default_rng(0).normal(size=(4, 6, 3))
    fast = qkv.fast_attention_vjp(Q, K, V, dO, scale=0.0, rtol=1e-3)
    assert fast.degree == 0
    assert (fast.value.Q == 0).all()
    assert broken_by_gradient(fast, Q, K, V, dO, 0.0) <= 1
    alone = rounding_alone(qkv.fast_attention_vjp, Q, K, V, dO, scale=0.0, rtol=1e-3)
    assert np.array_equal(fast.bound.V, alone.V)


@pytest.mark.parametrize("B", [2, 6, 11])
def test_scores_that_float32_reaches_at_one_percent(B: int) -> None:
    x = line(B)
    fast = qkv.fast_attention(x, x, x, scale=1.0, rtol=1e-2)
    assert np.isfinite(fast.bound).all()
    assert broken_by(fast, x, x, x, 1.0) <= 1


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


# --- the parts of a bound are the formulas that are written


def certificate(dtype: Any = np.float64, **changed: Any) -> Certificate:
    """Of a head of which only sizes count."""

    def none(rows: slice) -> Any:
        raise AssertionError("no operand is read")

    about = {name: changed.pop(name) for name in ("Q_error", "V_error", "parts") if name in changed}
    head = Head(5, 7, 2, 3, np.dtype(dtype), -1.5, False, none, none, none, **about)
    ranges = Ranges(
        centre=np.zeros(2), middle=np.zeros(3), balance=4.0, q=np.array([0.5, 3.0]), k=np.array([2.0, 0.25]),
        v=np.array([1.0, 2.0, 5.0]), dO=np.ones(3), longest_q=3.25, longest_k=2.5,
    )  # fmt: skip
    options: dict[str, Any] = {
        "polynomial": taylor(4, 1.0), "differentiated": False, "power": 2, "top": 4, "widest": 15, "step": 2,
        "largest_weight": 6.0, "scores": 8.25, "rtol": None, "words": qkv.Wording("test"),
    }  # fmt: skip
    return Certificate(head, ranges, **options | changed)


@pytest.mark.parametrize("parts", [0, 6])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_gamma_is_that_of_the_documented_path(dtype: Any, parts: int) -> None:
    """N = 6t + 2k′ + t(d + 3) + b + e + 20, and one for each of 7/2 blocks and each part in units of 2⁻⁵³."""
    u = float(np.finfo(dtype).eps) / 2
    N = 6 * 4 + 2 * 15 + 4 * (2 + 3) + 2 + 3 + 20 + (3.5 + parts) * 2.0**-53 / u
    bounds = certificate(dtype, parts=parts)
    assert bounds.gamma == approximately(N * u / (1 - N * u))
    assert bounds.spare == approximately(1 + 4 * N * u / (1 - N * u) + 64 * u)


def approximately(number: Any) -> Any:
    return pytest.approx(number, rel=1e-13, abs=0)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(("largest_weight", "counted"), [(6.0, 6.0), (0.25, 1.0)])
def test_underflow_counts_with_the_factors_that_follow(dtype: Any, largest_weight: float, counted: float) -> None:
    """The smallest normal number for each of 4 (t + 2) k operations, times the weight and powers of q and k."""
    bounds, tiny = certificate(dtype, largest_weight=largest_weight), float(np.finfo(dtype).tiny)
    of_a_weight = tiny * 4 * (4 + 2) * 15 * counted * (3.0 * 2.0) ** 4
    of_all_pairs = of_a_weight * 7 * 5 * (1 + 1.5) * (4 + 1 / 4)
    assert bounds.fixed.floor == approximately(of_a_weight)
    assert bounds.floor(0.0) == approximately(of_all_pairs)
    assert bounds.floor(2.0, 3.0, 0.5) == approximately(of_all_pairs * (1 + 2 * 2) * (1 + 3) * (1 + 0.5))
    small = certificate(dtype)
    small.ranges = small.ranges._replace(q=np.array([0.5, 0.25]), k=np.array([0.1, 0.2]))
    assert small.fixed.floor == approximately(tiny * 4 * (4 + 2) * 15 * 6)  # no factor makes it smaller


def test_a_bound_is_enlarged_by_the_last_roundings() -> None:
    bounds = certificate()
    whole = bounds.whole(np.array([[0.5, np.nan]]), np.array([[-3.0, 1.0]]), 0.25)
    assert whole[0, 0] == approximately((0.5 + 4 * 2.0**-53 * 3 + 0.25) * bounds.spare)
    assert whole[0, 1] == np.inf
    rounded = bounds.whole(np.zeros((1, 1)), np.array([[-1e20]]), 0.0)
    assert rounded[0, 0] == approximately(4e20 * 2.0**-53 * bounds.spare)


def test_how_much_steeper_the_derivative_is() -> None:
    """r with P̄′ ≤ r P̄: the degree above 1, P̄′(1)/P̄(0) below."""
    steep = ExpPolynomial((Fraction(-1, 8), Fraction(1), Fraction(-1, 2)), 1.0, "any")
    assert certificate(polynomial=steep).fixed.steepness == 1
    assert certificate(polynomial=steep, differentiated=True).fixed.steepness == 16
    assert certificate(differentiated=True).fixed.steepness == 4
    assert certificate(polynomial=taylor(0, 1.0), differentiated=True).fixed.steepness == 1


def test_what_does_not_depend_on_the_query() -> None:
    fixed = certificate(np.float32).fixed
    assert (fixed.u, fixed.m, fixed.power, fixed.e, fixed.constant) == (2.0**-24, 7, 2, 3, 1)
    assert (fixed.longest_k, fixed.scores) == (2.5, 8.25)
    nothing = certificate(scores=0.0).fixed
    assert (nothing.longest_k, nothing.scores) == (1, 1)


def test_how_far_rounding_has_moved_queries_and_values() -> None:
    """In the units of x: the scale, an underflow, the balance."""
    least, x, dO = 2.0**-149, np.array([[1.0, -2.0], [3.0, 0.5]]), np.array([[1.0, -1.0, 2.0], [0.0, 0.5, -3.0]])
    exact_rows = certificate(np.float32).facts(x, np.s_[:2], dO)
    assert (exact_rows.x_moved == 4 * least).all()
    assert (exact_rows.moved == 0).all()
    error = np.array([[0.5, 0.25], [0.0, 2.0]])
    facts = certificate(Q_error=lambda rows: error[rows], V_error=np.array([1.0, 0.5, 0.25])).facts(x, np.s_[:2], dO)
    for row in range(2):
        moved = [4 * (1.5 * off + math.ulp(0.0)) for off in error[row]]
        assert facts.x_moved[row] == approximately(moved)
        assert facts.x_moved_most[row, 0] == approximately(max(moved))
        assert facts.sigma[row, 0] == approximately(2 * moved[0] + 0.25 * moved[1])
        assert facts.reach[row, 0] == 2 * abs(x[row, 0]) + 0.25 * abs(x[row, 1])
        assert facts.mu[row, 0] == abs(dO[row, 0]) + 2 * abs(dO[row, 1]) + 5 * abs(dO[row, 2])
        assert facts.moved[row, 0] == abs(dO[row, 0]) + abs(dO[row, 1]) / 2 + abs(dO[row, 2]) / 4
        assert facts.dO_most[row, 0] == max(map(abs, dO[row]))
    assert (certificate().facts(x, np.s_[:2]).mu == 0).all()


def test_errors_of_a_polynomial_on_each_sixteenth_of_the_range() -> None:
    P, B = taylor(4, 2.0), 2.0
    for differentiated in (False, True):
        table = error_table(P, B, 2, differentiated)
        for bin in range(BINS):
            b = B * (bin + 1) / BINS
            slopes = (P.slope_error(b), P.slope_distance(b, 2)) if differentiated else (0, 0)
            assert tuple(table[bin]) == (P.weight_error(b), slopes[0], P.absolute_error(b, 2), slopes[1])


@pytest.mark.parametrize(
    ("dtype", "cure"), [(np.float32, "float64, or smaller scores"), (np.float64, "smaller scores")]
)
def test_what_cures_rounding_is_said(dtype: Any, cure: str) -> None:
    bounds = certificate(dtype, rtol=0.5)
    bounds.accept(0.5)
    assert bounds.why == ""
    with pytest.raises(AltgradError, match=f"rtol is 0.5, .* scores up to 8.125, needs {cure} or a larger rtol$"):
        bounds.accept(0.75)
    unbounded = certificate(dtype)
    unbounded.accept(np.inf)
    assert unbounded.why.endswith(f"may exceed the sums of the weights: {cure} or a larger rtol")


def test_products_on_tensor_cores_lose_more_in_float32_alone() -> None:
    each, u = 2.0**-10, 2.0**-24
    assert product_rounding(3, np.float32) == approximately(3 * u / (1 - 3 * u))
    with backend.use(backend.NUMPY._replace(product_error=each)):
        assert product_rounding(3, np.float32) == approximately(12 * u / (1 - 12 * u) * (1 + each) + each)
        assert product_rounding(3, np.float64) == approximately(3 * 2.0**-53)
    assert gamma(2, 0.25) == 1
    assert gamma(2, 0.5) == gamma(2, 0.75) == np.inf


# What is known of one query, with numbers of about 1, so that no term hides another.
FIXED = Fixed(0.01, 0.003, 6.0, 0.002, 2, 1.5, 3.0, 0.8, 2.0, 4.0)


class Query(NamedTuple):
    facts: Facts
    errors: Errors
    numbers: Numbers


def query(seed: int, errors: float = 1.0, sigma: float = 0.05) -> Query:
    """One row and two columns of queries, three of cotangents."""
    rng = np.random.default_rng(seed)
    mu, moved, reach = rng.uniform(0.5, 1, size=3)
    x, x_moved, dO = rng.uniform(0.1, 1, size=2), rng.uniform(0, 0.1, size=2), rng.uniform(0, 1, size=3)
    facts = Facts(reach, mu, moved / 10, sigma, x, x_moved, x_moved.max(), dO, dO.max())
    small = errors * rng.uniform(0.01, 0.05, size=4)
    return Query(facts, Errors(*small), Numbers(rng.uniform(4, 6), rng.uniform(-0.3, 0.3), 2.0, rng.uniform(1, 2)))


class Written(NamedTuple):
    """What docs/bounds.md, own/moments and own/certificate, say of one query."""

    rho: float
    kappa: float
    growth: float
    T: float
    least: float
    tau: float
    moment: float
    rounding: float
    Q: float


def written(one: Query) -> Written:
    facts, errors, numbers = one
    first = FIXED.gamma * numbers.loss + FIXED.m * FIXED.floor / numbers.D
    rho = first / (1 - FIXED.gamma - first)  # of the computed D
    growth = math.exp(facts.sigma) - 1
    moment = numbers.moment + FIXED.gamma * FIXED.m * facts.reach**2
    T = (1 + growth) * errors.excess * moment + growth * numbers.D * (1 + 2 * rho)
    least = numbers.D * (1 - 2 * rho) - T
    of_K = 2 * rho + (FIXED.e + 4) * FIXED.u
    t = 2 * FIXED.steepness * FIXED.gamma * numbers.loss + 4 * rho + of_K
    Q = min(facts.mu + abs(numbers.K) + facts.mu * of_K, 2 * facts.mu) + 2 * facts.moved
    kappa = (1 + errors.weight) * math.exp(2 * facts.sigma)
    return Written(rho, kappa, growth, T, least, T / least, moment, (1 + errors.omega) * facts.mu * t, Q)


CASES = {"both": query(0), "ratio": query(1, errors=20.0), "moment": query(2, sigma=0.0), "far mean": query(3)}
CASES["far mean"] = CASES["far mean"]._replace(numbers=CASES["far mean"].numbers._replace(K=-5.0))


def coefficients(one: Query) -> Any:
    rho = row_bounds.relative_rounding(one.numbers, FIXED)
    return row_bounds.coefficients(one.facts, one.errors, one.numbers, rho, FIXED)


@pytest.mark.parametrize("case", CASES)
def test_coefficients_of_a_query(case: str) -> None:
    one = CASES[case]
    (facts, errors, _), at, w = one, coefficients(one), written(one)
    assert at.rho == approximately(w.rho)
    assert at.delta == approximately(w.kappa - 1)
    assert at.inverse == approximately(1 / w.least)
    assert at.tau == approximately(w.tau)
    assert at.by_ratio == approximately((w.kappa - 1 + errors.omega) * 2 * facts.mu)
    assert at.spread == approximately(w.Q)
    assert at.range == approximately(2 * facts.mu + 2 * facts.moved)
    assert at.moved == approximately(2 * facts.moved)
    assert at.growth == approximately(w.growth)
    assert at.rounding == approximately(w.rounding)
    assert (at.excess, at.slope) == (approximately((1 + w.growth) * errors.excess), errors.slope)


def far(one: Query, moments: float, largest: float) -> Any:
    """Σ_j |Δ|_ij |z_j|/(D̃ − T): at most τ times the largest |z_j|."""
    w, growth = written(one), math.exp(one.facts.sigma) - 1
    sums = moments + (w.moment - one.numbers.moment) * largest
    weighed = (1 + growth) * one.errors.excess * sums + growth * one.numbers.D * (1 + 2 * w.rho) * largest
    return min(w.tau * largest, weighed / w.least)


COLUMNS = [(0.4, 0.1, 0.7), (1.1, -0.3, 2.0), (90.0, 0.6, 0.9)]  # sums, a mean and the largest entry of a column


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize(("moments", "mean", "largest"), COLUMNS)
def test_bounds_of_a_query(case: str, moments: float, mean: float, largest: float) -> None:
    """own/moments for the output and for Σ_j p_ij y_j, each with the rounding of what it is made of."""
    one = CASES[case]
    (facts, errors, numbers), at, w = one, coefficients(one), written(one)
    output = row_bounds.output_bound(facts, at, numbers.D, moments, mean, largest, FIXED)
    by_ratio = 2 * math.tanh(math.log(w.kappa) / 4) * largest
    by_moment = far(one, moments, largest) + w.tau * (abs(mean) + 2 * w.rho * largest)
    assert output == approximately(min(by_ratio, by_moment) + (2 * w.rho + 6 * FIXED.u) * largest)
    positive = numbers.D * largest * abs(mean)
    sizes = positive / numbers.D + 2 * w.rho * largest
    of_exact_f = min(largest, sizes + 2 * w.tau * largest)
    sloped = errors.slope * w.moment / numbers.D * (1 + 2 * w.rho) * w.Q * largest
    parts = (
        (w.kappa - 1 + errors.omega) * 2 * facts.mu * sizes,
        w.Q * (far(one, moments, largest) + w.tau * of_exact_f) + w.tau * (w.rounding * largest + sloped) + sloped,
        w.tau,
        (2 * facts.moved + w.rounding) * largest,
    )
    found = row_bounds.query_bound(facts, at, numbers, positive, moments, largest, FIXED)
    assert found == tuple(map(approximately, parts))


@pytest.mark.parametrize("case", CASES)
def test_what_a_query_adds_to_the_sums_of_the_keys(case: str) -> None:
    """By the ratio, δ f̃, or by the moment, (2τ + τ²) f̃ and S^h, whichever promises less."""
    one, q = CASES[case], 1.25
    (facts, errors, numbers), at, w = one, coefficients(one), written(one)
    D, spare, grown = numbers.D, 1 + 4 * w.rho, numbers.D * (1 + 2 * w.rho) / w.least
    excess, sloped = (1 + w.growth) * errors.excess, errors.slope * w.Q / numbers.D
    ratio, by_ratio = (w.kappa - 1 + errors.omega) * 2 * facts.mu, w.kappa - 1
    on_keys = (ratio, 0.0)  # with the weights P(S), and with S^h
    if ratio > 3 * w.tau * w.Q + sloped * numbers.moment:
        on_keys = (
            (2 * w.tau + w.tau**2 + grown**2 * w.growth) * w.Q,
            excess * grown * w.Q / w.least + sloped * spare,
        )
    on_values = (by_ratio, 0.0)
    if by_ratio > 2 * w.tau:
        on_values = w.tau + grown * w.growth, excess / w.least
    key_weight = (on_keys[0] + 2 * facts.moved * w.kappa) * spare / D
    value_weight = on_values[0] * spare / D
    moved = 2 * (facts.mu + facts.moved) * w.kappa * spare / D
    power = facts.reach**2 / (FIXED.constant / 2)
    key_sums = (key_weight + power * on_keys[1]) * q + moved * facts.x_moved_most
    value_sums = (value_weight + power * on_values[1]) * facts.dO_most
    found = row_bounds.for_keys(facts, at, numbers, q, FIXED)
    assert found.x == approximately(key_weight * facts.x + moved * facts.x_moved)
    assert found.dO == approximately(value_weight * facts.dO)
    assert found.x_moment == approximately(on_keys[1] * facts.x)
    assert found.dO_moment == approximately(on_values[1] * facts.dO)
    assert found.x_absolute == approximately(w.rounding / D * q + 2 * FIXED.gamma * key_sums)
    of_D = (2 * FIXED.gamma + w.rho) / D * facts.dO_most
    assert found.dO_absolute == approximately(of_D + 2 * FIXED.gamma * value_sums)


@pytest.mark.parametrize("case", CASES)
def test_queries_change_sides_where_both_ways_promise_the_same(case: str) -> None:
    """About 3τQ + Σ_j |R − P| Q/D̃ for the keys, 2τ for the values; ω moves the one, κ the other."""
    facts, errors, numbers = CASES[case]
    w = written(CASES[case])
    for side in (1 - 1e-9, 1 + 1e-9):
        ratio = side * (3 * w.tau * w.Q + errors.slope * w.Q / numbers.D * numbers.moment)
        of_keys = Query(facts, errors._replace(omega=ratio / (2 * facts.mu) - (w.kappa - 1)), numbers)
        weight = (1 + side * 2 * w.tau) / math.exp(2 * facts.sigma) - 1
        of_values = Query(facts, errors._replace(weight=weight), numbers)
        keys, values = (
            row_bounds.for_keys(facts, coefficients(one), numbers, 1.0, FIXED) for one in (of_keys, of_values)
        )
        assert (keys.x_moment > 0).all() == (values.dO_moment > 0).all() == (side > 1)


def test_queries_go_both_ways() -> None:
    """The cases above are of both kinds, for keys and for values."""
    added = [row_bounds.for_keys(one.facts, coefficients(one), one.numbers, 1.0, FIXED) for one in CASES.values()]
    assert (
        {bool((a.x_moment > 0).all()) for a in added}
        == {bool((a.dO_moment > 0).all()) for a in added}
        == {True, False}
    )


def test_rows_without_a_correct_digit_have_no_inverse() -> None:
    """Neither text nor loops take 1/D of them for the largest; one that has digits counts."""
    units = row_bounds.Units(*(np.ones(c) for c in (2, 3, 2, 3, 3, 3)))
    table, zero = np.full((BINS, 4), 0.01), np.zeros((1, 2))
    for numbers, rho, inverse in (
        ([[-4.0, 0.1, 2.0, 1.0]], np.inf, 0.0),
        ([[1e-3, 0.1, 2.0, 1.0]], np.inf, 0.0),
        ([[-4.0, 0.1, 2.0, 1.0], [4.0, 0.1, 2.0, 1.0]], np.inf, 0.25),
        ([[4.0, 0.1, 2.0, 1.0]], (0.02 + 0.003) / (1 - 0.01 - 0.023), 0.25),
    ):
        known = np.array(numbers)
        x, dO = np.ones((len(known), 2)), np.ones((len(known), 3))
        sums, mean = np.ones((len(known), 2)), np.ones((len(known), 3))
        with np.errstate(invalid="ignore"):
            *_, rho_1, inverse_1 = row_bounds.gradient_rows(known, sums, sums, x, dO, zero, table, units, FIXED)
            _, rho_2, inverse_2 = row_bounds.output_rows(known, sums, mean, x, zero, table, units, FIXED)
            columns = [known[:, k : k + 1] for k in range(4)]
            rho_3 = row_bounds.relative_rounding(Numbers(*columns), FIXED)
            inverse_3 = row_bounds.largest_inverse(columns[0], rho_3)
        assert (rho_1, rho_2, rho_3.max()) == (approximately(rho),) * 3
        assert inverse_1 == inverse_2 == inverse_3 == inverse


@pytest.mark.parametrize("case", CASES)
def test_a_row_of_the_loops_is_a_query_in_its_units(case: str) -> None:
    """All columns as one, by the worst: of the sums that are read, the first is of keys, the second of values."""
    one = CASES[case]
    D, K, loss, moment = (float(number) for number in one.numbers)
    x, dO, x_moved = np.array([[0.5, -0.25]]), np.array([[0.5, -1.0, 0.125]]), np.array([[0.03, 0.01]])
    k, v, V_error = np.array([0.5, 2.0]), np.array([1.0, 0.25, 0.5]), np.array([0.1, 0.2, 0.3])
    per_q, per_v, per_dO = np.array([2.0, 3.0]), np.array([1.0, 4.0, 2.0]), np.array([1.5, 0.5, 5.0])
    units = row_bounds.Units(k, v, per_q, per_v, per_dO, V_error)
    table = np.arange(1.0, 65).reshape(BINS, 4) / 2000
    bin = math.ceil(math.hypot(0.5, 0.25) * FIXED.longest_k / FIXED.scores * BINS) - 1
    facts = Facts(
        reach=0.5 * 0.5 + 0.25 * 2, mu=0.5 + 0.25 + 0.125 * 0.5, moved=0.05 + 0.2 + 0.125 * 0.3,
        sigma=0.03 * 0.5 + 0.01 * 2, x=1.0, x_moved=0.06, x_moved_most=0.06, dO=0.75, dO_most=0.75,
    )  # fmt: skip
    same = Query(facts, Errors(*table[bin]), one.numbers)
    at, positive, moments = coefficients(same), np.array([[1.5]]), np.array([[0.25, 0.75]])
    read = np.array([[D, K, loss, moment]])
    factor, by_moment, absolute, parts, *_ = row_bounds.gradient_rows(
        read, positive, moments, x, dO, x_moved, table, units, FIXED
    )
    added = row_bounds.for_keys(facts, at, one.numbers, 1.0, FIXED)
    assert factor[0] == approximately(np.array([-K / D, *(dO[0] / D), added.x, added.dO]))
    assert by_moment[0] == approximately(np.array([added.x_moment, added.dO_moment]))
    assert absolute[0] == approximately(np.array([added.x_absolute, added.dO_absolute]))
    found = row_bounds.query_bound(facts, at, one.numbers, 1.5, 0.25, 1.0, FIXED)
    assert parts[0] == approximately(np.array(found))
    mean = np.array([[0.2, -0.3, 0.5]])
    no_dO = facts._replace(mu=0.0, moved=0.0, dO=0.0, dO_most=0.0)
    at = coefficients(same._replace(facts=no_dO))
    bound, *_ = row_bounds.output_rows(read, moments, mean, x, x_moved, table, units, FIXED)
    assert bound[0] == approximately(row_bounds.output_bound(no_dO, at, D, 0.75, 0.3 * 4, 1.0, FIXED))
