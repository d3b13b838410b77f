"""Fast attention and its gradients compute what they say: the dense formulas with the polynomial, in fractions."""

from __future__ import annotations

import tracemalloc
from fractions import Fraction
from functools import partial
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import pytest
from flint import fmpq
from hypothesis import given
from hypothesis import strategies as st

import reference
from reference import AltgradError, fast_gradient, fast_qkv, low_rank, qkv
from reference.certificate import BINS, Head
from reference.chain_rule import _collect, _head, fast_attention_gradient
from reference.error_bounds import attention_rounding
from reference.fast_qkv import METHODS, Approximation, Fast, Method, prepare
from reference.polynomial import ExpPolynomial, chebyshev, fitted, taylor
from tests.layers import worst_ratio

POLYNOMIALS = {"Taylor 2": taylor(2, 2.0), "Taylor 5": taylor(5, 2.0), "Chebyshev 6": chebyshev(6, 4.0)}


class Case:
    """Operands of one head with scores within ±2, so that every polynomial above is positive on them."""

    def __init__(
        self, n: int, m: int, d: int, e: int, seed: int, causal: bool = False, dtype: Any = np.float64, style: int = 0
    ) -> None:
        rng = np.random.default_rng(seed)
        self.Q, self.K = rng.normal(size=(n, d)), rng.normal(size=(m, d)) + rng.integers(0, 3)
        self.V, self.dO = rng.normal(size=(m, e)) - 1, rng.normal(size=(n, e))
        if style == 1:  # repeated rows
            self.K, self.V = self.K[rng.integers(0, m, size=m) // 2], self.V[rng.integers(0, m, size=m) // 2]
        if style == 2:  # rank-deficient
            self.Q[:, 1:] = self.Q[:, :1]
            self.K[:, 1:] = 0
        if style == 3:  # nothing to see
            self.dO *= 0
        spread = np.linalg.norm(self.K - self.K.mean(axis=0), axis=1).max() + 1
        self.Q /= np.linalg.norm(self.Q, axis=1).max() * spread
        for name in ("Q", "K", "V", "dO"):
            setattr(self, name, getattr(self, name).astype(dtype))
        self.scale, self.causal = 1.0, causal

    @property
    def operands(self) -> tuple[Any, ...]:
        return self.Q, self.K, self.V, self.dO

    @property
    def head(self) -> Head:
        n, m, d, e = len(self.Q), len(self.K), self.Q.shape[1], self.V.shape[1]
        rows = (a.__getitem__ for a in self.operands)
        return Head(n, m, d, e, self.Q.dtype, self.scale, self.causal, *rows)


cases = st.builds(
    lambda n, m, d, e, seed, causal, style: Case(n, n if causal else m, d, e, seed, causal, style=style),
    n=st.integers(1, 9),
    m=st.integers(1, 9),
    d=st.integers(1, 3),
    e=st.integers(1, 3),
    seed=st.integers(0, 2**32 - 1),
    causal=st.booleans(),
    style=st.integers(0, 3),
)
small_cases = cases.filter(lambda case: len(case.Q) * len(case.K) <= 9)
polynomials = st.sampled_from(sorted(POLYNOMIALS)).map(POLYNOMIALS.__getitem__)
methods = st.sampled_from(METHODS)


def prepared(case: Case, polynomial: ExpPolynomial, method: Method, step: int | None = None) -> Fast:
    """The head as the public functions evaluate it, in blocks of `step` rows."""
    (fast,), _ = prepare([case.head], None, polynomial, method, qkv.Wording("test"))
    if step is not None:
        assert fast.bounds
        fast.step = fast.bounds.step = step
    return fast


def no_approximation(fast: Fast) -> None:
    """As if P were the exponential."""
    assert fast.bounds
    fast.bounds.coefficients = partial(as_exponential, fast.bounds.coefficients)  # type: ignore[method-assign]


def as_exponential(coefficients: Any, *operands: Any) -> Any:
    with patch("reference.certificate.error_table", lambda *_: np.zeros((BINS, 4))):
        return coefficients(*operands)


def rounding_only(fast: Fast) -> tuple[list[Any], list[Any]]:
    """dQ, dK, dV, and the bounds that they would have if P were the exponential."""
    no_approximation(fast)
    head = fast.head
    values = [np.empty((head.n, head.d)), np.empty((head.m, head.d)), np.empty((head.m, head.e))]
    bounds = [np.empty_like(v) for v in values]
    for block in fast.gradient():
        if isinstance(block, fast_qkv.QuerySide):
            values[0][block.rows], bounds[0][block.rows] = block.dQ, block.dQ_bound
        else:
            values[1][block.rows], bounds[1][block.rows] = block.dK, block.dK_bound
            values[2][block.rows], bounds[2][block.rows] = block.dV, block.dV_bound
    return values, bounds


def agree(one: tuple[list[Any], list[Any]], other: tuple[list[Any], list[Any]]) -> None:
    """Both computed the same numbers: the difference is within the sum of the rounding bounds."""
    for a, b, bound_a, bound_b in zip(one[0], other[0], one[1], other[1], strict=True):
        assert worst_ratio(np.abs(a - b), bound_a + bound_b) <= 1


# --- three methods


@given(cases, polynomials)
def test_paper_and_antiderivative_give_the_same_numbers(case: Case, polynomial: ExpPolynomial) -> None:
    paper, other = (rounding_only(prepared(case, polynomial, m)) for m in ("paper", "antiderivative"))
    agree(paper, other)


@given(cases, polynomials, methods, st.sampled_from((1, 2, 3, 5)))
def test_the_size_of_the_blocks_changes_nothing(
    case: Case, polynomial: ExpPolynomial, method: Method, step: int
) -> None:
    agree(rounding_only(prepared(case, polynomial, method)), rounding_only(prepared(case, polynomial, method, step)))


def exact(array: Any) -> Any:
    """The same numbers as fractions."""
    flat = [fmpq(*float(x).as_integer_ratio()) for x in np.ravel(array)]
    fractions = np.empty(len(flat), dtype=object)
    fractions[:] = flat
    return fractions.reshape(np.shape(array))


def distance(computed: Any, true: Any) -> Any:
    """How far floats are from fractions."""
    apart = np.ravel(exact(computed) - true)
    return np.array([abs(float(Fraction(int(x.p), int(x.q)))) for x in apart]).reshape(np.shape(computed))


def dense(case: Case, polynomial: ExpPolynomial, coefficients: Any) -> tuple[Any, ...]:
    """f̃, s̃ and p̃ with R = the polynomial of these coefficients, as n × m matrices of fractions."""
    Q, K, V, dO = map(exact, case.operands)
    n, m = len(Q), len(K)
    mask = np.tri(n, m, dtype=int) if case.causal else np.ones((n, m), dtype=int)
    S = Q @ (K - exact(prepared(case, polynomial, "paper").ranges.centre)).T  # (n, m)
    P, R = (
        mask * sum(fmpq(c.numerator, c.denominator) * S**k for k, c in enumerate(cs))
        for cs in (polynomial.coefficients, coefficients)
    )
    D = P.sum(axis=1, keepdims=True)  # (n, 1)
    s = P / D @ V  # (n, e)
    return P / D, s, R / D * (dO @ V.T - (dO * s).sum(axis=1, keepdims=True))


@given(cases, polynomials, methods)
def test_the_gradients_are_those_of_the_formulas(case: Case, polynomial: ExpPolynomial, method: Method) -> None:
    values, bounds = rounding_only(prepared(case, polynomial, method))
    R = polynomial.derivative if method == "differentiate" else polynomial.coefficients
    f, _, p = dense(case, polynomial, R)
    K = exact(case.K) - exact(prepared(case, polynomial, method).ranges.centre)
    for value, bound, true in zip(values, bounds, (p @ K, p.T @ exact(case.Q), f.T @ exact(case.dO)), strict=True):
        assert worst_ratio(distance(value, true), bound) <= 1


def derivative(case: Case, polynomial: ExpPolynomial, which: str, index: tuple[int, ...]) -> Any:
    """Of ⟨dO, s̃⟩ by one entry of an operand."""
    step = fmpq(1, 2**400)
    values = []
    for sign in (-1, 1):
        moved = {name: exact(getattr(case, name)) for name in ("Q", "K", "V")}
        moved[which][index] += sign * step
        S = moved["Q"] @ (moved["K"] - exact(prepared(case, polynomial, "paper").ranges.centre)).T  # (n, m)
        P = sum(fmpq(c.numerator, c.denominator) * S**k for k, c in enumerate(polynomial.coefficients))
        P = P * (np.tri(len(S), dtype=int) if case.causal else 1)
        values.append((exact(case.dO) * (P / P.sum(axis=1, keepdims=True) @ moved["V"])).sum())
    return (values[1] - values[0]) / (2 * step)


@given(small_cases, polynomials)
def test_differentiate_is_the_gradient_of_the_approximate_output(case: Case, polynomial: ExpPolynomial) -> None:
    """By central differences in fractions, with a step of 2⁻⁴⁰⁰: their own error is far below every bound but 0."""
    values, bounds = rounding_only(prepared(case, polynomial, "differentiate"))
    for which, value, bound in zip("QKV", values, bounds, strict=True):
        for index in np.ndindex(value.shape):
            true = derivative(case, polynomial, which, index)
            assert worst_ratio(distance(value[index], true), bound[index]) <= 1


@given(cases, polynomials)
def test_the_output_is_that_of_the_formula(case: Case, polynomial: ExpPolynomial) -> None:
    fast = prepared(case, polynomial, "differentiate")
    no_approximation(fast)
    _, s, _ = dense(case, polynomial, polynomial.coefficients)
    for rows, value, bound in fast.output():
        assert worst_ratio(distance(value, s[rows]), bound) <= 1


@given(small_cases)
def test_paper_is_the_repaired_algorithm_1(case: Case) -> None:
    """The literal factors of C.13 in the repaired SingleGrad give what the streamed method gives."""
    X = np.vstack([case.Q, -case.Q])  # (2n, d): the middle of the keys, which the paper does not subtract, is 0
    (n, d), rng, polynomial = X.shape, np.random.default_rng(len(X)), POLYNOMIALS["Taylor 2"]
    W, W_V, G = rng.normal(size=(d, d)) / 4, rng.normal(size=(d, d)), rng.normal(size=(n, d))
    (fast,), _ = prepare([_head(X, W, W_V, G, 1.0, False)], None, polynomial, "paper", qkv.Wording("test"))
    no_approximation(fast)
    value, bound = _collect(fast, X, W, W_V)

    X, W, W_V, G = map(exact, (X, W, W_V, G))
    coefficients = np.array([fmpq(c.numerator, c.denominator) for c in polynomial.coefficients], dtype=object)
    U1, V1 = low_rank.f_factors(X, W, coefficients)
    U3, V3 = low_rank.p1_factors(U1, V1, *low_rank.q_factors(G, X @ W_V))
    U4, V4 = low_rank.p2_factors(U1, V1, U3, V3)
    literal = {
        "X": fast_gradient.g_t(X, W, W_V, G, U1, V1, 1),
        "W": fast_gradient.g_w(X, U3, V3, U4, V4, 1),
        "W_V": fast_gradient.g_v(X, G, U1, V1),
    }
    assert U1.shape == (n, fast.k)
    assert U3.shape == (n, fast.k * d)
    for name, true in literal.items():
        assert worst_ratio(distance(getattr(value, name), true), getattr(bound, name)) <= 1


# --- how it is computed


@pytest.mark.parametrize(("degree", "power"), [(1, 0), (2, 2), (3, 2), (5, 4), (6, 6), (8, 8)])
def test_the_moment_is_the_largest_even_one_that_P_has_features_for(degree: int, power: int) -> None:
    """Of Taylor polynomials; of others, whose error is no multiple of a power of the score, there is none."""
    case = Case(3, 3, 2, 2, seed=0)
    fast = prepared(case, taylor(degree, 2.0), "paper")
    assert (fast.power, fast.power_rows) == (
        power,
        slice(low_rank.rank(2, power - 1) if power else 0, low_rank.rank(2, power)),
    )
    assert prepared(case, chebyshev(6, 4.0), "paper").power == 0


def test_compiled_loops_are_for_long_sequences() -> None:
    """From as many rows of either side on as the documents say; never for "paper", which has no such loops."""
    document = Path(__file__).parents[1] / "docs" / "bounds.md"
    assert f"from {fast_qkv.LONG:,} rows on" in document.read_text("utf-8")
    head = Case(2, 2, 1, 1, seed=0).head
    long, short = head._replace(n=fast_qkv.LONG), head._replace(n=fast_qkv.LONG - 1)
    for method in METHODS:
        assert fast_qkv.implementation([head, short], method) is Fast
        assert (fast_qkv.implementation([head, long], method) is Fast) == (method == "paper")
        assert (fast_qkv.implementation([head._replace(m=fast_qkv.LONG), head], method) is Fast) == (method == "paper")


# --- batches, sizes, memory


@pytest.mark.parametrize("method", METHODS)
def test_heads_and_batches_are_computed_one_by_one(method: Method) -> None:
    rng = np.random.default_rng(0)
    Q, K, V, dO = (rng.normal(size=(2, 3, rows, columns)) for rows, columns in ((5, 2), (7, 2), (7, 3), (5, 3)))
    how: dict[str, Any] = {"scale": 0.2, "polynomial": taylor(4, 1.0)}
    output = qkv.fast_attention(Q, K, V, **how)
    gradient = qkv.fast_attention_vjp(Q, K, V, dO, method=method, **how)
    for i in np.ndindex(2, 3):
        one = qkv.fast_attention(Q[i], K[i], V[i], **how)
        assert np.array_equal(output.value[i], one.value)
        each = qkv.fast_attention_vjp(Q[i], K[i], V[i], dO[i], method=method, **how)
        assert all(np.array_equal(a[i], b) for a, b in zip(gradient.value, each.value, strict=True))


def test_heads_share_one_polynomial_for_a_tolerance() -> None:
    rng = np.random.default_rng(0)
    Q, K, V = rng.normal(size=(3, 2, 6, 2))
    Q[1] *= 3
    both = qkv.fast_attention(Q, K, V, scale=0.3, rtol=1e-2)
    larger = qkv.fast_attention(Q[1], K[1], V[1], scale=0.3, rtol=1e-2)
    assert both.degree == larger.degree > qkv.fast_attention(Q[0], K[0], V[0], scale=0.3, rtol=1e-2).degree


def peak(n: int, causal: bool, method: Method) -> int:
    """Bytes beyond inputs and outputs."""
    X, G = np.random.default_rng(0).normal(size=(2, n, 4)).astype(np.float32)
    W = np.eye(4, dtype=np.float32) / 4
    tracemalloc.start()
    fast = fast_attention_gradient(X, W, W, G, polynomial=taylor(2, 1.0), causal=causal, method=method)
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    return int(most - fast.value.X.nbytes - fast.bound.X.nbytes)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize(("causal", "per_row"), [(False, 4), (True, 4 + 4 * 4)])
def test_memory_does_not_grow_with_n(causal: bool, per_row: int, method: Method) -> None:
    """But for a byte for each entry that is looked at for NaN, and four numbers a row under the mask.

    Of the text; what compiled loops take is seen by the system alone (`test_compiled`).
    """
    n, more = 2**13, 2**15
    with patch.object(fast_qkv, "LONG", more + 1):
        assert peak(more, causal, method) - peak(n, causal, method) <= (more - n) * per_row * 1.05


def test_a_million_rows_fit_into_256_mebibytes(monkeypatch: pytest.MonkeyPatch) -> None:
    n, d = 2**20, 8
    monkeypatch.setattr(fast_qkv, "LONG", n + 1)
    X = np.random.default_rng(0).normal(size=(n, d)).astype(np.float32)
    W = np.eye(d, dtype=np.float32) / 4
    tracemalloc.start()
    fast = fast_attention_gradient(X, W, W, X, polynomial=taylor(2, 1.0), method="antiderivative")
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert fast.rank == 45
    assert np.isfinite(fast.bound.X).all()
    assert most - fast.value.X.nbytes - fast.bound.X.nbytes < 2**28


def test_the_same_operands_give_the_same_bits() -> None:
    case = Case(50, 50, 3, 2, seed=1, causal=True)
    one, other = (qkv.fast_attention_vjp(*case.operands, scale=1.0, causal=True, rtol=1e-3) for _ in range(2))
    assert all(
        np.array_equal(a, b) for a, b in zip((*one.value, *one.bound), (*other.value, *other.bound), strict=True)
    )


def test_operands_may_be_strided_and_read_only_and_stay_as_they_are() -> None:
    case = Case(6, 6, 2, 2, seed=1)
    strided = [np.repeat(a, 2, axis=0)[::2] for a in case.operands]
    for a in strided:
        a.flags.writeable = False
    before = [a.copy() for a in strided]
    one = qkv.fast_attention_vjp(*strided, scale=1.0, rtol=1e-3)
    other = qkv.fast_attention_vjp(*case.operands, scale=1.0, rtol=1e-3)
    assert all(np.array_equal(a, b) for a, b in zip(one.value, other.value, strict=True))
    assert all(np.array_equal(a, b) for a, b in zip(strided, before, strict=True))


# --- what is refused, and what is told

Q, K, V = np.random.default_rng(0).normal(size=(3, 6, 2))
G = np.ones((6, 2))
LAYER = Q, np.eye(2), np.eye(2), G

REFUSED: dict[str, tuple[Any, str]] = {
    "neither": (
        lambda: qkv.fast_attention(Q, K, V, scale=1.0),
        "fast_attention: got neither rtol nor polynomial, needs one",
    ),
    "both": (
        lambda: qkv.fast_attention(Q, K, V, scale=1.0, rtol=0.1, polynomial=taylor(2, 1.0)),
        "fast_attention: got both rtol and polynomial, needs one of them",
    ),
    "no tolerance": (
        lambda: qkv.fast_attention(Q, K, V, scale=1.0, rtol=0.0),
        "fast_attention: rtol is 0.0, needs a positive finite number",
    ),
    "a tolerance that is no number": (
        lambda: reference.fast_attention(*LAYER[:3], rtol="small"),  # type: ignore[arg-type]
        "fast_attention: rtol is 'small', needs a positive finite number",
    ),
    "NaN": (
        lambda: reference.fast_attention(*LAYER[:3], rtol=float("nan")),
        "fast_attention: rtol is nan, needs a positive finite number",
    ),
    "an rtol beyond float64": (
        lambda: reference.fast_attention(*LAYER[:3], rtol=10**400),
        "needs a positive finite number",
    ),
    "coefficients": (
        lambda: reference.fast_attention(*LAYER[:3], polynomial=[1, 1]),  # type: ignore[arg-type]
        "fast_attention: polynomial has type list, needs an ExpPolynomial",
    ),
    "method": (
        lambda: reference.fast_attention_gradient(*LAYER, rtol=0.1, method="fast"),  # type: ignore[arg-type]
        "fast_attention_gradient: method is 'fast', needs one of 'paper', 'antiderivative', 'differentiate'",
    ),
    "a polynomial that may vanish": (
        lambda: reference.fast_attention(3 * Q, *LAYER[1:3], polynomial=taylor(1, 1.0)),
        "fast_attention: polynomial of degree 1 may vanish on scores within",
    ),
    "a rank that does not fit": (
        lambda: qkv.fast_attention(
            *np.ones((3, 4, 40)) * [[[1.0]], [[2.0]], [[3.0]]], scale=1.0, polynomial=taylor(8, 1.0)
        ),
        "fast_attention: the polynomial of degree 8 in d = 40 variables has rank 377348994 and would carry",
    ),
    "an rtol beyond the precision": (
        lambda: qkv.fast_attention(*(a.astype(np.float32) for a in (Q, K, V)), scale=1.0, rtol=1e-5),
        "rounding in float32 alone may reach",
    ),
    "an rtol beyond any polynomial": (
        lambda: qkv.fast_attention(30 * Q, 30 * K, V, scale=1.0, rtol=1e-5),
        "fast_attention: rtol is 1e-05 with scores up to",
    ),
    "causal with m ≠ n": (
        lambda: qkv.fast_attention_vjp(Q, K[:4], V[:4], G, scale=1.0, causal=True, rtol=0.1),
        "fast_attention_vjp: K has m = 4 keys, causal needs m = n with n = 6 from Q",
    ),
    "causal with m ≠ n, both at once": (
        lambda: qkv.fast_attention_and_vjp(Q, K[:4], V[:4], G, scale=1.0, causal=True, rtol=0.1),
        "fast_attention_and_vjp: K has m = 4 keys, causal needs m = n with n = 6 from Q",
    ),
    "shapes": (
        lambda: qkv.fast_attention_vjp(Q, K[:, :1], V, G, scale=1.0, rtol=0.1),
        "fast_attention_vjp: K has shape (6, 1), needs (..., m, d) with d = 2 from Q",
    ),
    "infinite operands": (
        lambda: reference.fast_attention_gradient(Q * np.inf, *LAYER[1:], rtol=0.1),
        "needs finite entries",
    ),
    "keys that overflow": (
        lambda: qkv.fast_attention(Q, np.array([[1e308, 0], [-1e308, 0]]), V[:2], scale=1.0, rtol=0.1),
        "fast_attention: rtol is 0.1 with scores up to",
    ),
    "coefficients beyond float64": (
        lambda: qkv.fast_attention(Q, K, V, scale=1.0, polynomial=ExpPolynomial((Fraction(10) ** 400,), 1.0, "made")),
        "fast_attention: polynomial has coefficients up to inf, needs weights that float64 represents",
    ),
    "scores that overflow": (
        lambda: qkv.fast_attention(1e200 * Q, 1e200 * K, V, scale=1.0, polynomial=taylor(2, 1.0)),
        "fast_attention: scale Q Kᵀ (the scores) may overflow, needs smaller operands or scale",
    ),
    "queries that overflow": (
        lambda: qkv.fast_attention(1e200 * Q, K, V, scale=1e200, polynomial=taylor(2, 1.0)),
        "fast_attention: scale Q overflows float64",
    ),
    "X W that overflows": (
        lambda: reference.fast_attention(1e200 * Q, 1e200 * np.eye(2), np.eye(2), polynomial=taylor(2, 1.0)),
        "fast_attention: scale X W overflows float64",
    ),
    "X W_V that overflows": (
        lambda: reference.fast_attention(1e200 * Q, np.zeros((2, 2)), 1e200 * np.eye(2), polynomial=taylor(2, 1.0)),
        "fast_attention: (X W_V) − middle overflows float64",
    ),
    "a gradient of a layer that overflows": (
        lambda: reference.fast_attention_gradient(Q, np.eye(2), 1e200 * np.eye(2), 1e200 * G, rtol=0.1),
        "fast_attention_gradient: the gradient on X overflows float64",
    ),
    "a gradient that overflows": (
        lambda: qkv.fast_attention_vjp(Q, K, 1e200 * V, 1e200 * G, scale=0.1, rtol=0.1),
        "overflows float64",
    ),
}


@pytest.mark.parametrize("name", sorted(REFUSED))
def test_bad_input_is_refused(name: str) -> None:
    call, message = REFUSED[name]
    with pytest.raises(AltgradError) as error:
        call()
    assert message in str(error.value)


def test_a_rank_above_n_is_slow_not_wrong() -> None:
    fast = qkv.fast_attention(Q, K, V, scale=0.1, polynomial=taylor(6, 1.0))
    assert fast.why == "the rank 28 is above the number of rows 6: exact attention costs less"
    assert np.isfinite(fast.bound).all()


def test_an_even_taylor_polynomial_is_accepted_everywhere() -> None:
    """Its relative error may be above 1: the bound is large, and finite."""
    fast = qkv.fast_attention(3 * Q, K, V, scale=1.0, polynomial=taylor(2, 30.0))
    assert fast.relative_error > 1
    assert np.isfinite(fast.bound).all()
    assert within_both_bounds(fast, 3 * Q)


def within_both_bounds(fast: Approximation, queries: Any) -> bool:
    """The exact attention is itself a computed one."""
    distance = np.abs(fast.value - qkv.attention(queries, K, V, scale=1.0))
    return bool((distance <= fast.bound + attention_rounding(queries, K, V, scale=1.0)).all())


def test_beyond_what_can_be_proved_it_is_accepted_with_the_range_as_bound() -> None:
    fast = qkv.fast_attention(1e3 * Q, K, V, scale=1.0, polynomial=taylor(2, 1.0))
    assert within_both_bounds(fast, 1e3 * Q)
    with patch("reference.certificate.error_table", lambda *_: np.zeros((BINS, 4))):
        rounding = qkv.fast_attention(1e3 * Q, K, V, scale=1.0, polynomial=taylor(2, 1.0)).bound
    # With ρ ≥ γ at least γ range is in it; the range itself is made larger by a factor below 1 + 6γ for rounding.
    assert (np.ptp(V, axis=0) <= fast.bound).all()
    assert (fast.bound <= np.ptp(V, axis=0) + 7 * rounding).all()
    gradient = qkv.fast_attention_vjp(1e3 * Q, K, V, G, scale=1.0, polynomial=taylor(2, 1.0))
    assert np.isinf(gradient.bound.V).all()
    assert gradient.why.startswith("the bound overflows float64, with scores up to")
    with pytest.raises(AltgradError, match="may vanish on scores within"):
        qkv.fast_attention(1e3 * Q, K, V, scale=1.0, polynomial=taylor(3, 1.0))


def test_where_rounding_takes_all_the_bound_is_infinite_and_says_why() -> None:
    q, k = np.array([[4.04, 3.988]] * 2, np.float32), np.array([[4, -3.996], [-4, 3.996]], np.float32)
    fast = qkv.fast_attention_vjp(q, k, q, q, scale=1.0, polynomial=taylor(20, 1.0))  # scores of ±0.22
    assert fast.why.startswith("rounding in float32 may exceed the sums of the weights: float64, or smaller scores")
    assert np.isinf(fast.bound.Q).all()
    assert np.isinf(fast.bound.K).all()
    assert np.isinf(fast.bound.V).all()


def test_degree_rank_and_error_are_those_of_the_polynomial() -> None:
    polynomial = fitted(np.linspace(-1, 1, 20), 4)
    fast = reference.fast_attention(0.1 * Q, *LAYER[1:3], polynomial=polynomial)
    assert (fast.degree, fast.rank, fast.relative_error) == (4, 15, polynomial.relative_error)
