"""The compiled sums compute what the text of `fast_qkv` does, bound it as it does, and leave no trace in BLAS."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from unittest.mock import patch

import numpy as np
import pytest
from flint import ctx
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import reference
from reference import AltgradError, compiled, fast_qkv, kernels, qkv, row_bounds
from reference.certificate import error_table
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
    with patch("reference.certificate.error_table", lambda *_: np.zeros((certified.BINS, 4))):
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
    with patch("reference.certificate.error_table", lambda *_: np.zeros((certified.BINS, 4))):
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
