"""The compiled sums compute what the text of `fast_qkv` does, bound it as it does, and leave no trace in BLAS."""

from __future__ import annotations

import gc
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from itertools import product
from pathlib import Path
from threading import current_thread, get_ident, main_thread
from typing import Any
from unittest.mock import patch

import numpy as np
import pytest
from flint import ctx
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from threadpoolctl import threadpool_limits

import reference
from reference import AltgradError, compiled, fast_qkv, kernels, qkv, row_bounds
from reference.certificate import BINS, Certificate, Head, error_table
from reference.compiled import BLAS, Compiled
from reference.fast_qkv import METHODS, Approximation, Fast, KeySide, Method, QuerySide, prepare
from reference.low_rank import monomials
from reference.polynomial import ExpPolynomial, chebyshev, taylor
from tests import test_certificate as certified
from tests.layers import worst_ratio
from tests.test_certificate import Exact, exact, exact_layer, worst
from tests.test_fast_qkv import Case, dense, distance
from tests.test_fast_qkv import exact as fractions

COMPILED: tuple[Method, ...] = ("antiderivative", "differentiate")
POLYNOMIALS = {
    "Taylor 0": taylor(0, 2.0),
    "Taylor 1": taylor(1, 0.9),
    "Taylor 2": taylor(2, 2.0),
    "Taylor 4": taylor(4, 2.0),
    "Taylor 5": taylor(5, 2.0),
    "Chebyshev 6": chebyshev(6, 4.0),
}
few = settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Compiled loops whatever the length; tiles of 32 rows, chunks of 64, so that a hundred rows have several."""
    monkeypatch.setattr(fast_qkv, "LONG", 1)
    for name, value in {"CHUNK": 64, "TILE": 32, "MASKED_TILE": 32}.items():
        monkeypatch.setattr(compiled, name, value)


def head_of(case: Any, polynomial: ExpPolynomial, method: Method, certify: bool = True, *, text: bool = False) -> Fast:
    with patch.object(fast_qkv, "LONG", 10**9 if text else 1):
        (fast,), _ = prepare([case.head], None, polynomial, method, qkv.Wording("test"), certify)
    assert isinstance(fast, Compiled) == (not text)
    return fast


@np.errstate(all="ignore")  # as the public functions run: where a product is no number the bound is infinite
def blocks_of(fast: Fast) -> tuple[list[Any], list[Any]]:
    """Output, dQ, dK, dV, and their bounds."""
    head = fast.head
    values = [
        np.full((rows, columns), np.nan, head.dtype)
        for rows, columns in ((head.n, head.e), (head.n, head.d), (head.m, head.d), (head.m, head.e))
    ]
    bounds = [np.full_like(v, np.nan) for v in values]

    def put(at: int, rows: slice, value: Any, bound: Any) -> None:
        values[at][rows] = value
        if fast.bounds:
            bounds[at][rows] = bound
        else:
            assert bound is None

    for block in (*fast.output(), *fast.gradient()):
        if isinstance(block, QuerySide):
            put(1, block.rows, block.dQ, block.dQ_bound)
        elif isinstance(block, KeySide):
            put(2, block.rows, block.dK, block.dK_bound)
            put(3, block.rows, block.dV, block.dV_bound)
        else:
            put(0, *block)
    return values, bounds


def as_exact(fast: Fast) -> tuple[list[Any], list[Any]]:
    """The same with the bounds of rounding only, as if P were the exponential."""
    assert fast.bounds
    with patch("reference.certificate.error_table", lambda *_: np.zeros((BINS, 4))):
        return blocks_of(fast)


sizes = {
    "n": st.sampled_from((1, 2, 31, 32, 33, 70, 150)),
    "m": st.sampled_from((1, 3, 32, 65, 130)),
    "d": st.integers(1, 3),
    "e": st.integers(1, 3),
    "seed": st.integers(0, 2**32 - 1),
    "causal": st.booleans(),
    "dtype": st.sampled_from((np.float32, np.float64)),
    "style": st.integers(0, 3),
}
cases = st.builds(lambda n, m, causal, **more: Case(n, n if causal else m, causal=causal, **more), **sizes)
tiny_cases = st.builds(
    lambda n, m, causal, **more: Case(n, n if causal else m, causal=causal, **more),
    **(sizes | {"n": st.integers(1, 9), "m": st.integers(1, 9)}),
)
polynomials = st.sampled_from(sorted(POLYNOMIALS)).map(POLYNOMIALS.__getitem__)
methods = st.sampled_from(COMPILED)


# --- values


@few
@given(cases, polynomials, methods)
def test_the_numbers_are_those_of_the_text(case: Case, polynomial: ExpPolynomial, method: Method) -> None:
    """Within the sum of both rounding bounds, and these are as small as the text's but for γ of another block."""
    ours, theirs = (as_exact(head_of(case, polynomial, method, text=text)) for text in (False, True))
    for a, b, bound_a, bound_b in zip(*ours[:1], *theirs[:1], *ours[1:], *theirs[1:], strict=True):
        assert a.dtype == bound_a.dtype == b.dtype
        assert worst_ratio(np.abs(a.astype(float) - b), bound_a.astype(float) + bound_b) <= 1


@few
@given(tiny_cases, polynomials, methods)
def test_the_numbers_are_those_of_the_formulas(case: Case, polynomial: ExpPolynomial, method: Method) -> None:
    """In fractions."""
    fast = head_of(case, polynomial, method)
    values, bounds = as_exact(fast)
    R = polynomial.derivative if method == "differentiate" else polynomial.coefficients
    with patch.object(fast_qkv, "LONG", 10**9):  # for its centre, which is ours too
        f, s, p = dense(case, polynomial, R)
    K = fractions(case.K) - fractions(fast.ranges.centre)
    truth = s, p @ K, p.T @ fractions(case.Q), f.T @ fractions(case.dO)
    for value, bound, true in zip(values, bounds, truth, strict=True):
        assert worst_ratio(distance(value, true), bound) <= 1


def operands(n: int, m: int, d: int, e: int, dtype: Any = np.float64, seed: int = 0) -> list[Any]:
    rng = np.random.default_rng(seed)
    return [rng.normal(size=s).astype(dtype) for s in ((n, d), (m, d), (m, e), (n, e))]


def arrays(*fast: Approximation) -> list[Any]:
    """Every array of values and bounds."""
    found = []
    for one in fast:
        for part in (one.value, one.bound):
            if isinstance(part, np.ndarray):
                found.append(part)
            elif part is not None:
                fields = part if isinstance(part, tuple) else vars(part).values()
                found += [a for a in fields if a is not None]
    return found


def same_bits(one: list[Any], other: list[Any]) -> bool:
    return len(one) == len(other) and all(
        np.array_equal(a, b, equal_nan=True) for a, b in zip(one, other, strict=True)
    )


@pytest.mark.parametrize("causal", [False, True])
def test_heads_and_batches_are_computed_one_by_one(causal: bool) -> None:
    rng = np.random.default_rng(0)
    m = 70 if causal else 40
    Q, K, V, dO = (rng.normal(size=(2, 3, rows, columns)) for rows, columns in ((70, 2), (m, 2), (m, 3), (70, 3)))
    how: dict[str, Any] = {"scale": 0.2, "causal": causal, "polynomial": taylor(4, 1.0)}
    output = qkv.fast_attention(Q, K, V, **how)
    gradient = qkv.fast_attention_vjp(Q, K, V, dO, method="differentiate", **how)
    for i in np.ndindex(2, 3):
        assert np.array_equal(output.value[i], qkv.fast_attention(Q[i], K[i], V[i], **how).value)
        each = qkv.fast_attention_vjp(Q[i], K[i], V[i], dO[i], method="differentiate", **how)
        assert all(np.array_equal(a[i], b) for a, b in zip(gradient.value, each.value, strict=True))


@pytest.mark.parametrize("causal", [False, True])
def test_strided_and_read_only_operands_give_the_same_bits(causal: bool) -> None:
    given = operands(70, 70, 2, 2)
    how: dict[str, Any] = {"scale": 0.3, "causal": causal, "rtol": 1e-3, "method": "antiderivative"}
    contiguous = arrays(qkv.fast_attention_vjp(*given, **how))
    strided = [np.repeat(a, 2, axis=0)[::2] for a in given]
    for a in strided:
        a.flags.writeable = False
    assert same_bits(arrays(qkv.fast_attention_vjp(*strided, **how)), contiguous)
    assert same_bits(arrays(qkv.fast_attention_vjp(*map(np.asfortranarray, given), **how)), contiguous)
    assert all(np.array_equal(a, b) for a, b in zip(strided, given, strict=True))


def test_only_long_heads_are_compiled_and_never_those_of_the_paper(monkeypatch: pytest.MonkeyPatch) -> None:
    case = Case(64, 40, 2, 2, seed=0)
    for method in METHODS:
        for long, expected in ((64, Compiled), (65, Fast)):
            monkeypatch.setattr(fast_qkv, "LONG", long)
            assert fast_qkv.implementation([case.head], method) is (Fast if method == "paper" else expected)


@pytest.mark.parametrize("missing", ["numba", "threadpoolctl"])
def test_without_the_packages_the_text_runs(missing: str) -> None:
    case = Case(70, 70, 2, 3, seed=1, causal=True)
    how: dict[str, Any] = {"scale": 1.0, "causal": True, "polynomial": taylor(2, 2.0), "method": "antiderivative"}
    with patch("reference.certificate.error_table", lambda *_: np.zeros((BINS, 4))):
        ours = qkv.fast_attention_vjp(*case.operands, **how)
        with patch.object(fast_qkv, "find_spec", lambda name: None if name == missing else object()):
            assert fast_qkv.implementation([case.head], "antiderivative") is Fast
            theirs = qkv.fast_attention_vjp(*case.operands, **how)
    for a, b, bound_a, bound_b in zip(ours.value, theirs.value, ours.bound, theirs.bound, strict=True):
        assert worst_ratio(np.abs(a - b), bound_a + bound_b) <= 1


# --- kernels that other tests would notice late


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_extremes_are_those_of_numpy_and_keep_what_is_no_number(dtype: Any) -> None:
    x = operands(50, 50, 3, 3, dtype)[0]
    for low, high in ((x.min(axis=0), x.max(axis=0)),):
        assert all(np.array_equal(a, b) for a, b in zip(kernels.extremes(x), (low, high), strict=True))
    for row in (0, 20, 49):
        bad = x.copy()
        bad[row, 1] = np.nan
        low, high = kernels.extremes(bad)
        assert np.isnan([low[1], high[1]]).all()
        assert np.array_equal(low[[0, 2]], x.min(axis=0)[[0, 2]])


@pytest.mark.parametrize("degree", range(5))
def test_monomials_are_those_of_the_text(degree: int) -> None:
    x = operands(7, 7, 3, 3)[0]
    expected = monomials(x, degree)
    features = np.full(expected.shape, np.nan)
    kernels.monomials(kernels.steps(3, degree), np.ascontiguousarray(x.T), features)
    assert np.array_equal(features, expected)


# --- bounds


def own_bounds(case: Any, polynomial: ExpPolynomial, method: Method) -> Iterator[tuple[Any, Any, float]]:
    """Those of the compiled sums, those of the text, and what the rounding of bounds themselves may do: entrywise.

    Both sum 32 rows at a time, so that their γ is the same.
    """
    found = []
    for text in (False, True):
        fast = head_of(case, polynomial, method, text=text)
        assert fast.bounds
        fast.step = fast.bounds.step = 32
        found.append(blocks_of(fast)[1])
    for one, other in zip(*found, strict=True):
        finite = np.isfinite(other)
        assert np.array_equal(np.isfinite(one), finite)
        assert fast.bounds
        yield one[finite].astype(float), other[finite].astype(float), fast.bounds.spare


one_column = sizes | {"d": st.just(1), "e": st.just(1), "style": st.integers(0, 2)}  # without dO = 0: underflow alone


def scored(size: float, **drawn: Any) -> Case:
    """The scores times `size`."""
    n, m, causal = drawn.pop("n"), drawn.pop("m"), drawn["causal"]
    case = Case(n, n if causal else m, **drawn)
    case.Q *= size
    return case


narrow = st.sampled_from((1.0, 0.1, 1e-3))


@few
@given(st.builds(scored, narrow, **one_column), polynomials, methods)
def test_for_one_column_the_bounds_are_those_of_the_text(
    case: Case, polynomial: ExpPolynomial, method: Method
) -> None:
    assume(np.ptp(case.V) or len(case.V) == 1)  # of equal values dQ is 0, and its bound underflow alone
    for ours, theirs, spare in own_bounds(case, polynomial, method):
        assert (ours <= theirs * spare).all()
        assert (theirs <= ours * spare).all()


@few
@given(tiny_cases, st.lists(st.integers(-20, 0), min_size=6, max_size=6), polynomials, methods)
def test_columns_of_any_sizes_are_bounded(case: Case, powers: Any, polynomial: ExpPolynomial, method: Method) -> None:
    """dK and dV count rounding by the column's own size, 2⁻²⁰ of another's here: the formulas say that they may."""
    d, e = case.Q.shape[1], case.V.shape[1]
    for name, columns in (("Q", d), ("dO", e), ("V", e)):
        array = getattr(case, name)
        array *= np.exp2(powers[3 : 3 + columns] if name == "dO" else powers[:columns]).astype(array.dtype)
    test_the_numbers_are_those_of_the_formulas.hypothesis.inner_test(case, polynomial, method)  # type: ignore[attr-defined]


def test_the_mean_of_the_keys_counts_by_the_worst_column() -> None:
    """What is attained of the text's bound is a half here: the mean of the first column is 0, not that of the second.

    Σ_j f̃_j max_c |k_jc|/k_c is 1, which for the second column is its mean, and for its distances as well.
    """
    x, m = 2.0**-7, 2**10
    Q, dO = np.array([[x, 0.0]]), np.ones((1, 1))
    K, V = np.tile([0.0, 1.0], (m, 1)), np.zeros((m, 1))
    K[:3] = [[1, 0], [-1, 0], [0, -1]]
    V[:2] = [[1], [-1]]
    fast = qkv.fast_attention_vjp(Q, K, V, dO, scale=1.0, method="antiderivative", polynomial=taylor(2, 1.0))
    values, noise = exact(Q, K, V, dO, 1.0, False)
    second = np.s_[:, 1:]
    truth = Exact((values[1][second],), (noise[1][second],))
    assert 0.49 < worst([fast.value.Q[second]], [fast.bound.Q[second]], truth) <= 1


NUMBERS = 0.0, 1e-300, 1e-8, 0.3, 1.0, 7.0, 1e8, 1e300, np.inf


FORMULAS: tuple[Any, ...] = row_bounds.gradient_rows, row_bounds.output_rows


@pytest.mark.parametrize("power", [0, 2, 4])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_compiled_formulas_are_those_of_python(dtype: Any, power: int) -> None:
    """Also where they make infinities or what is no number."""
    rng, n, d, e = np.random.default_rng(power), 400, 2, 3

    def drawn(*shape: int) -> Any:
        rough = rng.choice(NUMBERS, size=shape, p=[0.1, 0.02, 0.1, 0.3, 0.3, 0.1, 0.04, 0.02, 0.02])
        return np.where(rng.random(shape) < 0.5, rough, rng.uniform(0, 2, size=shape))

    with np.errstate(all="ignore"):
        numbers, x, dO, x_moved = (drawn(n, c).astype(dtype) for c in (4, d, e, d))
        numbers[:, 0], numbers[:, 2] = np.maximum(numbers[:, 0], 0.5), 1 + numbers[:, 2] % 5
        numbers[::9, 0], numbers[1::50, 1] = 0, np.nan
        x[:, 0] *= -1
        positive, moments = (np.hstack([drawn(n, c), drawn(n, 3)])[:, :c].astype(dtype) for c in (1, 2))
        x_moved = (x_moved * rng.choice((0, 1e-9, 1e-3), size=(n, 1))).astype(float)
        table = drawn(16, 4) / 100
    units = row_bounds.Units(*(rng.uniform(0, 2, size=c) for c in (d, e, d, e, e, e)))
    fixed = row_bounds.Fixed(1e-6, 1e-8, 9.0, 1e-30, power, 2.0, float(e), 1.0, 2.0, 3.0)
    more: tuple[Any, ...] = x_moved, table, units, fixed
    for which, read in enumerate(((numbers, positive, moments, x, dO), (numbers, moments, dO, x))):
        ours = row_bounds.compiled_rows()[which](*read, *more)
        with np.errstate(all="ignore"):
            theirs = FORMULAS[which](*read, *more)
        for a, b in zip(ours, theirs, strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-5 if dtype == np.float32 else 1e-12)


def certificates_of_layers() -> Iterator[Any]:
    for causal in (False, True):
        for seed in range(10):
            (X, W, W_V, G), _, rtol, _ = certified.region(seed)
            yield (np.tile(X, (3, 1)), W, W_V, np.tile(G, (3, 1))), causal, rtol, COMPILED[seed % 2]


def test_in_the_stated_region_bounds_are_finite_and_of_use() -> None:
    """As of the text, but for columns that count by the worst: up to 4 here."""
    norms = []
    for (X, W, W_V, G), causal, rtol, method in certificates_of_layers():
        gradient = reference.fast_attention_gradient(X, W, W_V, G, causal=causal, rtol=rtol, method=method)
        output = reference.fast_attention(X, W, W_V, causal=causal, rtol=rtol)
        truth = exact_layer(X, W, W_V, G, 1 / X.shape[1], causal)
        values = output.value, gradient.value.X, gradient.value.W, gradient.value.W_V
        bounds = output.bound, gradient.bound.X, gradient.bound.W, gradient.bound.W_V
        assert all(np.isfinite(b).all() for b in bounds)
        assert worst(values, bounds, truth) <= 1
        errors = [np.abs(v - t.astype(float)) for v, t in zip(values, truth.values, strict=True)]
        norms.append([np.linalg.norm(b) / np.linalg.norm(e) for b, e in zip(bounds, errors, strict=True)])
    assert (np.median(norms, axis=0) <= np.multiply(4, (10, 75, 250, 60))).all()


def test_sums_over_blocks_are_those_of_a_layer() -> None:
    """dW and dW_V of 1,100 rows, in blocks of several thousand that are summed 512 rows at a time."""
    rng = np.random.default_rng(0)
    X, G = rng.normal(size=(2, 1100, 2)).astype(np.float32)
    W, W_V = (rng.normal(size=(2, 2, 2)) / 3).astype(np.float32)
    for chunk in (64, 2**14):
        for causal in (False, True):
            with patch.object(compiled, "CHUNK", chunk):
                fast = reference.fast_attention_gradient(
                    X, W, W_V, G, causal=causal, polynomial=taylor(4, 2.0), method="differentiate"
                )
            truth = exact_layer(X, W, W_V, G, 0.5, causal)
            fields = "X", "W", "W_V"
            values, bounds = ([getattr(a, name) for name in fields] for a in (fast.value, fast.bound))
            assert worst(values, bounds, Exact(truth.values[1:], truth.noise[1:])) <= 1


@pytest.mark.parametrize("method", COMPILED)
@pytest.mark.parametrize("polynomial", [taylor(4, 1.0), chebyshev(3, 2.0)], ids=lambda P: P.kind)
def test_a_mask_that_hides_nothing_changes_no_bound(polynomial: ExpPolynomial, method: Method) -> None:
    """The last query sees every key: of the masked sums, each is made with the polynomial of its group."""
    Q, K, V, dO = (a / 4 for a in operands(90, 90, 3, 2))
    how: dict[str, Any] = {"scale": 1.0, "method": method, "polynomial": polynomial}
    masked, whole = (qkv.fast_attention_vjp(Q, K, V, dO, causal=causal, **how) for causal in (True, False))
    np.testing.assert_allclose(masked.bound.Q[-1], whole.bound.Q[-1], rtol=1e-9)
    outputs = [
        qkv.fast_attention(Q, K, V, scale=1.0, polynomial=polynomial, causal=causal) for causal in (True, False)
    ]
    np.testing.assert_allclose(outputs[0].bound[-1], outputs[1].bound[-1], rtol=1e-9)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("zeros", [slice(1, 2), slice(None)])
def test_columns_of_zeros_spoil_no_bound(zeros: slice, dtype: Any) -> None:
    """Such a column may have lost the least subnormal number to underflow; it is no unit for what others lose."""
    Q, K, V, dO = operands(70, 70, 3, 2, dtype)
    Q[:, zeros] = 0
    more: dict[str, Any] = {"scale": 0.1, "polynomial": taylor(4, 2.0), "method": "differentiate"}
    ours = qkv.fast_attention_vjp(Q, K, V, dO, **more).bound
    with patch.object(fast_qkv, "LONG", 10**9):
        theirs = qkv.fast_attention_vjp(Q, K, V, dO, **more).bound
    for a, b in zip(ours, theirs, strict=True):
        assert (a <= 3 * b.max()).all()


# --- without the bound


@few
@given(cases, polynomials, methods)
def test_without_the_bound_the_numbers_are_the_same(case: Case, polynomial: ExpPolynomial, method: Method) -> None:
    """Up to rounding: BLAS multiplies by fewer columns then, and may add in another order."""
    values, bounds = as_exact(head_of(case, polynomial, method))
    alone, none = blocks_of(head_of(case, polynomial, method, certify=False))
    for a, b, bound in zip(values, alone, bounds, strict=True):
        assert worst_ratio(np.abs(a.astype(float) - b), 2 * bound.astype(float)) <= 1
    assert all(np.isnan(b).all() for b in none)


@pytest.mark.parametrize("long", [1, 10**9])
@pytest.mark.parametrize("causal", [False, True])
def test_without_the_bound_there_is_none_and_the_rest_stays(long: int, causal: bool) -> None:
    given = operands(70, 70, 2, 2)
    how: dict[str, Any] = {"scale": 0.1, "causal": causal, "polynomial": taylor(12, 1.0)}
    with patch.object(fast_qkv, "LONG", long):
        for method in METHODS if long > 1 else COMPILED:
            one, other = (qkv.fast_attention_vjp(*given, **how, method=method, certify=c) for c in (True, False))
            for a, b in zip(one.value, other.value, strict=True):
                np.testing.assert_allclose(a, b, rtol=0, atol=1e-12)
            assert other.bound is None
            assert one.why == other.why == "the rank 91 is above the number of rows 70: exact attention costs less"
            assert (one.degree, one.rank, one.relative_error) == (other.degree, other.rank, other.relative_error)
        output = qkv.fast_attention(*given[:3], **how, certify=False)
        assert output.bound is None
        assert output.why == one.why


@pytest.mark.parametrize("long", [1, 10**9])
@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("certify", [False, True])
@pytest.mark.parametrize("method", METHODS)
def test_output_and_gradient_in_one_are_those_of_two_calls(
    method: Method, certify: bool, causal: bool, long: int
) -> None:
    rng = np.random.default_rng(7)
    Q, K, V, dO = rng.normal(size=(4, 2, 150, 3))
    more: dict[str, Any] = {"scale": 0.2, "causal": causal, "polynomial": taylor(2, 4.0), "certify": certify}
    with patch.object(fast_qkv, "LONG", 10**9 if method == "paper" else long):
        both = qkv.fast_attention_and_vjp(Q, K, V, dO, method=method, **more)
        output = qkv.fast_attention(Q, K, V, **more)
        gradient = qkv.fast_attention_vjp(Q, K, V, dO, method=method, **more)
    assert both.value.output.tobytes() == output.value.tobytes()
    assert [x.tobytes() for x in both.value[1:]] == [x.tobytes() for x in gradient.value]
    assert (both.degree, both.rank, both.relative_error) == (output.degree, output.rank, output.relative_error)
    if not certify:
        assert both.bound is None
        return
    assert [x.tobytes() for x in both.bound[1:]] == [x.tobytes() for x in gradient.bound]
    assert (abs(both.value.output - qkv.attention(Q, K, V, scale=0.2, causal=causal)) <= both.bound.output).all()
    assert (both.bound.output >= output.bound).all()  # for sums of more monomials allow for more rounding
    if method == "differentiate":
        assert both.bound.output.tobytes() == output.bound.tobytes()


@pytest.mark.parametrize("certify", [0, 1, None, "no", np.True_])
def test_certify_is_true_or_false(certify: Any) -> None:
    Q, K, V, dO = operands(5, 5, 2, 2)
    more: dict[str, Any] = {"scale": 1.0, "rtol": 0.1, "certify": certify}
    with pytest.raises(AltgradError, match=r"certify is .*, needs True or False"):
        qkv.fast_attention(Q, K, V, **more)
    for function in (qkv.fast_attention_vjp, qkv.fast_attention_and_vjp):
        with pytest.raises(AltgradError, match=r"certify is .*, needs True or False"):
            function(Q, K, V, dO, **more)


def test_without_the_bound_rounding_is_no_reason_to_refuse() -> None:
    Q, K, V, _ = operands(70, 70, 2, 2, np.float32)
    with pytest.raises(AltgradError, match="rounding in float32 alone may reach"):
        qkv.fast_attention(Q, K, V, scale=1.0, rtol=1e-5)
    assert np.isfinite(qkv.fast_attention(Q, K, V, scale=1.0, rtol=1e-5, certify=False).value).all()


# --- threads


def threads_of_blas() -> list[int]:
    return [library.num_threads for library in BLAS.controller.lib_controllers]


def attend(certify: bool = True, dtype: Any = np.float64, seed: int = 0) -> list[Any]:
    """Everything that is computed from one set of operands, masked and not."""
    given = operands(300, 300, 2, 3, dtype, seed)
    found = []
    for causal in (False, True):
        how: dict[str, Any] = {"scale": 0.2, "causal": causal, "rtol": 1e-2, "certify": certify}
        found += [qkv.fast_attention(*given[:3], **how)]
        found += [qkv.fast_attention_vjp(*given, **how, method=method) for method in COMPILED]
    return arrays(*found)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_bits_do_not_depend_on_the_number_of_threads(dtype: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    at_work: set[int] = set()
    rows = Compiled._query_rows

    def seen(self: Compiled, which: slice) -> Any:
        at_work.add(get_ident())
        return rows(self, which)

    monkeypatch.setattr(Compiled, "_query_rows", seen)
    found = []
    for number in (1, 2, 3):
        with threadpool_limits(number, user_api="blas"):
            before = threads_of_blas()
            at_work.clear()
            found.append(attend(dtype=dtype))
            assert threads_of_blas() == before
        assert (len(at_work) > 1) == (number > 1)
    assert same_bits(found[0], found[1])
    assert same_bits(found[0], found[2])


def test_the_caller_is_one_of_the_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int] = []
    monkeypatch.setattr(compiled, "helpers", asked.append)
    for size in (1, 2, 5):
        monkeypatch.setattr(BLAS, "on_one_thread", lambda size=size: nullcontext(size))
        with compiled.team() as threads:
            assert threads.size == size
    assert asked == [1, 4]


def test_callers_side_by_side_get_what_each_gets_alone() -> None:
    """And FLINT's precision, which is that of all threads, is what it was."""
    alone = [attend(seed=seed) for seed in range(4)]
    with threadpool_limits(2, user_api="blas"):
        before, precision = threads_of_blas(), ctx.prec
        error_table.cache_clear()
        with ThreadPoolExecutor(4) as callers:
            together = list(callers.map(lambda seed: attend(seed=seed), range(4)))
        assert threads_of_blas() == before
        assert ctx.prec == precision
    assert all(same_bits(a, b) for a, b in zip(alone, together, strict=True))


def test_error_bounds_of_polynomials_side_by_side_leave_the_precision(monkeypatch: pytest.MonkeyPatch) -> None:
    jobs = [(chebyshev(6, 4.0), 3.0 + k / 7, 0, True) for k in range(8)]
    alone = [error_table.__wrapped__(*job) for job in jobs]
    precision, interval = ctx.prec, sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        with ThreadPoolExecutor(4) as callers:
            together = list(callers.map(lambda job: error_table.__wrapped__(*job), jobs))
    finally:
        sys.setswitchinterval(interval)
    assert ctx.prec == precision
    assert all(np.array_equal(a, b) for a, b in zip(alone, together, strict=True))


@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("ends", ["by itself", "half way", "in an error"])
def test_blas_has_its_threads_back(ends: str, causal: bool) -> None:
    fast = head_of(Case(300, 300, 2, 2, seed=0, causal=causal), taylor(2, 2.0), "antiderivative")
    with threadpool_limits(3, user_api="blas"):
        before = threads_of_blas()
        assert set(before) == {3}
        for begin in (fast.output, fast.gradient):
            blocks = begin()
            if ends == "by itself":
                list(blocks)
            elif ends == "half way":
                next(blocks)
                assert set(threads_of_blas()) == {1}
                del blocks
            else:
                with pytest.raises(ZeroDivisionError):
                    next(block for block in blocks if 1 / 0)
                del blocks
            gc.collect()
            assert threads_of_blas() == before


@pytest.mark.parametrize("causal", [False, True])
def test_an_error_in_a_helper_reaches_the_caller(causal: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    accept = Certificate.accept

    def only_here(self: Certificate, worst: float) -> None:
        if current_thread() is not main_thread():
            raise AltgradError("from a helper")
        accept(self, worst)

    monkeypatch.setattr(Certificate, "accept", only_here)
    with threadpool_limits(3, user_api="blas"):
        before = threads_of_blas()
        for function, given in ((qkv.fast_attention, 3), (qkv.fast_attention_vjp, 4)):
            with pytest.raises(AltgradError, match="from a helper"):
                function(
                    *operands(300, 300, 2, 2)[:given], scale=0.1, causal=causal, rtol=0.1, **antiderivative[given]
                )
        assert threads_of_blas() == before


antiderivative: dict[int, dict[str, Any]] = {3: {}, 4: {"method": "antiderivative"}}


@pytest.mark.parametrize("causal", [False, True])
def test_a_tolerance_is_refused_in_the_same_words_by_any_number_of_threads(causal: bool) -> None:
    """It is the first chunk's rounding that they tell, where every chunk's is too large."""
    Q, K, V, _ = operands(300, 300, 2, 2, np.float32)
    Q *= np.repeat(np.arange(1, 301)[:, None], 2, axis=1) / np.float32(300)
    told = set()
    for number in (1, 2, 3):
        with threadpool_limits(number, user_api="blas"), pytest.raises(AltgradError, match="rounding in") as refusal:
            qkv.fast_attention(Q, K, V, scale=0.5, causal=causal, rtol=1e-5)
        told.add(str(refusal.value))
    assert len(told) == 1


@pytest.mark.parametrize("causal", [False, True])
def test_helpers_warn_of_nothing(causal: bool) -> None:
    """Operands with infinite weights and sums: warnings are errors here, and would reach the caller."""
    Q, K, V, dO = operands(300, 300, 2, 2, np.float32)
    how: dict[str, Any] = {"scale": 1.0, "causal": causal, "polynomial": taylor(8, 1.0)}
    with threadpool_limits(3, user_api="blas"):
        gradient = qkv.fast_attention_vjp(10 * Q, 10 * K, V, dO, method="antiderivative", **how)
        assert np.isinf(gradient.bound.V).any()
        with pytest.raises(AltgradError, match="overflows float32"):
            qkv.fast_attention_vjp(Q, K, 1e30 * V, 1e30 * dO, method="differentiate", **how)


def test_a_child_process_starts_threads_of_its_own() -> None:
    code = (
        "import os, numpy as np; from reference import compiled\n"
        "with compiled.team() as team: assert list(compiled.in_order(abs, [-1, -2, -3], team)) == [1, 2, 3]\n"
        "if (child := os.fork()) == 0:\n"
        "    with compiled.team() as team: assert list(compiled.in_order(abs, [-1, -2, -3], team)) == [1, 2, 3]\n"
        "    os._exit(7)\n"
        "assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7"
    )
    environment = os.environ | {"OPENBLAS_NUM_THREADS": "2"}
    subprocess.run([sys.executable, "-W", "ignore", "-c", code], check=True, env=environment, timeout=120)


def test_where_no_blas_can_be_told_there_is_one_thread() -> None:
    blas = compiled.Blas()
    blas.controller = blas.controller.select(internal_api="none")
    with blas.on_one_thread() as number:
        assert number == 1


# --- memory

CHILD = """
import gc, sys
from pathlib import Path
import numpy as np
from reference.chain_rule import fast_attention_gradient
from reference.polynomial import taylor

def now(what):
    return next(1024 * int(line.split()[1]) for line in Path("/proc/self/status").open() if line.startswith(what))

W = np.eye(4, dtype=np.float32) / 4
for n in (2**13, *map(int, sys.argv[2:])):  # the first to load what is compiled
    X, G = np.random.default_rng(0).normal(size=(2, n, 4)).astype(np.float32)
    gc.collect()
    Path("/proc/self/clear_refs").write_text("5")  # the peak begins here
    before = now("VmRSS")
    fast = fast_attention_gradient(X, W, W, G, polynomial=taylor(2, 1.0), causal=sys.argv[1] == "causal",
                                   method="differentiate")
    print(now("VmHWM") - before - fast.value.X.nbytes - fast.bound.X.nbytes)
    del X, G, fast
"""


def test_a_masked_block_is_as_long_as_its_sums_can_be_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    """A chunk of 64 rows has two tiles; each keeps (e + 6) sums for each monomial. One tile there must be."""
    rows = [a.__getitem__ for a in operands(100, 100, 2, 3)]
    for causal, kept, block in ((True, None, 64), (False, 0, 64), (True, 2, 64), (True, 1, 32), (True, 0, 32)):
        head = Head(100, 100, 2, 3, np.dtype(float), 1.0, causal, *rows)
        (fast,), _ = prepare([head], None, taylor(2, 1.0), "antiderivative", qkv.Wording("test"))
        assert isinstance(fast, Compiled)
        if kept is not None:
            monkeypatch.setattr(compiled, "KEPT", kept * fast.k_top * (3 + 6))
        assert fast.block == block


@pytest.mark.parametrize(("mask", "per_row"), [("none", 4), ("causal", 4 + 4 * 4)])
def test_memory_does_not_grow_with_n(mask: str, per_row: int) -> None:
    """But for a byte for each entry that is looked at for NaN, and four numbers a row under the mask.

    Other than that a quarter of X would be noticed. Numba's arrays are seen by the system alone.
    """
    n, more = 2**17, 2**19
    threads = {"OPENBLAS_NUM_THREADS": "1", "MALLOC_MMAP_THRESHOLD_": "65536"}  # what is freed is given back
    child = subprocess.run(
        [sys.executable, "-c", CHILD, mask, str(n), str(more)],
        env=os.environ | threads, cwd=Path(__file__).parents[1], check=True, capture_output=True, text=True,
    )  # fmt: skip
    _, peak, larger = map(int, child.stdout.split())
    assert larger - peak <= (more - n) * (per_row + 4)


# --- what holds of the text's bounds holds of these

Holds = Callable[..., None]
HOLD: list[Holds] = [
    certified.test_no_bound_of_a_head_is_broken,
    certified.test_no_bound_of_a_layer_is_broken,
    certified.test_no_bound_is_broken_where_features_cancel,
    certified.test_norms_whose_squares_underflow_are_seen,
    certified.test_queries_that_underflow_are_counted,
    certified.test_keys_that_differ_by_the_smallest_number,
    certified.test_a_scale_of_zero,
    certified.test_a_smaller_tolerance_gives_a_smaller_bound,
]
ATTAINED: list[Holds] = [
    certified.test_bounds_by_the_ratio_are_attained,
    certified.test_bounds_by_the_moment_are_attained,
]
EDGES: dict[Holds, list[tuple[Any, ...]]] = {
    certified.test_each_query_goes_by_the_sixteenth_of_the_range_that_its_scores_lie_in: [
        (b,) for b in range(1, BINS)
    ],
    certified.test_the_error_of_the_row_sum_counts_in_full: [("antiderivative",)],
    certified.test_no_bound_is_broken_where_a_product_cancels: list(product(("X W", "X W_V"), COMPILED)),
    certified.test_queries_and_keys_at_opposite_ends_of_the_range: list(
        product((np.float32, np.float64), ("smallest_subnormal", "tiny"), (False, True), COMPILED)
    ),
    certified.test_equal_keys_or_no_queries_of_any_size: [(1,), (3,)],
    certified.test_zero_operands: [(k,) for k in range(4)],
    certified.test_scores_that_float32_reaches_at_one_percent: [(2,), (6,), (11,)],
}


@pytest.mark.parametrize("holds", HOLD, ids=lambda f: f.__name__)
def test_as_of_the_text(holds: Holds) -> None:
    holds()


@pytest.mark.parametrize("method", COMPILED)
@pytest.mark.parametrize("scale", [1.0, -0.5])
@pytest.mark.parametrize("attained", ATTAINED, ids=lambda f: f.__name__)
def test_bounds_are_attained_as_those_of_the_text(attained: Holds, scale: float, method: Method) -> None:
    """To first order: nothing is lost where there is one column."""
    attained(scale, method)


@pytest.mark.parametrize("holds", EDGES, ids=lambda f: f.__name__)
def test_at_the_edges_as_of_the_text(holds: Holds) -> None:
    for values in EDGES[holds]:
        holds(*values)
