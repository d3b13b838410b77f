"""Factors of low rank, in exact arithmetic against n×n matrices written out, and how many columns are necessary."""

from __future__ import annotations

from fractions import Fraction
from itertools import product
from math import comb, prod
from typing import Any

import numpy as np
import pytest
from flint import ctx
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from proofs_checks.ground_truth import BITS, balls
from proofs_checks.symbols import Symbols
from reference import low_rank
from tests.layers import SYMBOLS, same

Array = NDArray[Any]

sizes = st.integers(1, 5)
seeds = st.integers(0, 2**32 - 9)
TAYLOR = tuple(Fraction(1, prod(range(1, k + 1))) for k in range(7))  # of exp


def integers(seed: int, *shape: int) -> Array:
    return np.random.default_rng(seed).integers(-9, 10, size=shape)


def rationals(array: Array) -> Array:
    fractions: Array = np.vectorize(Fraction, otypes=[object])(array)
    return fractions


def polynomial(coefficients: tuple[Fraction, ...], x: Any) -> Any:
    return sum(c * x**k for k, c in enumerate(coefficients))


# --- row-wise Kronecker products


@given(sizes, sizes, sizes, seeds)
def test_columns_are_those_of_the_paper(n: int, k1: int, k2: int, seed: int) -> None:
    U1, U2 = integers(seed, n, k1), integers(seed + 1, n, k2)
    product = low_rank.row_kronecker(U1, U2)
    assert product.shape == (n, k1 * k2)
    for i, l1, l2 in np.ndindex(n, k1, k2):  # the paper's l1 + (l2 − 1) k1, counted from 0
        assert product[i, l1 + l2 * k1] == U1[i, l1] * U2[i, l2]


@given(sizes, sizes, sizes, seeds)
def test_factors_of_the_entrywise_product(n: int, k1: int, k2: int, seed: int) -> None:
    U1, V1 = integers(seed, n, k1), integers(seed + 1, n, k1)
    U2, V2 = integers(seed + 2, n, k2), integers(seed + 3, n, k2)
    assert (low_rank.entrywise_product(U1, V1, U2, V2) == (U1 @ V1.T) * (U2 @ V2.T)).all()


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_the_dtype_stays(dtype: type[np.floating]) -> None:
    assert low_rank.row_kronecker(np.ones((2, 3), dtype), np.zeros((2, 1), dtype)).dtype == dtype


# --- factors of f (C.13)


@given(n=sizes, d=st.integers(1, 4), degree=st.integers(0, 4), seed=seeds)
def test_a_polynomial_of_products_is_a_product_of_monomials(n: int, d: int, degree: int, seed: int) -> None:
    X, Y = integers(seed, n, d), integers(seed + 1, n, d)
    coefficients = tuple(Fraction(int(c), 7) for c in integers(seed + 2, degree + 1))
    U0, V0 = low_rank.monomials(X, degree).T, low_rank.monomials(Y, degree).T
    assert U0.shape == (n, comb(d + degree, degree)), "one column for each monomial"
    w = np.array(low_rank.weights(coefficients, d))
    assert ((U0 * w) @ V0.T == polynomial(coefficients, rationals(X @ Y.T))).all()


@given(d=st.integers(1, 4), degree=st.integers(0, 4))
def test_every_monomial_occurs_once(d: int, degree: int) -> None:
    primes = [2, 3, 5, 7][:d]
    exponents = [e for e in product(range(degree + 1), repeat=d) if sum(e) <= degree]
    expected = sorted(prod(p**a for p, a in zip(primes, e, strict=True)) for e in exponents)
    assert sorted(low_rank.monomials(np.array([primes]), degree)[:, 0].tolist()) == expected


@given(n=sizes, d=st.integers(1, 4), degree=st.sampled_from([0, 2, 4]), seed=seeds, deficient=st.booleans())
def test_factors_of_f_are_rows_of_the_polynomial_over_their_sums(
    n: int, d: int, degree: int, seed: int, deficient: bool
) -> None:
    """In rational arithmetic, also for W of rank one and for fewer rows than columns."""
    X = rationals(integers(seed, n, d)) / np.array(3)
    W = np.outer(integers(seed + 1, d), integers(seed + 2, d)) if deficient else integers(seed + 1, d, d)
    tau, coefficients = Fraction(1, d), np.array(TAYLOR[: degree + 1])
    U1, V1 = low_rank.f_factors(X, rationals(W), coefficients, scale=tau)
    P = polynomial(TAYLOR[: degree + 1], X @ W @ X.T / d)
    assert (P / P.sum(axis=1)[:, None] == U1 @ V1.T).all()
    assert U1.shape == V1.shape == (n, comb(d + degree, degree))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_factors_of_f_keep_the_dtype(dtype: type[np.floating]) -> None:
    ones = np.ones((3, 2), dtype)
    U1, V1 = low_rank.f_factors(ones, np.eye(2, dtype=dtype), np.ones(3, dtype), scale=0.5)
    assert U1.dtype == V1.dtype == dtype


def test_equal_rows_have_equal_weights() -> None:
    zeros = rationals(np.zeros((4, 2), int))
    U1, V1 = low_rank.f_factors(zeros, rationals(np.eye(2, dtype=int)), np.array(TAYLOR[:3]))
    quarters = np.full((4, 4), Fraction(1, 4))
    assert (quarters == U1 @ V1.T).all()


# --- factors of q, p1 and p2 (C.15, C.16)


@given(n=sizes, k1=sizes, d=sizes, seed=seeds)
def test_factors_of_p1_and_p2(n: int, k1: int, d: int, seed: int) -> None:
    U1, V1 = integers(seed, n, k1), integers(seed + 1, n, k1)
    G, h = integers(seed + 2, n, d), integers(seed + 3, n, d)
    U2, V2 = low_rank.q_factors(G, h)
    U3, V3 = low_rank.p1_factors(U1, V1, U2, V2)
    U4, V4 = low_rank.p2_factors(U1, V1, U3, V3)
    f, q = U1 @ V1.T, G @ h.T
    assert (q == U2 @ V2.T).all()
    assert (f * q == U3 @ V3.T).all()
    assert (np.diag((f * q).sum(axis=1)) @ f == U4 @ V4.T).all()
    assert U3.shape == V3.shape == (n, k1 * d), "k3 = k1 k2"
    assert U4.shape == V4.shape == (n, k1), "k4 = k1"


def test_zero_factors_stay_zero() -> None:
    zero, one = np.zeros((2, 1)), np.ones((2, 1))
    for factors in ((zero, one, one, one), (one, one, zero, one)):
        U3, V3 = low_rank.p1_factors(*factors)
        U4, V4 = low_rank.p2_factors(*factors[:2], U3, V3)
        assert not (U3 @ V3.T).any()
        assert not (U4 @ V4.T).any()


# --- how many columns are necessary


@given(n=st.integers(1, 8), k=st.integers(0, 8), seed=seeds, size=st.sampled_from([1e-9, 1e-3, 0.1, 1.0]))
def test_no_factors_have_fewer_columns_than_necessary(n: int, k: int, seed: int, size: float) -> None:
    rng = np.random.default_rng(seed)
    near = rng.normal(size=(n, k)) @ rng.normal(size=(k, n))
    f = near + size * rng.uniform(-1, 1, size=(n, n))
    assert low_rank.necessary_rank(f, float(np.abs(near - f).max())) <= min(n, k)


def test_an_error_of_nothing_takes_the_rank() -> None:
    f = np.diag([1.0, 1e-3, 0.0])
    assert [low_rank.necessary_rank(f, e) for e in (0.0, 1e-3 / 4, 1e-3 / 2, 1.0)] == [2, 2, 1, 0]


def attention_of_signs(d: int, c: float) -> Array:
    X = np.array(list(product([1.0, -1.0], repeat=d)))  # (2^d, d)
    u = np.exp(c * X @ X.T)
    f: Array = u / u.sum(axis=1, keepdims=True)
    return f


@pytest.mark.parametrize("d", [1, 2, 3, 6])
@pytest.mark.parametrize("c", [0.5, 1.0, 2.0])
def test_signs_take_all_columns(d: int, c: float) -> None:
    """Below the stated error rank n is necessary; above it, n − 1 columns are within reach of the bound."""
    f = attention_of_signs(d, c)
    n, least = 2**d, float(low_rank.full_rank_error(d, c))
    spare = 16 * n * 2.0**-53  # twice what is not counted (8 n² u of n times the error, σ_1 = 1), for f's own rounding
    assert low_rank.necessary_rank(f, least - spare) == n
    assert low_rank.necessary_rank(f, least + spare) < n
    U, sigma, Vt = np.linalg.svd(f)
    assert np.abs((U[:, :-1] * sigma[:-1]) @ Vt[:-1] - f).max() <= least + spare, "the error is reached"


@pytest.mark.parametrize(("d", "error"), [(4, 1e-3), (6, 1e-3), (6, 1e-5)])
def test_rank_that_signs_take_is_a_sum_of_binomials(d: int, error: float) -> None:
    expected = sum(comb(d, j) for j in range(d + 1) if np.tanh(1) ** j > 2**d * error)
    assert low_rank.necessary_rank(attention_of_signs(d, 1.0), error) == expected


# --- two identities of ours


@given(n=sizes, d=sizes, e=sizes, seed=seeds, causal=st.booleans())
def test_weighted_sums_entry_by_entry(n: int, d: int, e: int, seed: int, causal: bool) -> None:
    Q, K = integers(seed, n, d), integers(seed + 1, n, d)
    G, h, c = integers(seed + 2, n, e), integers(seed + 3, n, e), integers(seed + 4, 3)
    keys, queries = np.zeros((n, d), int), np.zeros((n, d), int)
    for i, j in np.ndindex(n, n):
        if j <= i or not causal:
            score = sum(Q[i] * K[j])
            weight = (c[0] + c[1] * score + c[2] * score**2) * sum(G[i] * h[j])
            keys[i] += weight * K[j]
            queries[j] += weight * Q[i]
    assert (low_rank.weighted_keys(Q, K, G, h, c, causal) == keys).all()
    assert (low_rank.weighted_queries(Q, K, G, h, c, causal) == queries).all()


@pytest.mark.parametrize("layer", SYMBOLS.values(), ids=SYMBOLS)
def test_a_shift_of_the_keys_changes_nothing(layer: Symbols) -> None:
    with ctx.workprec(BITS):
        centre = balls(np.arange(1.0, layer.d + 1))
        same(low_rank.f_shifted(layer.X, layer.W, centre, layer.scale, layer.causal), layer.f)


def test_a_centre_among_the_keys_keeps_large_scores_small() -> None:
    """The scores are about 10⁴; relative to the centre they are 0 and 10."""
    f = low_rank.f_shifted(np.array([[1e3], [1e3 + 1]]), np.eye(1), np.array([1e3]), 0.01, causal=False)
    odds = [np.exp(0.01 * x) for x in (1e3, 1e3 + 1)]
    np.testing.assert_allclose(f, [[1 / (1 + o), o / (1 + o)] for o in odds], rtol=1e-12)


@pytest.mark.parametrize(("d", "degree"), [(1, 0), (1, 5), (2, 3), (3, 2)])
def test_the_gradient_of_monomials_is_that_of_a_complex_step(d: int, degree: int) -> None:
    rng, step = np.random.default_rng(d), 1e-100
    X = rng.normal(size=(4, d))
    features = low_rank.monomials(X, degree)  # (k, n)
    cotangent = rng.normal(size=features.shape)  # (k, n)
    derivatives = [low_rank.monomials(X + 1j * step * row, degree).imag / step for row in np.eye(d)]  # (k, n) each
    expected = np.stack([(cotangent * slopes).sum(axis=0) for slopes in derivatives], axis=1)  # (n, d)
    np.testing.assert_allclose(
        low_rank.monomials_vjp(X, degree, features, cotangent), expected, rtol=1e-12, atol=1e-12
    )


def test_what_rounding_may_have_made_is_no_rank() -> None:
    """8 n² u σ_1, here 16 machine epsilons, beyond n times the error."""
    eps = float(np.finfo(np.float64).eps)
    for second, error, rank in ((15 * eps, 0.0, 1), (17 * eps, 0.0, 2), (0.5, 0.25, 1), (0.5 + 32 * eps, 0.25, 2)):
        assert low_rank.necessary_rank(np.diag([1.0, second]), error) == rank
