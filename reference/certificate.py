r"""The bound that is returned with every fast attention and gradient.

`docs/bounds.md` derives each line. With A = exp(S), Ã = P(S) and Δ = A − Ã there are two ways to bound what the
approximation does, and each query takes the better one:

- by the ratio: Ã/A lies within a factor κ = 1 + δ on the range of its scores, so |f̃ − f| ≤ δ f̃ entrywise;
- by a moment: |P(x) − eˣ| ≤ c |x|^h there, so |Δ_ij| ≤ c S_ij^h with h even, whose sums over the pairs that there are
  come from the monomials of degree h. A Taylor polynomial has such a c for every h up to its degree, any other for
  h = 0. Most scores lie far within their range, and this sees it.

Rounding is γ times the same sums over absolute values. Where a row sum D may have lost every digit the bound is
infinite, and `why` says so.
"""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from functools import cached_property, lru_cache
from math import ceil, log2
from typing import Any, NamedTuple

import numpy as np

from reference.polynomial import ExpPolynomial
from reference.shapes import FloatArray, refuse

BINS = 16  # in which the bound on the scores of a row is rounded up


def unit(dtype: Any) -> float:
    """u: half the machine epsilon."""
    return float(np.finfo(dtype).eps) / 2


def gamma(k: float, u: float) -> float:
    """γ_k = k u/(1 − k u) (Higham 2002, section 3.1); infinite where the bound does not exist."""
    return k * u / (1 - k * u) if k * u < 1 else float("inf")


class Head(NamedTuple):
    """One head: what gives a block of rows of each operand, and how far rounding may have moved Q and V."""

    n: int
    m: int
    d: int
    e: int
    dtype: np.dtype[Any]
    scale: float
    causal: bool
    Q: Callable[[slice], FloatArray]  # (b, d)
    K: Callable[[slice], FloatArray]  # (b, d)
    V: Callable[[slice], FloatArray]  # (b, e)
    dO: Callable[[slice], FloatArray] | None = None  # (b, e)
    Q_error: Callable[[slice], FloatArray] | None = None  # (b, d)
    V_error: FloatArray | None = None  # (e,)


class Ranges(NamedTuple):
    """Where the operands of a head lie: everything about them that is needed before the first product.

    Queries stand for τ Q · balance, keys for (K − centre)/balance, values for V less the middle of their range;
    `balance` is the power of two that makes the largest entries of queries and keys about equal.
    """

    centre: FloatArray  # (d,)
    middle: FloatArray  # (e,)
    balance: float
    q: FloatArray  # (d,), largest absolute entries
    k: FloatArray  # (d,)
    v: FloatArray  # (e,)
    dO: float
    longest_q: float  # Euclidean norms
    longest_k: float

    @property
    def scores(self) -> float:
        """B: no score is larger."""
        return self.longest_q * self.longest_k

    def rounded_up(self) -> float:
        """B to four binary digits: one polynomial serves nearby operands, and does not change as they move."""
        scores = max(self.scores, 2.0**-60)
        digit = 2.0 ** (int(np.floor(log2(scores))) - 3)
        return digit * ceil(scores / digit)


class Numbers(NamedTuple):
    """What is known of each query once it has read the keys. All are (b, 1)."""

    D: FloatArray
    K: FloatArray
    loss: FloatArray  # D̄/D: how much larger the sum of the absolute values is
    moment: FloatArray  # Σ_j S_ij^h


class Read(NamedTuple):
    """What a block of rows reads from the sums over the other side."""

    factor: FloatArray
    positive: FloatArray
    moments: FloatArray
    absolute: FloatArray


class Coefficients(NamedTuple):
    """What the bounds of a block of queries are made of. All are (b, 1), and 0 or more."""

    delta: FloatArray  # |f̃ − f| ≤ δ f̃, from the largest relative error of P
    inverse: FloatArray  # 1/(D̃ − T), T ≥ Σ_j |Ã − A|_ij from the absolute error of P at the scores there are
    tau: FloatArray  # T/(D̃ − T)
    excess: FloatArray  # |P − exp| ≤ this times S^h
    slope: FloatArray  # |P − R| ≤ this times S^h
    by_ratio: FloatArray  # |p̃ − p| ≤ this times f̃, from δ
    spread: FloatArray  # |q − K̃| is at most this
    range: FloatArray  # |q − K| is at most this
    moved: FloatArray  # |p̃ − p| ≤ this times f, from the rounding of V
    sigma: FloatArray  # how far rounding may have moved a score
    rounding: FloatArray  # what rounding adds to p̃, as a multiple of Ā/D, in the largest key's size
    rho: FloatArray  # relative rounding error of D


class Certificate:
    """The bounds of one head. `top`, `widest` and `step` are the sizes of its monomials and blocks."""

    def __init__(
        self, head: Head, ranges: Ranges, polynomial: ExpPolynomial, *, differentiated: bool, power: int, top: int,
        widest: int, step: int, largest_weight: float, scores: float, rtol: float | None, words: Any,
    ) -> None:  # fmt: skip
        self.head, self.ranges, self.polynomial, self.d = head, ranges, polynomial, head.d
        self.differentiated, self.power, self.top = differentiated, power, top
        self.widest, self.step, self.largest_weight = widest, step, largest_weight
        self.scores, self.rtol, self.words = scores, rtol, words  # scores: at least those of all heads
        self._largest_inverse = 0.0  # of the row sums so far
        self.why = ""  # the bound is infinite, if it is

    def coefficients(self, x: FloatArray, rows: slice, numbers: Numbers, dO: FloatArray | None = None) -> Coefficients:
        head = self.head
        rho = self._relative_rounding(numbers.D, numbers.loss)  # (b, 1)
        size = np.zeros((len(x), head.e)) if dO is None else np.abs(dO)  # (b, e)
        mu = size @ self.ranges.v[:, None]  # (b, 1), half of M
        moved = 0 * mu if head.V_error is None else size @ head.V_error[:, None]  # (b, 1)
        sigma = self.moved(rows) @ self.ranges.k[:, None] + 0 * mu  # (b, 1)
        table = error_table(self.polynomial, self.scores, self.power, self.differentiated)[self._bin(x)]  # (b, 4)
        weight, omega, excess, slope = np.hsplit(table, 4)  # (b, 1) each
        delta = np.expm1(np.log1p(weight) + 2 * sigma)  # (b, 1)
        inexact = 2 * rho + (head.e + 4) * unit(head.dtype)  # (b, 1), of K, relative to μ
        sums = 2 * self._steepness * self.gamma * numbers.loss + 4 * rho + inexact  # (b, 1)
        T, inverse = self._excess(np.exp(sigma) * excess, sigma, x, numbers, rho)  # (b, 1) both
        return Coefficients(
            delta=delta,
            inverse=inverse,
            tau=or_infinite(T * inverse),
            excess=np.exp(sigma) * excess,
            slope=slope,
            by_ratio=(delta + omega) * 2 * mu,
            spread=np.minimum(mu + np.abs(numbers.K) + mu * inexact, 2 * mu) + 2 * moved,
            range=2 * mu + 2 * moved,
            moved=2 * moved,
            sigma=sigma,
            rounding=(1 + omega) * mu * sums,
            rho=rho,
        )

    def _excess(
        self, excess: FloatArray, sigma: FloatArray, x: FloatArray, numbers: Numbers, rho: FloatArray
    ) -> tuple[FloatArray, FloatArray]:
        """T ≥ Σ_j |Ã − A|_ij, and 1/(D̃ − T) or infinity. Shapes: -> (b, 1) both."""
        moment = numbers.moment + self.gamma * self.head.m * self._largest_power(x)  # (b, 1)
        T = excess * moment + np.expm1(sigma) * numbers.D * (1 + 2 * rho)  # (b, 1)
        least = numbers.D * (1 - 2 * rho) - T  # (b, 1)
        sure = least > 0  # (b, 1)
        return T, np.where(sure, 1 / np.where(sure, least, 1), np.inf)

    def _largest_power(self, x: FloatArray) -> FloatArray:
        """(Σ_c |x_c| max|k_c|)^h, at least each |S_ij|^h. Shapes: (b, d) -> (b, 1)."""
        return (np.abs(x) @ self.ranges.k[:, None]) ** self.power

    def _excess_of(
        self, x: FloatArray, at: Coefficients, D: FloatArray, moments: FloatArray, largest: FloatArray
    ) -> FloatArray:
        """Σ_j |Ã − A|_ij |z_j| over a lower bound of Σ_j A_ij, from Σ_j S_ij^h |z_j|. Shapes: (b, c) -> (b, c)."""
        moments = moments + self.gamma * self.head.m * self._largest_power(x) * largest  # (b, c)
        through_sigma = np.expm1(at.sigma) * D * (1 + 2 * at.rho) * largest  # (b, c)
        return np.minimum(at.tau * largest, (at.excess * moments + through_sigma) * at.inverse)

    def output(
        self, x: FloatArray, mean: FloatArray, at: Coefficients, D: FloatArray, moments: FloatArray
    ) -> FloatArray:
        """The lesser of tanh(¼ ln κ) ranges and τ distances, and rounding. Shapes: (b, e) -> (b, e)."""
        v, moved = self.ranges.v, 0 if self.head.V_error is None else self.head.V_error  # (e,)
        by_ratio = 2 * np.tanh(np.log1p(at.delta) / 4) * v  # (b, e)
        far = self._excess_of(x, at, D, moments[:, self.d :], v)  # (b, e), Σ_j |Δ|_ij |V_j|/D
        by_moment = or_infinite(far + at.tau * (np.abs(mean) + 2 * at.rho * v))  # (b, e)
        return np.minimum(by_ratio, by_moment) + (2 * at.rho + 6 * unit(self.head.dtype)) * v + moved

    def query(self, x: FloatArray, numbers: Numbers, at: Coefficients, read: Read, pulled: FloatArray) -> FloatArray:
        """On Σ_j (p̃ − p)_ij k_j. Shapes: (b, d) -> (b, d)."""
        k = self.ranges.k  # (d,)
        sizes = read.positive / numbers.D + 2 * at.rho * k  # (b, d), Σ_j f̃_ij |k_j|
        mean = np.minimum(k, or_infinite(sizes + 2 * at.tau * k))  # (b, d), at least |Σ_j f_ij k_j|
        far = self._excess_of(x, at, numbers.D, read.moments[:, : self.d], k) + at.tau * mean  # (b, d)
        slope = at.slope * (numbers.moment + self.gamma * self.head.m * self._largest_power(x)) / numbers.D  # (b, 1)
        through_slope = slope * (1 + 2 * at.rho) * at.spread * k  # (b, d)
        by_moment = at.spread * far + at.tau * (np.abs(pulled) + at.rounding * k + through_slope) + through_slope
        smaller = np.minimum(at.by_ratio * sizes, or_infinite(by_moment))  # (b, d)
        return smaller + at.moved * k + at.rounding * k

    def for_keys(
        self, at: Coefficients, numbers: Numbers, x: FloatArray, dO: FloatArray, rows: slice
    ) -> tuple[FloatArray, FloatArray, FloatArray]:
        """What the keys sum with the weights P(S), S^h and P̄(|q||k|). Shapes: -> (b, d + e) twice, (b, 2).

        Each query goes by the ratio or by the moment, whichever promises less.
        """
        tau, D, sure = at.tau, numbers.D, np.isfinite(at.tau)  # (b, 1)
        slope_K = at.slope * at.spread / D  # (b, 1)
        ratio_K = (at.by_ratio <= 3 * tau * at.spread + slope_K * numbers.moment) | ~sure  # (b, 1)
        ratio_V = (at.delta <= 2 * tau) | ~sure  # (b, 1)
        tau, inverse = np.where(sure, tau, 0), np.where(sure, at.inverse, 0)  # 0 where it is not used
        grown, more = D * (1 + 2 * at.rho) * inverse, np.expm1(at.sigma)  # (b, 1), D̃/(D̃ − T) = 1 + τ
        by_moment_K = (2 * tau + tau**2 + grown**2 * more) * at.spread  # (b, 1)
        spare = (1 + 4 * at.rho) / D  # (b, 1)
        weights_K = (np.where(ratio_K, at.by_ratio, by_moment_K) + at.moved * (1 + at.delta)) * spare  # (b, 1)
        weights_V = np.where(ratio_V, at.delta, tau + grown * more) * spare  # (b, 1)
        moments_K = np.where(
            ratio_K, 0, at.excess * grown * at.spread * inverse + slope_K * (1 + 4 * at.rho)
        )  # (b, 1)
        moments_V = np.where(ratio_V, 0, at.excess * inverse)  # (b, 1)
        Q_moved = at.range * (1 + at.delta) * spare * self.moved(rows)  # (b, d), in pᵀ Q
        positive = np.hstack([weights_K * np.abs(x) + Q_moved, weights_V * np.abs(dO)])  # (b, d + e)
        moments = np.hstack([moments_K * np.abs(x), moments_V * np.abs(dO)])  # (b, d + e)

        power = self._largest_power(x) / (float(self.polynomial.coefficients[0]) / 2)  # (b, 1), as P̄ ≥ c_0
        q, largest = self.ranges.q.max(), np.abs(dO).max(axis=1, keepdims=True)  # (b, 1)
        sums_K = (weights_K + power * moments_K) * q + Q_moved.max(axis=1, keepdims=True)  # (b, 1), that round
        sums_V = (weights_V + power * moments_V) * largest  # (b, 1)
        rounding_V = (2 * self.gamma + at.rho) / D * largest  # (b, 1)
        absolute = at.rounding / D * q + 2 * self.gamma * sums_K, rounding_V + 2 * self.gamma * sums_V
        return positive, moments, np.hstack(absolute)

    def _bin(self, x: FloatArray) -> Any:
        """In which sixteenth of ±B the scores of each query lie. Shapes: (b, d) -> (b,)."""
        lengths = np.linalg.norm(x.astype(np.float64), axis=1)  # (b,)
        share = lengths * self.ranges.longest_k / self.scores if self.scores > 0 else lengths
        return np.clip(np.ceil(share * (1 + 2.0**-20) * BINS).astype(int) - 1, 0, BINS - 1)

    def moved(self, rows: slice) -> FloatArray:
        """How far rounding may have moved the queries, in the units of x. Shapes: -> (b, d)."""
        head, least = self.head, float(np.finfo(self.head.dtype).smallest_subnormal)  # scale Q may underflow
        if head.Q_error is None:
            return np.full((1, head.d), least * self.ranges.balance)
        return (abs(head.scale) * head.Q_error(rows) + least) * self.ranges.balance

    @cached_property
    def gamma(self) -> float:
        """γ of the longest path of a gradient: monomials and weights, their sums, the sums over rows."""
        head, u = self.head, unit(self.head.dtype)
        blocks_added = max(head.n, head.m) / self.step * 2.0**-53 / u
        path = 6 * self.top + 2 * self.widest + self.top * (head.d + 3) + self.step + head.e + 20 + blocks_added
        return gamma(path, u)

    @cached_property
    def _steepness(self) -> float:
        """r with R̄ ≤ r P̄ for x ≥ 0, the polynomials with the absolute values of the coefficients of R and P."""
        if not self.differentiated or self.polynomial.degree == 0:
            return 1.0
        size, slope = [abs(c) for c in self.polynomial.coefficients], [abs(c) for c in self.polynomial.derivative]
        below_one = as_float(sum(slope) / size[0])  # x ≤ 1: R̄(x) ≤ R̄(1) and P̄(x) ≥ P̄(0); x ≥ 1: R̄(x) ≤ g P̄(x)/x
        return max(float(self.polynomial.degree), below_one, 1.0)

    @cached_property
    def _floor(self) -> float:
        """What underflow may add to a weight Ā_ij: the smallest normal number, for each operation and its factors."""
        ranges = self.ranges
        powers = float((max(1.0, ranges.q.max()) * max(1.0, ranges.k.max())) ** self.top)
        operations = 4 * (self.top + 2) * self.widest
        return float(np.finfo(self.head.dtype).tiny) * operations * max(1.0, self.largest_weight) * powers

    def _relative_rounding(self, D: FloatArray, loss: FloatArray) -> FloatArray:
        """ρ: the relative rounding error of the row sums D; infinite where they may have no correct digit."""
        with np.errstate(all="ignore"):
            rho = self.gamma * loss + self.head.m * self._floor / D  # (b, 1)
            sure = (D > 0) & (rho < 0.5)  # (b, 1)
            rho = np.where(sure, rho / (1 - self.gamma - rho), np.inf)
            self._largest_inverse = max(self._largest_inverse, float((1 / D[sure]).max(initial=0)))
        worst = float(rho.max())
        if self.rtol is not None and worst > self.rtol:
            self._refuse_precision(worst)
        if worst == np.inf:
            self.why = f"rounding in {self.head.dtype} may exceed the sums of the weights: {self._remedy}"
        return rho

    def _refuse_precision(self, worst: float) -> None:
        refuse(
            self.words.function,
            "rtol",
            f"is {self.rtol}, and rounding in {self.head.dtype} alone may reach {worst:.2g} of the attention weights"
            f" for scores up to {self.ranges.scores:.4g}",
            self._remedy,
        )

    @property
    def _remedy(self) -> str:
        return ("float64, or " if self.head.dtype == np.float32 else "") + "smaller scores or a larger rtol"

    def whole(self, bound: FloatArray, value: FloatArray, *sizes: float) -> FloatArray:
        """The bound with the last roundings of the value, underflow, and its own rounding; never not a number.

        `sizes` are those of the factors of the value.
        """
        u, floor = unit(self.head.dtype), self._underflow * (1 + 2 * self._largest_inverse)
        for size in sizes:
            floor *= 1 + size
        whole = (bound + 4 * u * np.abs(value) + floor) * (1 + 4 * self.gamma + 64 * u)
        return or_infinite(whole).astype(self.head.dtype)

    @cached_property
    def _underflow(self) -> float:
        """What underflow may add to a sum over all pairs of rows, before it is divided by D."""
        units = (1 + abs(self.head.scale)) * (self.ranges.balance + 1 / self.ranges.balance)
        return float(self._floor * self.head.m * self.head.n * units)


@lru_cache(maxsize=256)
def error_table(P: ExpPolynomial, B: float, power: int, differentiated: bool) -> FloatArray:
    """κ − 1, max |R/P − 1|, and the excess and slope per S^h, on each sixteenth of ±B. Shapes: -> (BINS, 4)."""
    return np.array(
        [
            (
                P.weight_error(b),
                P.slope_error(b) if differentiated else 0,
                P.absolute_error(b, power),
                P.slope_distance(b, power) if differentiated else 0,
            )
            for b in (B * t / BINS for t in range(1, BINS + 1))
        ]
    )


def as_float(number: Fraction) -> float:
    """The number as a float, infinite beyond their range."""
    try:
        return float(number)
    except OverflowError:
        return float("inf")


def or_infinite(bound: FloatArray) -> FloatArray:
    """No bound is an infinite one: infinity times zero is not a number."""
    return np.where(np.isnan(bound), np.inf, bound)
