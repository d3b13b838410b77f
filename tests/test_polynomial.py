"""Polynomials in place of exp: every error bound against balls on a grid, the degrees, the edges, the documentation.

Truth is exp and Horner's rule in balls, written out here; a grid gives a lower bound for what is bounded.
"""

from __future__ import annotations

import contextlib
import io
import math
import re
from collections.abc import Iterator
from decimal import Decimal
from fractions import Fraction
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from flint import arb, ctx, fmpq
from hypothesis import given, settings
from hypothesis import strategies as st

from proofs_checks.polynomial import STATEMENTS
from reference import AltgradError, polynomial
from reference.polynomial import (
    ACCURATE,
    DEGREES,
    FITS,
    KINDS,
    PIECES,
    ExpPolynomial,
    _least_squares,
    _quotient,
    chebyshev,
    chebyshev_error,
    chebyshev_log_error,
    degree_of_digits,
    digits_limit,
    exp_polynomial,
    exponential_factors,
    fitted,
    least_degree,
    necessary_degree,
    optimal_degree,
    printed_degree,
    printed_rank_exponent,
    rank_exponent,
    sufficient_degree,
    taylor,
    taylor_error,
    taylor_error_attained,
)

DOCS = Path(__file__).parents[1] / "docs" / "polynomial.md"
GRID = 200
LEAST = 5e-324  # above 0 in float64
SHARP = 1 + 2.0 ** (1 - ACCURATE)  # an error bound has so many bits right, and is rounded up
BITS = 700  # enough for e^{±50} and degree 210
few = settings(max_examples=40, deadline=None)

bounds = st.sampled_from((0.0, 1e-300, 1e-8, 0.125, 1.0, 2.5, 7.0)) | st.floats(0, 8)
degrees = st.integers(0, 14)
coefficients = st.lists(st.fractions(-2, 2, max_denominator=8), min_size=1, max_size=7).filter(any)


@pytest.fixture(autouse=True)
def _precision() -> Iterator[None]:
    with ctx.workprec(BITS):
        yield


@st.composite
def polynomials(draw: st.DrawFn) -> ExpPolynomial:
    make = draw(st.sampled_from(("taylor", "chebyshev", "fitted", "any")))
    bound = draw(bounds)
    if make == "any":
        return ExpPolynomial(tuple(draw(coefficients)), bound, "any")
    if make == "fitted":
        scores = draw(st.lists(st.floats(-bound, bound), min_size=1, max_size=9))
        return fitted(np.array(scores), 2 * draw(st.integers(0, 4)), bound)
    return (taylor if make == "taylor" else chebyshev)(draw(degrees), bound)


def ball(x: Fraction) -> arb:
    return arb(fmpq(x.numerator, x.denominator))


def at(coefficients: tuple[Fraction, ...], x: Any) -> arb:
    result = arb(0)
    for c in reversed(coefficients):
        result = result * arb(x) + ball(c)
    return result


def grid(b: float) -> list[arb]:
    return [arb(b) * (2 * k - GRID) / GRID for k in range(GRID + 1)]


def ratios(P: ExpPolynomial, b: float) -> list[arb]:
    return [at(P.coefficients, x) * (-x).exp() for x in grid(b)]


def largest(values: list[arb]) -> arb:
    return max(values, key=float)


# --- the error bounds are bounds


@few
@given(polynomials())
def test_relative_error_bounds_a_grid(P: ExpPolynomial) -> None:
    errors = [abs(r - 1) for r in ratios(P, P.bound)]
    assert not any(e > P.relative_error for e in errors), f"{P.kind} {P.degree} on {P.bound}"


@few
@given(polynomials(), st.floats(0, 1.25))
def test_weight_error_bounds_a_grid(P: ExpPolynomial, share: float) -> None:
    b = share * P.bound
    r, allowed = ratios(P, b), P.weight_error(b)
    if math.isfinite(allowed):
        assert all(x > 0 for x in r)
        assert not any(x > (1 + arb(allowed)) * y for x in (largest(r),) for y in r)


@few
@given(polynomials(), st.floats(0, 1.25))
def test_slope_error_bounds_a_grid(P: ExpPolynomial, share: float) -> None:
    b = share * P.bound
    allowed = P.slope_error(b)
    if math.isfinite(allowed):
        errors = [abs(at(P.derivative, x) / at(P.coefficients, x) - 1) for x in grid(b)]
        assert not any(e > allowed for e in errors)


@few
@given(polynomials(), st.floats(0, 1.25), st.integers(0, 3))
def test_absolute_error_and_slope_distance_bound_a_grid(P: ExpPolynomial, share: float, half: int) -> None:
    """|P − exp| and |P − P′| by a power of |x|, which only a Taylor polynomial has."""
    b, power = share * P.bound, min(2 * half, P.degree)
    excess, slope = P.absolute_error(b, power), P.slope_distance(b, power)
    assert P.absolute_error(b, P.degree + 2) == P.slope_distance(b, P.degree + 2) == math.inf
    is_taylor = P.coefficients == taylor(P.degree, 1.0).coefficients
    assert math.isfinite(excess) == math.isfinite(slope) == (is_taylor or power == 0)
    for x in grid(b) if math.isfinite(excess) else ():
        p, size = at(P.coefficients, x), abs(x) ** power
        assert not abs(p - x.exp()) > excess * size
        assert not abs(p - at(P.derivative, x)) > slope * size


@few
@given(coefficients, bounds)
def test_absolute_error_and_slope_distance_are_near_what_a_grid_has(c: list[Fraction], bound: float) -> None:
    """Between its points a grid misses its step times the largest slope; exp grows within each of 64 pieces."""
    P, b = ExpPolynomial((*c, Fraction(2)), bound, "any"), arb(bound)  # 2 x^g: no Taylor polynomial
    second = tuple(k * c for k, c in enumerate(P.derivative))[1:] or (Fraction(0),)
    first, steepest = (at(tuple(map(abs, c)), b) for c in (P.derivative, second))
    excess = largest([abs(at(P.coefficients, x) - x.exp()) for x in grid(bound)]) + (first + b.exp()) * b / GRID
    slope = largest([abs(at(P.coefficients, x) - at(P.derivative, x)) for x in grid(bound)])
    assert not P.absolute_error(bound) > excess * (b / 32).exp() * SHARP
    assert not P.slope_distance(bound) > (slope + (first + steepest) * b / GRID) * SHARP


@pytest.mark.parametrize("side", [-1, 1])
def test_an_absolute_error_is_seen_at_either_end(side: int) -> None:
    """It is largest, and steepest, at one end: what leaves that end out is below it."""
    P = ExpPolynomial((*[Fraction(0)] * 7, Fraction(-9 * side)), 1.0, "any")
    largest = 9 + arb(side).exp()
    assert not largest > P.absolute_error(1.0)
    assert not P.absolute_error(1.0) > largest * (arb(2) / PIECES).exp()


def test_slopes_are_seen_at_either_end() -> None:
    rising, falling, steep = (
        ExpPolynomial((Fraction(c), Fraction(s)), 1.0, "any") for c, s in ((5, 1), (5, -1), (9 / 8, 1))
    )
    assert rising.slope_distance(1.0) == 5  # 4 + x at 1
    assert falling.slope_distance(1.0) == 7  # 6 − x at −1
    assert falling.slope_error(1.0) == 5 / 4  # 1 + 1/(5 − x) at 1
    assert steep.slope_error(1.0) == 7  # 1/(9/8 + x) − 1 at −1


@pytest.mark.parametrize("degree", [0, 1, 2, 4])
def test_powers_of_a_taylor_polynomial_are_as_they_are_attained(degree: int) -> None:
    """At ±b: |P − exp| is the first term that is left out, but for a factor e^b, and |P − P′| the last that is not."""
    b = 2.0**-10
    P = taylor(degree, b)
    for power in range(0, degree + 1, 2):
        left_out = arb(b) ** (degree + 1 - power) / math.factorial(degree + 1)
        assert left_out < P.absolute_error(b, power) < left_out * arb(b).exp() * SHARP
        last = arb(b) ** (degree - power) / math.factorial(degree)
        assert not P.slope_distance(b, power) < last
        assert not P.slope_distance(b, power) > last * SHARP


@few
@given(polynomials())
def test_positive_is_what_a_grid_says(P: ExpPolynomial) -> None:
    values = [at(P.coefficients, x) for x in grid(P.bound)]
    assert all(x > 0 for x in values) or not P.positive
    assert P.positive == math.isfinite(P.weight_error(P.bound)) == math.isfinite(P.slope_error(P.bound))


@given(coefficients, bounds)
@few
def test_the_bounds_are_sharp(c: list[Fraction], bound: float) -> None:
    """A fine grid comes near: its step times the largest slope bounds what it misses."""
    P = ExpPolynomial(tuple(c), bound, "any")
    majorant = at(tuple(map(abs, P.coefficients)), bound) + at(tuple(map(abs, P.derivative)), bound)
    missed = majorant * arb(bound).exp() * bound / GRID
    measured = largest([abs(r - 1) for r in ratios(P, bound)])
    assert not arb(P.relative_error) > (measured + missed) * SHARP


@pytest.mark.parametrize(
    ("c", "bound", "error"),
    [
        ((1, 1), 1.0, 1.0),  # 1 + x is zero at the end −1
        ((0, 0, 1), 2.0, None),  # x²: a zero of P′ − P is a zero of P, at 2 lies another one
        ((1, -2, 1), 1.0, None),  # (1 − x)²: a double zero at the end
        ((2,), 0.0, 1.0),
        ((2, 1), 0.0, 1.0),
    ],
)
def test_zeros_at_the_ends_and_multiple_ones(c: tuple[int, ...], bound: float, error: float | None) -> None:
    P = ExpPolynomial(tuple(map(Fraction, c)), bound, "any")
    measured = largest([abs(r - 1) for r in ratios(P, bound)])
    assert float(measured) <= P.relative_error <= float(measured) * SHARP
    assert error is None or P.relative_error == error
    assert P.positive == (bound == 0)
    assert (P.weight_error(bound), P.slope_error(bound)) == (math.inf, math.inf) or P.positive


def test_a_point_costs_nothing() -> None:
    P = taylor(3, 0.0)
    assert (P.relative_error, P.weight_error(0.0), P.slope_error(0.0)) == (0.0, 0.0, 0.0)
    assert P.weight_error(0.5) > 0
    assert chebyshev(3, 0.0).coefficients == (Fraction(1), *[Fraction(0)] * 3)
    assert exp_polynomial(0.0, 1e-15).degree == exp_polynomial(0, 1e-15, kind="taylor").degree == 0


def test_tiny_bounds_keep_their_digits() -> None:
    for P in (taylor(0, 1e-300), taylor(2, 1e-5)):
        attained = largest([abs(r - 1) for r in ratios(P, P.bound)])  # at an end, and these are on the grid
        assert not P.relative_error < attained
        assert not P.relative_error > attained * SHARP
    assert chebyshev(2, 1e-200).relative_error == LEAST  # what float64 cannot show is rounded up, not to 0


def test_beyond_any_use_the_bounds_are_infinite() -> None:
    P = taylor(2, 1e4)
    assert (P.relative_error, P.weight_error(1e4), P.slope_error(1e4), P.positive) == (math.inf,) * 3 + (False,)
    assert P.weight_error(10.0) < math.inf
    assert taylor(2, 300.0).weight_error(300.0) < math.inf  # about e^600
    assert taylor(2, 400.0).weight_error(400.0) == math.inf  # beyond float64


# --- the polynomials


@few
@given(degrees, bounds)
def test_taylor(degree: int, bound: float) -> None:
    P = taylor(degree, bound)
    assert P.coefficients == tuple(Fraction(1, math.factorial(k)) for k in range(degree + 1))
    attained = taylor_error_attained(degree, bound)
    assert not abs(attained - P.relative_error) > attained * arb(2) ** -31 + LEAST
    assert not P.relative_error > taylor_error(degree, bound) * (1 + arb(2) ** -31) + LEAST
    assert degree % 2 or P.positive


@few
@given(degrees, bounds)
def test_chebyshev(degree: int, bound: float) -> None:
    """Held against the integral (2/π) ∫ e^{B cos θ} cos kθ dθ, by the trapezoidal rule on 128 points."""
    P = chebyshev(degree, bound)
    assert not P.relative_error > chebyshev_error(degree, bound) * (1 + arb(2) ** -30) + LEAST
    thetas = [arb.pi() * (2 * m + 1) / 128 for m in range(64)]
    series = [sum(((bound * t.cos()).exp() * (k * t).cos() for t in thetas), arb(0)) / 64 for k in range(degree + 1)]
    for angle in thetas[::9]:
        true = sum(((1 + (k > 0)) * c * (k * angle).cos() for k, c in enumerate(series)), arb(0))
        ours = at(P.coefficients, bound * angle.cos()) if bound else arb(1)
        assert abs(ours - true) < chebyshev_error(degree, bound) * arb(2) ** -50 + arb(2) ** -180


@pytest.mark.parametrize("kind", ["taylor", "chebyshev"])
@pytest.mark.parametrize("bound", [1e-12, 0.3, 1, 4.0, 16.0, 50.0])
@pytest.mark.parametrize("error", [0.5, 1e-3, 1e-15])
def test_the_degree_is_the_least_by_the_stated_bound(kind: str, bound: float, error: float) -> None:
    stated = {"taylor": taylor_error, "chebyshev": chebyshev_error}[kind]
    P = exp_polynomial(bound, error, kind=kind)
    assert P.degree == least_degree(bound, error, kind=kind)
    assert stated(P.degree, float(bound)) <= error
    assert P.degree == 0 or stated(P.degree - 1, float(bound)) > error
    assert P.kind == kind
    assert P.bound == bound


@pytest.mark.parametrize("kind", ["taylor", "chebyshev"])
def test_the_largest_bound_and_the_least_error_that_are_promised(kind: str) -> None:
    P = exp_polynomial(50, 1e-15, kind=kind)
    assert 0 < P.relative_error <= 1e-15
    assert P.positive
    assert all(0 < P.weight_error(50 * k / 16) <= 2e-15 for k in range(1, 17))
    assert not any(abs(at(P.coefficients, x) * (-x).exp() - 1) > P.relative_error for x in grid(50)[::10])


@few
@given(st.lists(st.floats(-6, 6), min_size=1, max_size=30), st.integers(0, 4), st.floats(0, 3))
def test_a_fit_is_positive_and_certified(scores: list[float], half: int, more: float) -> None:
    bound = max(map(abs, scores)) + more
    P = fitted(np.array(scores), 2 * half, bound)
    assert (P.degree, P.bound, P.kind, P.positive) == (2 * half, bound, "fitted", True)
    assert P.weight_error(bound) < math.inf


def test_a_fit_is_better_on_its_scores_and_takes_what_they_do_not_decide_from_chebyshev() -> None:
    scores = np.random.default_rng(0).normal(size=500) / 2
    P = fitted(scores, 4)
    others = taylor(4, P.bound), chebyshev(4, P.bound)
    ours, *theirs = (float(np.square(Q(scores) - np.exp(scores)).sum()) for Q in (P, *others))
    assert ours < min(theirs) / 4
    assert fitted(np.zeros(3), 6, 1.0).relative_error < 2 * chebyshev(6, 1.0).relative_error


def test_a_fit_takes_no_more_of_taylor_than_it_needs() -> None:
    scores = np.concatenate([np.zeros(99), [9.0]])  # the best polynomial of degree 2 is negative somewhere
    best, safe, P = _least_squares(scores, 2, 9.0), taylor(2, 9.0).coefficients, fitted(scores, 2)
    mixtures = [
        tuple((1 - t) * b + t * s for b, s in zip(best, safe, strict=True))
        for t in (Fraction(k, 1024) for k in range(1025))
    ]
    share = mixtures.index(P.coefficients)
    assert share > 0
    assert P.positive
    assert not ExpPolynomial(mixtures[share - 1], 9.0, "any").positive


@few
@given(polynomials())
def test_derivative_and_antiderivative(P: ExpPolynomial) -> None:
    whole = ExpPolynomial(P.antiderivative, P.bound, "any")
    assert whole.derivative == P.coefficients
    assert P.antiderivative[0] == 0
    assert len(P.derivative) == max(1, P.degree)


# --- evaluation


@few
@given(polynomials(), st.lists(st.floats(-1, 1), min_size=1, max_size=20), st.sampled_from((np.float32, np.float64)))
def test_evaluation_stays_within_the_loss(P: ExpPolynomial, shares: list[float], dtype: Any) -> None:
    x = np.clip(np.array(shares) * P.bound, -P.bound, P.bound).astype(dtype)
    x = x[np.abs(x) <= P.bound]
    loss = P.loss(dtype)
    if loss >= 1:
        with pytest.raises(AltgradError, match=r"positive|loses all"):
            P(x)
        return
    computed = P(x)
    assert (computed.dtype, computed.shape) == (dtype, x.shape)
    for ours, point in zip(computed, x, strict=True):
        true = at(P.coefficients, float(point))
        assert not abs(arb(float(ours)) - true) > loss * true


def test_numbers_and_exact_numbers() -> None:
    P = taylor(2, 4.0)
    assert P(2.0) == 5.0
    assert type(P(2.0)) is float
    assert P(np.float32(2.0)).dtype == np.float32
    assert P(np.ones((2, 3))).shape == (2, 3)
    assert P(np.ones(())) == 2.5
    assert P(Fraction(1, 3)) == Fraction(25, 18)
    assert P(2) == 5
    assert arb(5).overlaps(P(arb(2)))
    assert [float(x) for x in P(np.array([arb(2), arb(10)], dtype=object))] == [5.0, 61.0]


def test_what_a_dtype_cannot_evaluate_is_refused_with_what_would_help() -> None:
    P = chebyshev(19, 8.0)
    least = arb(-8).exp()
    allowed = P.loss(np.float64) * (1 + arb(P.relative_error)) + P.relative_error
    assert not abs(float(P(np.array([-8.0]))[0]) - least) > allowed * least
    Q = exp_polynomial(12.0, 0.01)
    with pytest.raises(AltgradError, match=r"x has dtype float32, which loses all of a polynomial of degree \d+ on"):
        Q(np.array([0.0], np.float32))
    with pytest.raises(AltgradError, match=r"needs float64, or a smaller bound"):
        Q(np.float32(0))
    with pytest.raises(AltgradError, match=r"dtype float64, which .* on \[-50, 50\], needs a smaller bound"):
        exp_polynomial(50.0, 0.01)(0.0)
    with pytest.raises(AltgradError, match="is not positive, needs a smaller bound or another degree"):
        taylor(1, 2.0)(0.0)
    assert taylor(2, 1e-3).loss(np.float32) < 7 * 2.0**-24  # six roundings, of a polynomial near 1 throughout
    assert ExpPolynomial((Fraction(10) ** 400,), 1.0, "any").loss(np.float64) == math.inf


@pytest.mark.parametrize("x", [4.5, -4.5, math.nan, math.inf, np.array([0.0, 4.1]), np.array([np.nan], np.float32)])
def test_values_beyond_the_bound_are_refused(x: Any) -> None:
    with pytest.raises(AltgradError, match=r"ExpPolynomial: x has a value beyond the bound, needs values from -4.0"):
        taylor(2, 4.0)(x)


@pytest.mark.parametrize("x", ["1", None, np.array([1]), np.array([1j]), np.array([1.0], np.float16), [1.0], 1j])
def test_other_types_are_refused(x: Any) -> None:
    with pytest.raises(AltgradError, match=r"ExpPolynomial: x has type .*, needs numbers of type float32 or float64"):
        taylor(2, 4.0)(x)


# --- refused input

BAD_BOUNDS = (-1.0, math.nan, math.inf, "1", None, True, 1j, 10**400)
BAD_DEGREES = (-1, 1.0, "2", None, True, DEGREES + 1)


@pytest.mark.parametrize("bound", BAD_BOUNDS)
def test_bad_bounds(bound: Any) -> None:
    for call in (
        lambda: taylor(2, bound),
        lambda: chebyshev(2, bound),
        lambda: exp_polynomial(bound, 0.1),
        lambda: least_degree(bound, 0.1),
        lambda: printed_degree(bound, 0.1),
        lambda: optimal_degree(bound, 0.1),
        lambda: taylor(2, 1.0).weight_error(bound),
        lambda: taylor(2, 1.0).slope_error(bound),
        lambda: taylor(2, 1.0).absolute_error(bound),
        lambda: taylor(2, 1.0).slope_distance(bound),
        lambda: ExpPolynomial((Fraction(1),), bound, "any"),
    ):
        with pytest.raises(AltgradError, match="needs a finite real number that is not negative"):
            call()


@pytest.mark.parametrize("degree", BAD_DEGREES)
def test_bad_degrees(degree: Any) -> None:
    for make in (taylor, chebyshev):
        with pytest.raises(AltgradError, match=f"{make.__name__}: degree is .*, needs an integer from 0 to {DEGREES}"):
            make(degree, 1.0)
    with pytest.raises(AltgradError, match="chebyshev_error: degree is"):
        chebyshev_error(degree, 1.0)
    with pytest.raises(AltgradError, match="fitted: degree"):
        fitted(np.ones(3), degree)


@pytest.mark.parametrize("error", [0.0, 1.0, -0.1, 2.0, math.nan, math.inf, "0.1", None, 1, True])
def test_bad_errors(error: Any) -> None:
    for call in (exp_polynomial, least_degree, printed_degree, optimal_degree):
        with pytest.raises(AltgradError, match="needs a real number between 0 and 1"):
            call(1.0, error)


def test_other_refusals() -> None:
    with pytest.raises(AltgradError, match=r"exp_polynomial: kind is 'remez', needs 'taylor' or 'chebyshev'"):
        exp_polynomial(1.0, 0.1, kind="remez")
    with pytest.raises(AltgradError, match="exp_polynomial: kind is"):
        least_degree(1.0, 0.1, kind="fitted")
    with pytest.raises(AltgradError, match=r"relative_error is 0\.1 at bound 1000, needs one that degree 256 reaches"):
        exp_polynomial(1000.0, 0.1)
    with pytest.raises(AltgradError, match="chebyshev: bound is 1001, needs at most 1000"):
        chebyshev(2, 1001.0)
    with pytest.raises(AltgradError, match="coefficients are all zero"):
        ExpPolynomial((Fraction(0),), 1.0, "any")
    with pytest.raises(AltgradError, match="ExpPolynomial: degree is 300"):
        ExpPolynomial((Fraction(1),) * 301, 1.0, "any")


def test_a_fit_that_is_positive_stays_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    """Barely: a little less of the Taylor polynomial than none of it, and it would not be."""
    best = Fraction(1, 10**6), Fraction(0), Fraction(1)
    monkeypatch.setattr(polynomial, "_least_squares", lambda *_: best)
    assert fitted(np.ones(1), 2).coefficients == best
    monkeypatch.setattr(polynomial, "_least_squares", lambda *_: (Fraction(0),) * 3)  # is no polynomial
    assert fitted(np.ones(1), 2).coefficients == tuple(Fraction(c, 1024) for c in (1, 1, Fraction(1, 2)))


def test_what_cannot_be_fitted() -> None:
    with pytest.raises(AltgradError, match="fitted: degree is 3, needs an even one"):
        fitted(np.ones(3), 3)
    for scores in (np.array([np.nan]), np.array([1.0, np.inf])):
        with pytest.raises(AltgradError, match="fitted: scores are not all finite"):
            fitted(scores, 2)
    for other in (np.array([]), np.array(["1"]), np.array([1j]), np.array([None])):
        with pytest.raises(AltgradError, match=r"fitted: scores have type .*, needs one real number at least"):
            fitted(other, 2)
    with pytest.raises(AltgradError, match=r"fitted: bound is 1, needs at least the largest \|score\|, 2"):
        fitted(np.array([2.0]), 2, 1.0)
    with pytest.raises(AltgradError, match=f"at most {FITS:g}"):
        fitted(np.array([FITS + 1]), 2)
    assert fitted([1, -1], 2).bound == 1.0
    with pytest.raises(AltgradError, match="fitted: bound is nan, needs a finite real number that is not negative"):
        fitted(np.ones(1), 2, math.nan)


# --- I.1, and the limits


def test_a_stated_bound_that_is_just_the_error_is_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(KINDS, "halved", (taylor, lambda degree, bound: arb(2) ** -degree))
    assert least_degree(1.0, 0.25, kind="halved") == 2


@pytest.mark.parametrize(("bound", "digits"), [(1, 100), (40, 1), (40, 5), (1000, 900), (arb(3) / 2, 0)])
def test_the_degree_of_digits_is_the_least_from_half_the_bound(bound: Any, digits: int) -> None:
    enough = (g for g in range(10**4) if not 2 * g < bound and chebyshev_log_error(g, bound) <= -digits)
    assert degree_of_digits(bound, digits) == next(enough)


@pytest.mark.parametrize(("log2_n", "bound", "digits"), [(3, 2, 7), (10, 1, 12), (20, 6, 4)])
def test_exponents_of_the_rank_are_logarithms_of_binomials(log2_n: int, bound: int, digits: int) -> None:
    g = degree_of_digits(bound, digits)
    ours, printed = math.comb(log2_n + g, g), math.comb(2 * (g + log2_n), 2 * g)
    for exponent, rank in ((rank_exponent, ours), (printed_rank_exponent, printed)):
        assert exponent(log2_n, bound, digits).overlaps(arb(rank).log() / (log2_n * arb(2).log()))
        assert exponent(log2_n, bound, digits).rel_accuracy_bits() > 64


def test_no_polynomial_here_surpasses_the_limit() -> None:
    for bound in (0.5, 3.0, 12.0):
        for degree in (0, 3, 10):
            for P in (taylor(degree, bound), chebyshev(degree, bound)):
                assert not digits_limit(degree, bound) < -arb(P.relative_error).log()


@pytest.mark.parametrize("bound", [0.1, 1.0, 5.0, 16.0, 50.0])
def test_necessary_degree_is_the_least_that_the_limit_allows(bound: float) -> None:
    for error in (0.9, 0.1, 1e-3, 1e-15):
        degree = necessary_degree(bound, -arb(error).log())
        assert degree <= least_degree(bound, error)
        assert not digits_limit(degree, bound) < -arb(error).log()
        assert degree == 0 or digits_limit(degree - 1, bound) < -arb(error).log()
    assert necessary_degree(0.0, 100) == 0


@pytest.mark.parametrize("bound", [1.0, 5.0, 16.0, 50.0])
def test_five_times_the_optimal_degree_is_enough(bound: float) -> None:
    for error in (0.999, 0.1, math.exp(-3 * bound), 1e-15):
        enough = sufficient_degree(bound, -arb(error).log())
        assert least_degree(bound, error) <= enough
        assert float(enough) == few_roundings(5 * optimal_degree(bound, error))


def few_roundings(number: float) -> Any:
    """Equal but for the roundings of two quotients, a product, a logarithm and its logarithm, here above ½."""
    return pytest.approx(number, rel=16 * 2.0**-53, abs=0)


def test_the_printed_and_the_optimal_degree() -> None:
    assert printed_degree(2.0, math.exp(-8)) == few_roundings(8 / math.log(4))
    assert optimal_degree(4.0, math.exp(-8)) == few_roundings(8 / math.log(2))
    assert printed_degree(3.0, math.exp(-8)) == 9.0
    assert optimal_degree(9.0, math.exp(-8)) == 9.0  # log(1/ε) ≤ B: the quotient is left out
    assert printed_degree(0.0, 0.1) == optimal_degree(0.0, 0.1) == 0.0
    assert _quotient(8.0, 9.0) == _quotient(8.0, 8.0) == _quotient(8.0, 0.0) == 0.0


@given(st.integers(1, 4), st.integers(1, 3), st.integers(0, 2**32 - 1))
@few
def test_factors_of_the_exponential(n: int, d: int, seed: int) -> None:
    """In balls: the error is the polynomial's. In float64: the same numbers, with the rounding of docs/bounds.md."""
    Q, K = np.random.default_rng(seed).uniform(-1, 1, size=(2, n, d))
    exact_Q, exact_K = (np.array([arb(x) for x in a.flat], dtype=object).reshape(a.shape) for a in (Q, K))
    U, V = exponential_factors(exact_Q, exact_K, 1.0, 1e-3)
    for ours, score in zip((U @ V.T).flat, (exact_Q @ exact_K.T).flat, strict=True):
        true = (arb(score) / d).exp()
        assert abs(ours - true) < 1e-3 * true
    U0, V0 = exponential_factors(Q, K, 1.0, 1e-3)
    g = least_degree(1.0, 1e-3)
    k = math.comb(d + g, g)
    assert U0.shape == V0.shape == (n, k)
    N = 2 * (g - 1) + 2 + k
    for row, column in np.ndindex(n, n):
        sizes = sum(abs(u) * abs(v) for u, v in zip(U[row], V[column], strict=True))
        off = abs(float(U0[row] @ V0[column]) - U[row] @ V[column])
        assert off < N * 2.0**-53 / (1 - N * 2.0**-53) * sizes


def test_the_statements_are_on_record() -> None:
    assert [s.id for s in STATEMENTS] == ["I.1", "own/polynomial", "own/degree"]


# --- the documentation

EXAMPLES = re.findall(r"```python\n(.*?)```\n\n```text\n(.*?)```", DOCS.read_text(encoding="utf-8"), re.DOTALL)


@pytest.mark.parametrize(("code", "shown"), EXAMPLES)
def test_the_tables_of_the_documentation(code: str, shown: str) -> None:
    """Words are the same; numbers with two digits may differ by one in the last of them, on another machine."""
    output = io.StringIO()
    with contextlib.redirect_stdout(output):
        exec(code, {})
    printed = [line.split() for line in output.getvalue().splitlines()]
    expected = [line.split() for line in shown.splitlines()]
    assert [len(line) for line in printed] == [len(line) for line in expected]
    for ours, theirs in zip(chain(*printed), chain(*expected), strict=True):
        assert ours == theirs or ("e" in theirs and abs(Decimal(ours) - Decimal(theirs)) <= last_digit(theirs)), shown


def last_digit(number: str) -> Decimal:
    """What one in the last digit is worth."""
    return Decimal(1).scaleb(int(Decimal(number).as_tuple().exponent))


def test_the_documentation_has_its_tables() -> None:
    assert len(EXAMPLES) == 4
