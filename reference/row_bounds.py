r"""The bounds of one query, from what it has read: the formulas of `certificate`, each written once.

They take numbers or columns of numbers. NumPy evaluates them for a block of queries, (b, 1) or (b, d) at a time;
`compiled_rows` hands the same text to Numba, query by query, in the units of `certificate.Columns`.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any, NamedTuple

import numpy as np

from reference.shapes import FloatArray


class Fixed(NamedTuple):
    """What does not depend on the query."""

    gamma: float  # of the longest path
    u: float  # unit roundoff
    m: float  # number of keys
    floor: float  # what underflow may add to a weight
    power: int  # h
    steepness: float
    e: float
    constant: float  # c_0 of P
    longest_k: float  # of the keys
    scores: float  # B


class Numbers(NamedTuple):
    """What is known of each query once it has read the keys. All are (b, 1)."""

    D: Any
    K: Any
    loss: Any  # D̄/D: how much larger the sum of the absolute values is
    moment: Any  # Σ_j S_ij^h


class Facts(NamedTuple):
    """What the bounds of a block of queries depend on before these have read the keys."""

    reach: Any  # (b, 1), Σ_c |x_c| max|k_c|, at least each |S_ij|
    mu: Any  # (b, 1), Σ_c |dO_c| max|v_c|: q lies within ± this
    moved: Any  # (b, 1), how far rounding may have moved q
    sigma: Any  # (b, 1), and a score
    x: Any  # (b, d), absolute values of the queries
    x_moved: Any  # (b, d), how far rounding may have moved them
    x_moved_most: Any  # (b, 1), in any column
    dO: Any  # (b, e), absolute values
    dO_most: Any  # (b, 1)


class Errors(NamedTuple):
    """Of the polynomial on the part of ±B where the scores of a query lie. All are (b, 1)."""

    weight: Any  # κ − 1
    omega: Any  # max |R/P − 1|
    excess: Any  # |P − exp| ≤ this times S^h
    slope: Any  # |P − R| ≤ this times S^h


class Coefficients(NamedTuple):
    """What the bounds of a block of queries are made of. All are (b, 1), and 0 or more."""

    delta: Any  # |f̃ − f| ≤ δ f̃, from the largest relative error of P
    inverse: Any  # 1/(D̃ − T), T ≥ Σ_j |Ã − A|_ij from the absolute error of P at the scores there are
    tau: Any  # T/(D̃ − T)
    excess: Any  # |P − exp| ≤ this times S^h
    slope: Any  # |P − R| ≤ this times S^h
    by_ratio: Any  # |p̃ − p| ≤ this times f̃, from δ
    spread: Any  # |q − K̃| is at most this
    range: Any  # |q − K| is at most this
    moved: Any  # |p̃ − p| ≤ this times f, from the rounding of V
    growth: Any  # e^σ − 1, σ: how far rounding may have moved a score
    rounding: Any  # what rounding adds to p̃, as a multiple of Ā/D, in the largest key's size
    rho: Any  # relative rounding error of D


class ForKeys(NamedTuple):
    """What a query adds to the sums that the keys read for their bounds."""

    x: Any  # (b, d), with the weights P(S)
    dO: Any  # (b, e)
    x_moment: Any  # (b, d), with the weights S^h
    dO_moment: Any  # (b, e)
    x_absolute: Any  # (b, 1), with the weights P̄(|q||k|)
    dO_absolute: Any  # (b, 1)


def which_bin(lengths: Any, bins: int, fixed: Fixed) -> Any:
    """In which part of ±B the scores of queries of these lengths lie. Shapes: (b,) -> (b,)."""
    share = lengths * fixed.longest_k / fixed.scores  # (b,)
    return np.maximum(np.fmin(np.ceil(share * (1 + 2.0**-20) * bins) - 1, bins - 1), 0)


def largest_inverse(D: Any, rho: Any) -> float:
    """The largest 1/D, of row sums that have a correct digit. Shapes: (b, 1) both."""
    return float(np.where(np.isfinite(rho), 1 / D, 0).max())


def relative_rounding(numbers: Numbers, fixed: Fixed) -> Any:
    """ρ: the relative rounding error of the row sums D; infinite where they may have no correct digit."""
    rho = fixed.gamma * numbers.loss + fixed.m * fixed.floor / numbers.D  # (b, 1)
    sure = np.logical_and(numbers.D > 0, rho < 0.5)  # (b, 1)
    return pick(sure, rho / (1 - fixed.gamma - rho), np.inf)


def coefficients(facts: Facts, errors: Errors, numbers: Numbers, rho: Any, fixed: Fixed) -> Coefficients:
    """What every bound of a query is made of."""
    mu = facts.mu  # (b, 1)
    growth = np.expm1(facts.sigma)  # (b, 1)
    both = growth * (2 + growth)  # (b, 1), e^{2σ} − 1
    delta = or_infinite(errors.weight + both + errors.weight * both)  # (b, 1), κ e^{2σ} − 1
    inexact = 2 * rho + (fixed.e + 4) * fixed.u  # (b, 1), of K, relative to μ
    sums = 2 * fixed.steepness * fixed.gamma * numbers.loss + 4 * rho + inexact  # (b, 1)
    excess = (1 + growth) * errors.excess  # (b, 1)
    moment = numbers.moment + inexact_moment(facts, fixed)  # (b, 1)
    T = excess * moment + growth * numbers.D * (1 + 2 * rho)  # (b, 1), at least Σ_j |Ã − A|_ij
    least = numbers.D * (1 - 2 * rho) - T  # (b, 1)
    inverse = pick(least > 0, 1 / pick(least > 0, least, 1.0), np.inf)  # (b, 1)
    return Coefficients(
        delta,
        inverse,
        or_infinite(T * inverse),
        excess,
        errors.slope,
        (delta + errors.omega) * 2 * mu,
        np.minimum(mu + np.abs(numbers.K) + mu * inexact, 2 * mu) + 2 * facts.moved,
        2 * mu + 2 * facts.moved,
        2 * facts.moved,
        growth,
        (1 + errors.omega) * mu * sums,
        rho,
    )


def inexact_moment(facts: Facts, fixed: Fixed) -> Any:
    """How far rounding may have moved Σ_j S_ij^h. Shapes: -> (b, 1)."""
    return fixed.gamma * fixed.m * facts.reach**fixed.power


def excess_of(facts: Facts, at: Coefficients, D: Any, moments: Any, largest: Any, fixed: Fixed) -> Any:
    """Σ_j |Ã − A|_ij |z_j| over a lower bound of Σ_j A_ij, from Σ_j S_ij^h |z_j|. Shapes: (b, c) -> (b, c)."""
    whole = moments + inexact_moment(facts, fixed) * largest  # (b, c)
    through_sigma = at.growth * D * (1 + 2 * at.rho) * largest  # (b, c)
    return np.minimum(at.tau * largest, (at.excess * whole + through_sigma) * at.inverse)


def output_bound(facts: Facts, at: Coefficients, D: Any, moments: Any, mean: Any, v: Any, fixed: Fixed) -> Any:
    """The lesser of tanh(¼ ln κ) ranges and τ distances, and rounding. Shapes: (b, e) -> (b, e)."""
    by_ratio = 2 * np.tanh(np.log1p(at.delta) / 4) * v  # (b, e)
    far = excess_of(facts, at, D, moments, v, fixed)  # (b, e), Σ_j |Δ|_ij |V_j|/D
    by_moment = or_infinite(far + at.tau * (np.abs(mean) + 2 * at.rho * v))  # (b, e)
    return np.minimum(by_ratio, by_moment) + (2 * at.rho + 6 * fixed.u) * v


def query_bound(
    facts: Facts, at: Coefficients, numbers: Numbers, positive: Any, moments: Any, k: Any, fixed: Fixed
) -> tuple[Any, Any, Any, Any]:
    """Of a bound min(a, b + τ |Σ_j p̃_ij k_j|) + c on Σ_j (p̃ − p)_ij k_j: a, b, τ, c. Shapes: (b, d) -> (b, d)."""
    sizes = positive / numbers.D + 2 * at.rho * k  # (b, d), Σ_j f̃_ij |k_j|
    mean = np.minimum(k, or_infinite(sizes + 2 * at.tau * k))  # (b, d), at least |Σ_j f_ij k_j|
    far = excess_of(facts, at, numbers.D, moments, k, fixed) + at.tau * mean  # (b, d)
    slope = at.slope * (numbers.moment + inexact_moment(facts, fixed)) / numbers.D  # (b, 1)
    through_slope = slope * (1 + 2 * at.rho) * at.spread * k  # (b, d)
    by_moment = at.spread * far + at.tau * (at.rounding * k + through_slope) + through_slope  # (b, d)
    return at.by_ratio * sizes, by_moment, at.tau, at.moved * k + at.rounding * k


def for_keys(facts: Facts, at: Coefficients, numbers: Numbers, q: Any, fixed: Fixed) -> ForKeys:
    """What the keys sum. Each query goes by the ratio or by the moment, whichever promises less."""
    D, sure = numbers.D, np.isfinite(at.tau)  # (b, 1)
    slope_K = at.slope * at.spread / D  # (b, 1)
    ratio_K = np.logical_or(at.by_ratio <= 3 * at.tau * at.spread + slope_K * numbers.moment, np.logical_not(sure))
    ratio_V = np.logical_or(at.delta <= 2 * at.tau, np.logical_not(sure))  # (b, 1)
    tau, inverse = pick(sure, at.tau, 0.0), pick(sure, at.inverse, 0.0)  # 0 where it is not used
    grown = D * (1 + 2 * at.rho) * inverse  # (b, 1), D̃/(D̃ − T) = 1 + τ
    by_moment_K = (2 * tau + tau**2 + grown**2 * at.growth) * at.spread  # (b, 1)
    spare = (1 + 4 * at.rho) / D  # (b, 1)
    weights_K = (pick(ratio_K, at.by_ratio, by_moment_K) + at.moved * (1 + at.delta)) * spare  # (b, 1)
    weights_V = pick(ratio_V, at.delta, tau + grown * at.growth) * spare  # (b, 1)
    by_slope = at.excess * grown * at.spread * inverse + slope_K * (1 + 4 * at.rho)  # (b, 1)
    moments_K = pick(ratio_K, 0.0, by_slope)  # (b, 1)
    moments_V = pick(ratio_V, 0.0, at.excess * inverse)  # (b, 1)
    moved = at.range * (1 + at.delta) * spare  # (b, 1), of pᵀ Q, for each unit that rounding has moved Q

    power = facts.reach**fixed.power / (fixed.constant / 2)  # (b, 1), as P̄ ≥ c_0
    sums_K = (weights_K + power * moments_K) * q + moved * facts.x_moved_most  # (b, 1), that round
    sums_V = (weights_V + power * moments_V) * facts.dO_most  # (b, 1)
    rounding_V = (2 * fixed.gamma + at.rho) / D * facts.dO_most  # (b, 1)
    return ForKeys(
        weights_K * facts.x + moved * facts.x_moved,
        weights_V * facts.dO,
        moments_K * facts.x,
        moments_V * facts.dO,
        at.rounding / D * q + 2 * fixed.gamma * sums_K,
        rounding_V + 2 * fixed.gamma * sums_V,
    )


def pick(condition: Any, one: Any, other: Any) -> Any:
    """`numpy.where`, of which Numba makes a number for numbers."""
    return np.where(condition, one, other)


def or_infinite(bound: FloatArray) -> FloatArray:
    """No bound is an infinite one: infinity times zero is not a number."""
    return pick(np.isnan(bound), np.inf, bound)


# --- query by query


class Units(NamedTuple):
    """What the columns of queries, keys, values and cotangents are measured in, and what they may be off by."""

    k: Any  # (d,), largest absolute entries
    v: Any  # (e,)
    per_q: Any  # (d,), one over the largest absolute entries, or 0
    per_v: Any  # (e,)
    per_dO: Any  # (e,)
    V_error: Any  # (e,)


def facts_of(x: Any, dO: Any, x_moved: Any, units: Units) -> tuple[Any, Facts]:
    """Length and facts of one query. Shapes: x, x_moved (d,), dO (e,) or empty."""
    squares = reach = sigma = largest = largest_moved = 0.0
    for c in range(len(x)):
        size = abs(np.float64(x[c]))
        squares += size * size
        reach += size * units.k[c]
        sigma += x_moved[c] * units.k[c]
        largest = max(largest, size * units.per_q[c])
        largest_moved = max(largest_moved, x_moved[c] * units.per_q[c])
    mu = moved = largest_dO = 0.0
    for c in range(len(dO)):
        size = abs(np.float64(dO[c]))
        mu += size * units.v[c]
        moved += size * units.V_error[c]
        largest_dO = max(largest_dO, size * units.per_dO[c])
    return np.sqrt(squares), Facts(
        reach, mu, moved, sigma, largest, largest_moved, largest_moved, largest_dO, largest_dO
    )


def judged(length: Any, facts: Facts, numbers: Numbers, table: Any, fixed: Fixed) -> Coefficients:
    """The coefficients of one query, by the errors on its part of the range. Shapes: table (bins, 4)."""
    b = int(which_bin(length, len(table), fixed))
    errors = Errors(table[b, 0], table[b, 1], table[b, 2], table[b, 3])
    return coefficients(facts, errors, numbers, relative_rounding(numbers, fixed), fixed)


def gradient_rows(
    numbers: Any, positive: Any, moments: Any, x: Any, dO: Any, x_moved: Any, table: Any, units: Units, fixed: Fixed,
) -> tuple[Any, Any, Any, Any, float, float]:  # fmt: skip
    """What the keys sum, and the four parts of `query_bound`; the largest ρ and 1/D.

    The first of what the keys sum begins with y. Shapes: numbers (b, 4), positive (b, 1), moments (b, 2), of keys and
    values, x (b, d), dO (b, e), x_moved (b, d) or (1, d) -> (b, 1 + e + 2), (b, 2), (b, 2), (b, 4), numbers.
    """
    n, e = dO.shape
    factor, moment_sums = np.empty((n, e + 3), x.dtype), np.empty((n, 2), x.dtype)  # (b, 1 + e + 2), (b, 2)
    absolute, parts = np.empty((n, 2), x.dtype), np.empty((n, 4))  # (b, 2), (b, 4)
    worst = inverse = 0.0
    for i in range(n):
        D, K, loss, moment = numbers[i]
        one = Numbers(np.float64(D), np.float64(K), np.float64(loss), np.float64(moment))
        length, facts = facts_of(x[i], dO[i], x_moved[i % len(x_moved)], units)
        at = judged(length, facts, one, table, fixed)
        worst = max(worst, at.rho)
        if at.rho < np.inf:
            inverse = max(inverse, 1 / one.D)
        sums = for_keys(facts, at, one, 1.0, fixed)
        factor[i, 0] = -K / D
        for c in range(e):
            factor[i, 1 + c] = dO[i, c] / D
        factor[i, 1 + e], factor[i, 2 + e] = sums.x, sums.dO
        moment_sums[i, 0], moment_sums[i, 1] = sums.x_moment, sums.dO_moment
        absolute[i, 0], absolute[i, 1] = sums.x_absolute, sums.dO_absolute
        found = query_bound(facts, at, one, np.float64(positive[i, 0]), np.float64(moments[i, 0]), 1.0, fixed)
        parts[i, 0], parts[i, 1], parts[i, 2], parts[i, 3] = found
    return factor, moment_sums, absolute, parts, worst, inverse


def output_rows(
    numbers: Any, moments: Any, mean: Any, x: Any, x_moved: Any, table: Any, units: Units, fixed: Fixed,
) -> tuple[Any, float, float]:  # fmt: skip
    """`output_bound` in units of the values; the largest ρ and 1/D.

    Shapes: numbers (b, 4), moments (b, 2), mean (b, e), x (b, d), x_moved (b, d) or (1, d) -> (b,), numbers.
    """
    bound = np.empty(len(x))  # (b,)
    worst = inverse = 0.0
    for i in range(len(x)):
        D, K, loss, moment = numbers[i]
        one = Numbers(np.float64(D), np.float64(K), np.float64(loss), np.float64(moment))
        length, facts = facts_of(x[i], mean[i, :0], x_moved[i % len(x_moved)], units)
        at = judged(length, facts, one, table, fixed)
        worst = max(worst, at.rho)
        if at.rho < np.inf:
            inverse = max(inverse, 1 / one.D)
        largest = 0.0
        for c in range(mean.shape[1]):
            largest = max(largest, abs(np.float64(mean[i, c])) * units.per_v[c])
        bound[i] = output_bound(facts, at, one.D, np.float64(moments[i, 1]), largest, 1.0, fixed)
    return bound, worst, inverse


@cache
def compiled_rows() -> tuple[Callable[..., Any], Callable[..., Any]]:
    """`gradient_rows` and `output_rows`, compiled. What they call stands in this file, or a cache would miss it."""
    from numba import njit  # noqa: PLC0415  # not every installation has it
    from numba.extending import overload, register_jitable  # noqa: PLC0415

    def of_numbers(condition: Any, one: Any, other: Any) -> Any:
        return one if condition else other

    @overload(pick)
    def _(condition: Any, one: Any, other: Any) -> Any:
        return of_numbers

    for formula in (
        which_bin, relative_rounding, coefficients, inexact_moment, excess_of, output_bound, query_bound, for_keys,
        or_infinite, facts_of, judged,
    ):  # fmt: skip
        register_jitable(formula)
    jit = njit(nogil=True, cache=True, error_model="numpy")
    return jit(gradient_rows), jit(output_rows)
