"""The returned bounds hold on layers larger than those of the checks, are of use there, and notice what breaks them.

The exact values are computed in the 80-bit format, from closed forms that are written here; what that may round is
bounded beside them, and is subtracted.
"""

from __future__ import annotations

from typing import Any, NamedTuple
from unittest.mock import patch

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

import reference
from reference import AltgradError, qkv
from reference.certificate import BINS, Head
from reference.fast_qkv import METHODS, Approximation, Method, QuerySide, prepare
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
