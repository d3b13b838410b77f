"""The compiled loops compute what the text of `fast_qkv` computes, with a bound that holds, on any threads."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from typing import Any

import numpy as np
import pytest
from threadpoolctl import threadpool_info, threadpool_limits

from reference import AltgradError, compiled, fast_qkv, kernels, low_rank, qkv
from reference.certificate import gamma, unit
from reference.chain_rule import attention_gradient, fast_attention_gradient
from reference.fast_qkv import Method
from reference.polynomial import chebyshev, taylor
from tests import test_certificate

COMPILED: tuple[Method, ...] = ("antiderivative", "differentiate")
SMALL = {"CHUNK": 128, "TILE": 64, "MASKED_TILE": 32}


# These run here as well, with the loops in place of the text.
wide_enough = test_certificate.wide_enough
test_bounds_by_the_moment_are_attained = test_certificate.test_bounds_by_the_moment_are_attained
test_bounds_by_the_ratio_are_attained = test_certificate.test_bounds_by_the_ratio_are_attained
test_each_query_goes_by_the_sixteenth_of_the_range_that_its_scores_lie_in = (
    test_certificate.test_each_query_goes_by_the_sixteenth_of_the_range_that_its_scores_lie_in
)
test_equal_keys_or_no_queries_of_any_size = test_certificate.test_equal_keys_or_no_queries_of_any_size
test_keys_that_differ_by_the_smallest_number = test_certificate.test_keys_that_differ_by_the_smallest_number
test_no_bound_is_broken_where_a_product_cancels = test_certificate.test_no_bound_is_broken_where_a_product_cancels
test_no_bound_is_broken_where_features_cancel = test_certificate.test_no_bound_is_broken_where_features_cancel
test_no_bound_of_a_head_is_broken = test_certificate.test_no_bound_of_a_head_is_broken
test_no_bound_of_a_layer_is_broken = test_certificate.test_no_bound_of_a_layer_is_broken
test_norms_whose_squares_underflow_are_seen = test_certificate.test_norms_whose_squares_underflow_are_seen
test_queries_and_keys_at_opposite_ends_of_the_range = (
    test_certificate.test_queries_and_keys_at_opposite_ends_of_the_range
)
test_queries_that_underflow_are_counted = test_certificate.test_queries_that_underflow_are_counted
test_the_error_of_the_row_sum_counts_in_full = test_certificate.test_the_error_of_the_row_sum_counts_in_full
test_what_is_exact_has_a_bound_of_rounding_only = test_certificate.test_what_is_exact_has_a_bound_of_rounding_only
test_zero_operands = test_certificate.test_zero_operands


@pytest.fixture(autouse=True)
def _always(monkeypatch: pytest.MonkeyPatch) -> None:
    """Short sequences too, in several chunks and tiles."""
    monkeypatch.setattr(fast_qkv, "LONG", 1)
    for name, value in SMALL.items():
        monkeypatch.setattr(compiled, name, value)


def operands(n: int, m: int, d: int, e: int, seed: int, dtype: Any = np.float64, style: int = 0) -> tuple[Any, ...]:
    rng = np.random.default_rng(seed)
    Q, K = rng.normal(size=(n, d)) / 2, rng.normal(size=(m, d)) / 2 + seed % 3
    V, dO = rng.normal(size=(m, e)) - 1, rng.normal(size=(n, e))
    if style == 1:  # repeated rows
        K, V = K[rng.integers(0, m, size=m) // 2], V[rng.integers(0, m, size=m) // 2]
    if style == 2:  # rank-deficient, and columns of other sizes
        Q[:, 1:], K[:, 1:] = Q[:, :1], 0
        V *= 10.0 ** np.arange(e)
    if style == 3:  # nothing to see
        dO *= 0
    return tuple(np.ascontiguousarray(x.astype(dtype)) for x in (Q, K, V, dO))


def by_text(monkeypatch: pytest.MonkeyPatch, causal: bool) -> None:
    """In blocks of as many rows, for rounding is bounded by their number."""
    monkeypatch.setattr(fast_qkv, "LONG", 10**9)
    monkeypatch.setattr(fast_qkv, "ROWS", SMALL["MASKED_TILE" if causal else "TILE"])


def run(given: tuple[Any, ...], **how: Any) -> tuple[list[Any], list[Any] | None, Any]:
    """Output and gradients, and their bounds."""
    method = how.pop("method", "differentiate")
    output = qkv.fast_attention(*given[:3], **how)
    gradient = qkv.fast_attention_vjp(*given, method=method, **how)
    if output.bound is None:
        assert gradient.bound is None
        return [output.value, *gradient.value], None, gradient
    return [output.value, *gradient.value], [output.bound, *gradient.bound], gradient


def both(monkeypatch: pytest.MonkeyPatch, given: tuple[Any, ...], **how: Any) -> tuple[Any, Any]:
    loops = run(given, **how)
    by_text(monkeypatch, how["causal"])
    return loops, run(given, **how)


def rounding(given: tuple[Any, ...], d: int, e: int, g: int, n: int, m: int) -> float:
    """What either implementation may lose, relative to sums of absolute values: γ of every operation on a path."""
    k = low_rank.rank(d, g + 1)
    return 16 * gamma(6 * g + 2 * k + (g + 1) * (d + 3) + n + m + e + 40, unit(given[0].dtype))


CASES = {
    "n = 1": (1, 1, 1, 1, 2),
    "one query": (1, 300, 2, 3, 2),
    "one key": (300, 1, 2, 3, 2),
    "d = 1, degree 5": (150, 150, 1, 4, 5),
    "chunks and tiles": (517, 517, 3, 2, 4),
    "more keys": (130, 700, 4, 1, 2),
    "degree 0": (90, 90, 2, 2, 0),
    "degree 1": (90, 90, 2, 2, 1),
}


@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("method", COMPILED)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("case", CASES)
def test_loops_and_text_give_the_same(
    case: str, dtype: Any, method: Method, causal: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    n, m, d, e, g = CASES[case]
    m = n if causal else m
    given = operands(n, m, d, e, 5, dtype)
    P = taylor(g, 8.0) if g % 2 == 0 else chebyshev(g, 8.0)
    scale = 0.25 if g > 1 else 0.01
    (values, *_), (text, *_) = both(monkeypatch, given, scale=scale, causal=causal, polynomial=P, method=method)
    Q, K, V, dO = (np.abs(x).max() for x in given)
    lost = rounding(given, d, e, max(g, 1), n, m) * np.exp(4 * scale * d * Q * K)
    sizes = V, scale * K * e * V * dO * 4, scale * n * Q * e * V * dO * 4, n * dO  # of sums of absolute values
    for name, one, other, size in zip("OQKV", values, text, sizes, strict=True):
        assert one.dtype == dtype
        assert np.abs(one - other).max() <= lost * size, f"{name} of {case}"


@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("method", COMPILED)
def test_with_one_column_the_bounds_are_those_of_the_text(
    method: Method, causal: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Then nothing is replaced by its worst: every formula, unit and sum is the same, up to its own rounding."""
    for seed, polynomial in enumerate((taylor(2, 8.0), taylor(4, 8.0), chebyshev(10, 4.0))):
        given = operands(150, 150, 1, 1, seed)
        loops, text = both(monkeypatch, given, scale=0.5, causal=causal, polynomial=polynomial, method=method)
        for name, one, other in zip("OQKV", loops[1], text[1], strict=True):
            np.testing.assert_allclose(one, other, rtol=1e-9, err_msg=f"{name}, degree {polynomial.degree}")
        monkeypatch.setattr(fast_qkv, "LONG", 1)


@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("method", COMPILED)
def test_layers_and_their_bounds(method: Method, causal: bool) -> None:
    rng = np.random.default_rng(0)
    X, G = rng.normal(size=(2, 700, 3))
    W, W_V = rng.normal(size=(2, 3, 3)) / 3
    fast = fast_attention_gradient(X, W, W_V, G, rtol=1e-3, causal=causal, method=method)
    true = attention_gradient(X, W, W_V, G, causal=causal)
    for name in ("X", "W", "W_V"):
        error, bound = np.abs(getattr(fast.value, name) - getattr(true, name)), getattr(fast.bound, name)
        assert np.isfinite(bound).all(), name
        assert (error <= bound).all(), name
        assert error.max() > 0, name


@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("method", ["paper", *COMPILED])
@pytest.mark.parametrize("long", [1, 10**9])
def test_without_a_certificate(long: int, method: Method, causal: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same numbers up to rounding (BLAS multiplies fewer columns), and no bound."""
    monkeypatch.setattr(fast_qkv, "LONG", long)
    given = operands(200, 200, 2, 3, 1)
    how: dict[str, Any] = {"scale": 0.5, "causal": causal, "polynomial": taylor(2, 8.0), "method": method}
    bare, none, _ = run(given, certify=False, **how)
    values, bounds, _ = run(given, **how)
    assert none is None
    assert bounds is not None
    for one, other, bound in zip(bare, values, bounds, strict=True):
        assert (np.abs(one - other) <= bound).all()
        np.testing.assert_allclose(one, other, rtol=0, atol=1e-11 * np.abs(other).max())
    assert "rank" in qkv.fast_attention(*(x[:2] for x in given[:3]), scale=0.5, rtol=0.1, certify=False).why


@pytest.mark.parametrize("certify", [1, None, "no"])
def test_certify_is_true_or_false(certify: Any) -> None:
    given = operands(5, 5, 1, 1, 0)
    with pytest.raises(AltgradError, match="certify is"):
        qkv.fast_attention(*given[:3], scale=1, rtol=0.1, certify=certify)
    with pytest.raises(AltgradError, match="certify is"):
        qkv.fast_attention_vjp(*given, scale=1, rtol=0.1, certify=certify)


# ---------------------------------------------------------------------------------------------------------- threads


def blas_threads() -> set[int]:
    return {pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == "blas"}


@pytest.mark.parametrize("causal", [False, True])
def test_bits_do_not_depend_on_the_threads(causal: bool) -> None:
    given = operands(900, 900, 3, 2, 4)
    how: dict[str, Any] = {"scale": 0.5, "causal": causal, "polynomial": taylor(2, 8.0)}
    found = []
    for number in (1, 2, 3):
        with threadpool_limits(number, user_api="blas"):
            found.append(run(given, **how))
            assert blas_threads() == {number}, "BLAS has its threads back"
    first, *others = ([*values, *(bounds or [])] for values, bounds, _ in found)
    for other in others:
        for one, two in zip(first, other, strict=True):
            np.testing.assert_array_equal(one, two)


def test_callers_side_by_side() -> None:
    given = operands(900, 900, 3, 2, 4)
    how: dict[str, Any] = {"scale": 0.5, "polynomial": taylor(2, 8.0)}
    alone, before, found = run(given, **how), blas_threads(), []
    callers = [threading.Thread(target=lambda: found.append(run(given, **how))) for _ in range(4)]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join()
    assert len(found) == 4
    for values, *_ in found:
        for one, other in zip(values, alone[0], strict=True):
            np.testing.assert_array_equal(one, other)
    assert blas_threads() == before


def test_an_error_within_a_helper_reaches_the_caller() -> None:
    """And BLAS has its threads back, here and after a result that was not read to its end."""
    given, before = operands(900, 900, 2, 2, 0, np.float32), blas_threads()
    with threadpool_limits(2, user_api="blas"):
        with pytest.raises(AltgradError, match="rounding in float32"):
            run(given, scale=1.0, rtol=1e-7)
        assert blas_threads() == {2}
        _, [head] = qkv._heads(given[0], given[1], given[2], 0.5, False, given[3])
        [fast], _ = fast_qkv.prepare([head], None, taylor(2, 8.0), "differentiate", qkv.Wording("test"))
        assert isinstance(fast, compiled.Compiled)
        blocks = fast.gradient()
        next(blocks)
        blocks.close()  # type: ignore[attr-defined]
        assert blas_threads() == {2}
    assert blas_threads() == before


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


# ------------------------------------------------------------------------------------------------- without, and limits


def test_without_numba_the_text_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    given = operands(200, 200, 2, 3, 1)
    _, heads = qkv._heads(given[0], given[1], given[2], 0.5, False, given[3])
    assert fast_qkv.implementation(heads, "differentiate") is compiled.Compiled
    assert fast_qkv.implementation(heads, "paper") is fast_qkv.Fast
    monkeypatch.setattr(fast_qkv, "find_spec", lambda name: None)
    assert fast_qkv.implementation(heads, "differentiate") is fast_qkv.Fast


@pytest.mark.parametrize("causal", [False, True])
def test_memory_does_not_grow_with_n(causal: bool) -> None:
    """Beyond inputs and results. Python does not see what Numba takes, so a process is asked for its largest size."""
    code = (
        "import resource, sys, numpy as np; from reference import qkv; from reference.polynomial import taylor\n"
        "def most(n):\n"
        "    Q, K, V, dO = np.random.default_rng(0).normal(size=(4, n, 4)).astype(np.float32)\n"
        f"    qkv.fast_attention_vjp(Q, K, V, dO, scale=.1, polynomial=taylor(2, 64.), causal={causal},"
        " method='differentiate')\n"
        "    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024\n"
        "first = most(2**17); print(first, most(2**20) - first)"
    )
    environment = os.environ | {"OPENBLAS_NUM_THREADS": "2"}
    done = subprocess.run(
        [sys.executable, "-c", code], check=True, env=environment, capture_output=True, text=True, timeout=300
    )
    _, grown = map(int, done.stdout.split())
    per_row = 4 * 4 * (4 + 3 + 3) + 16 * causal + 4 * 8  # operands, results, bounds, four numbers; float64 draws' rest
    assert (
        grown <= 7 * 2**17 * (per_row + 4 * 4 * 8) + 2**25
    )  # the draws of the operands stand beside them for a moment


def test_monomials_and_their_differentiation_are_those_of_the_text() -> None:
    X = np.random.default_rng(0).normal(size=(7, 3))
    for degree in (1, 2, 5):
        steps, k = kernels.steps(3, degree), low_rank.rank(3, degree)
        features, dx = np.empty((k, 8)), np.empty((3, 8))
        tile = np.empty((3, 8))
        kernels.load(X, tile)
        kernels.monomials(steps, tile, features)
        text = low_rank.monomials(X, degree)
        np.testing.assert_array_equal(features[:, :7], text)
        cotangent = np.random.default_rng(1).normal(size=(k, 8))
        expected = low_rank.monomials_vjp(X, degree, text, cotangent[:, :7].copy())
        kernels.monomials_vjp(steps, tile, features, cotangent, dx)
        np.testing.assert_allclose(dx[:, :7].T, expected, rtol=1e-12, atol=1e-12)
