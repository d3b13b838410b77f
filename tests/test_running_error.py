"""Running numbers bound the rounding of formulas, whatever the order of their operations, and not idly."""

from __future__ import annotations

from fractions import Fraction
from math import inf
from typing import Any

import numpy as np
import pytest
from flint import arb, ctx
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import erf

from proofs_checks.ground_truth import BITS, balls
from proofs_checks.instances import Array
from proofs_checks.running_error import Format, Running, running

DTYPES = (np.float32, np.float64)
SINGLE = Format.of(np.float32)


@pytest.fixture(autouse=True)
def _precision() -> Any:
    with ctx.workprec(BITS):
        yield


def drawn(seed: int, *shape: int, dtype: Any) -> Array:
    """Numbers over many magnitudes, with both signs and some zeros."""
    rng = np.random.default_rng(seed)
    numbers = rng.normal(size=shape) * 2.0 ** rng.integers(-20, 20, size=shape) * rng.integers(0, 4, size=shape)
    return numbers.astype(dtype)


def within(computed: Any, number: Any) -> bool:
    """Whether what was computed lies within the bound of the number that stands for it."""
    return bool(abs(arb(float(computed)) - number.value) <= arb(number.error))


def check(computed: Array, numbers: Array) -> None:
    pairs = zip(computed.flat, numbers.flat, strict=True)
    broken = [(c, n) for c, n in pairs if not within(c, n)]
    assert not broken, f"{len(broken)} of {computed.size} beyond their bounds, such as {broken[0]}"


seeds = st.integers(0, 2**32 - 1)
dtypes = st.sampled_from(DTYPES)


@given(seeds, dtypes, st.integers(1, 40))
def test_sums_in_every_order(seed: int, dtype: Any, n: int) -> None:
    a, b = drawn(seed, 2, n, dtype=dtype)
    x, y = (running(balls(v), dtype, exact=True) for v in (a, b))
    products, number = a * b, x @ y
    forward, backward = dtype(0), dtype(0)
    for p, q in zip(products, products[::-1], strict=True):
        forward, backward = forward + p, backward + q
    pairwise = [dtype(p) for p in products]
    while len(pairwise) > 1:
        pairwise = [sum(pairwise[k : k + 2], dtype(0)) for k in range(0, len(pairwise), 2)]
    for computed in (forward, backward, pairwise[0], products.sum(), a @ b, np.dot(a, b)):
        assert within(computed, number)


@given(seeds, dtypes, st.integers(1, 4), st.integers(1, 4))
def test_matrix_products_differences_and_quotients(seed: int, dtype: Any, n: int, d: int) -> None:
    A, B, C = (drawn(seed + k, n if k < 2 else d, d, dtype=dtype) for k in range(3))
    x, y, z = (running(balls(M), dtype, exact=True) for M in (A, B, C))
    check((A - B) @ C @ C.T - 3 * A, (x - y) @ z @ z.T - 3 * x)
    positive = np.abs(A) + 1
    check(B / positive.sum(axis=0), y / (np.abs(x) + 1).sum(axis=0))


@given(seeds, dtypes, st.integers(1, 6), st.sampled_from((1.0, 30.0, 80.0)))
def test_softmax_without_a_shift(seed: int, dtype: Any, n: int, size: float) -> None:
    scores = (size * np.random.default_rng(seed).uniform(-1, 1, size=(n, n))).astype(dtype)
    u, v = np.exp(scores), np.exp(running(balls(scores), dtype, exact=True))
    check(u / u.sum(axis=1)[:, None], v / v.sum(axis=1)[:, None])


@pytest.mark.parametrize("function", ["exp", "log", "tanh", "erf"])
@given(seeds, dtypes)
def test_functions_of_what_was_computed(function: str, seed: int, dtype: Any) -> None:
    a, b = np.random.default_rng(seed).uniform(0.1, 3, size=(2, 5)).astype(dtype)
    x, y = (running(balls(v), dtype, exact=True) for v in (a, b))
    of_floats = {"exp": np.exp, "log": np.log, "tanh": np.tanh, "erf": erf}[function]
    check(of_floats(a * b + a), np.array([getattr(number, function)() for number in x * y + x], dtype=object))


@given(dtypes, st.integers(1, 6))
def test_underflow_is_paid_for(dtype: Any, n: int) -> None:
    small = np.full(n, np.finfo(dtype).tiny * 2, dtype)
    number = running(balls(small), dtype, exact=True)
    with np.errstate(under="ignore"):
        check(small * small * 1024, number * number * 1024)
        check(small / (dtype(2) ** 20) / (dtype(2) ** 20), number / 2**20 / 2**20)


def test_an_operand_is_exact_or_rounded_once() -> None:
    third = arb(1) / 3
    assert Running.exact(arb(3), SINGLE).error == 0
    assert within(np.float32(1 / 3), Running.rounded(third, SINGLE))
    assert not within(np.float32(1 / 3) * np.float32(1 + 2**-22), Running.rounded(third, SINGLE))


def test_bounds_are_not_idle() -> None:
    """A deviation of a few rounding errors is seen."""
    x = running(balls(np.ones(4, np.float32)), np.float32, exact=True)
    assert (x @ x).error < 5 * SINGLE.u * 4
    assert np.exp(x)[0].error < 9 * SINGLE.u * 2.72


def test_a_divisor_that_may_vanish_leaves_no_bound() -> None:
    one = Running.exact(arb(1), SINGLE)
    vanishing = Running.rounded(arb(1) / 3, SINGLE) - arb(1) / 3
    assert (one / vanishing).error == inf
    assert np.isinf((one / vanishing + one).error)
    assert (vanishing * vanishing).log().error == inf


def test_numbers_mix_with_constants_on_both_sides() -> None:
    x = Running.exact(arb(3), SINGLE)
    for number, value in ((1 + x, 4), (1 - x, -2), (2 * x, 6), (6 / x, 2), (x - 1, 2), (x / 2, Fraction(3, 2))):
        assert number.value.overlaps(arb(value.numerator) / value.denominator)
    assert (0.5 * x).error > 0, "a float is rounded to the format"
    array = np.array([1, 2]) * running(balls(np.array([3.0, 4.0])), np.float32, exact=True)
    assert [n.value for n in array] == [arb(3), arb(8)]
    with pytest.raises(TypeError):
        x + "1"


def test_numbers_compare_by_their_values() -> None:
    one, two = (Running.exact(arb(k), SINGLE) for k in (1, 2))
    assert one < two
    assert two > one
    assert 0 < one < 1.5
    with pytest.raises(TypeError):  # the larger of two would carry the error of one of them only
        np.maximum(np.array([one, two], dtype=object), 0)


def test_terms_of_different_drift_in_every_order() -> None:
    """The last term is a sum itself: in another order all additions fall on it."""
    terms = np.full(15, 2.0**-24, np.float32)
    last = np.ones(16, np.float32) * np.float32(2.0**-24)
    last[0] = 1
    numbers = [*running(balls(terms), np.float32, exact=True), running(balls(last), np.float32, exact=True).sum()]
    total = sum(numbers[1:], numbers[0])
    computed_last = np.float32(0)
    for x in last:
        computed_last = np.float32(computed_last + x)
    for order in (range(16), reversed(range(16))):
        computed = np.float32(0)
        for k in order:
            computed = np.float32(computed + (computed_last if k == 15 else terms[k]))
        assert within(computed, total)


def test_constants_must_be_what_they_seem() -> None:
    x = Running.exact(arb(3), SINGLE)
    with pytest.raises(TypeError, match="is rounded"):
        x * (1 / 3)
    assert (x * 0.5).value == arb(3) / 2
    assert (x * (2**24 + 1)).error > (x * 2**24).error, "float32 does not represent it"


def test_arrays_of_numbers_are_read_only() -> None:
    with pytest.raises(ValueError, match="read-only"):
        running(balls(np.ones(1)), np.float32, exact=True)[0] = 0
