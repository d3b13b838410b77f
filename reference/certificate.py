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

from reference.backend import in_use
from reference.polynomial import ExpPolynomial
from reference.row_bounds import (
    Coefficients,
    Errors,
    Facts,
    Fixed,
    Numbers,
    coefficients,
    for_keys,
    or_infinite,
    output_bound,
    query_bound,
    relative_rounding,
    which_bin,
)
from reference.shapes import FloatArray, refuse

BINS = 16  # in which the bound on the scores of a row is rounded up


def unit(dtype: Any) -> float:
    """u: half the machine epsilon."""
    return float(np.finfo(dtype).eps) / 2


def gamma(k: float, u: float) -> float:
    """γ_k = k u/(1 − k u) (Higham 2002, section 3.1); infinite where the bound does not exist."""
    return k * u / (1 - k * u) if k * u < 1 else float("inf")


def product_rounding(k: float, dtype: Any) -> float:
    """What x @ y may lose with k products to a sum, as a share of |x| @ |y|: γ_k, and what the backend takes first.

    A backend that takes something adds on tensor cores. They align some products and the sum so far to the largest of
    them, and cut off: from four products on at most 3u for each in place of u, and 4u where there are fewer.
    """
    each = in_use().product_error if dtype == np.float32 else 0.0
    return gamma(4 * k if each else k, unit(dtype)) * (1 + each) + each


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
    parts: int = 0  # of the sequence, where each is summed apart before all are added


class Ranges(NamedTuple):
    """Where the operands of a head lie: everything about them that is needed before the first product.

    Queries stand for τ Q · balance, keys for (K − centre)/balance, values for V less the middle of their range;
    `balance` is the power of two that makes the largest entries of queries and keys about equal. Of several heads at
    once the fields are arrays, (H, 1, d), (H, 1, e) and (H, 1, 1).
    """

    centre: FloatArray  # (d,)
    middle: FloatArray  # (e,)
    balance: Any  # float
    q: FloatArray  # (d,), largest absolute entries
    k: FloatArray  # (d,)
    v: FloatArray  # (e,)
    dO: FloatArray  # (e,)
    longest_q: Any  # float, Euclidean norms
    longest_k: Any  # float

    @property
    def scores(self) -> float:
        """B: no score is larger."""
        return float(np.max(self.longest_q * self.longest_k))

    def rounded_up(self) -> float:
        """B to four binary digits: one polynomial serves nearby operands, and does not change as they move."""
        scores = max(self.scores, 2.0**-60)
        digit = 2.0 ** (int(np.floor(log2(scores))) - 3)
        return digit * ceil(scores / digit)


class Read(NamedTuple):
    """What a block of rows reads from the sums over the other side."""

    factor: FloatArray
    positive: FloatArray
    moments: FloatArray
    absolute: FloatArray


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
        self.why = ""  # the bound is infinite, if it is

    @cached_property
    def fixed(self) -> Fixed:
        return Fixed(
            gamma=self.gamma,
            u=unit(self.head.dtype),
            m=float(self.head.m),
            floor=self._floor,
            power=self.power,
            steepness=self._steepness,
            e=float(self.head.e),
            constant=float(self.polynomial.coefficients[0]),
            longest_k=self.ranges.longest_k if self.scores > 0 else 1.0,
            scores=self.scores if self.scores > 0 else 1.0,
        )

    @property
    def table(self) -> FloatArray:
        """What `Errors` are on each sixteenth of ±B. Shapes: -> (BINS, 4)."""
        return error_table(self.polynomial, self.scores, self.power, self.differentiated)

    def facts(self, x: FloatArray, rows: slice, dO: FloatArray | None = None) -> Facts:
        """Shapes: x (b, d), dO (b, e)."""
        head, size, x_moved = self.head, np.abs(x), self.moved(rows)  # (b, d) twice
        cotangent = np.zeros((len(x), head.e)) if dO is None else np.abs(dO)  # (b, e)
        mu = cotangent @ self.ranges.v[:, None]  # (b, 1)
        return Facts(
            reach=size @ self.ranges.k[:, None],
            mu=mu,
            moved=0 * mu if head.V_error is None else cotangent @ head.V_error[:, None],
            sigma=x_moved @ self.ranges.k[:, None] + 0 * mu,
            x=size,
            x_moved=x_moved,
            x_moved_most=x_moved.max(axis=1, keepdims=True),
            dO=cotangent,
            dO_most=cotangent.max(axis=1, keepdims=True),
        )

    def coefficients(self, x: FloatArray, facts: Facts, numbers: Numbers) -> Coefficients:
        """Shapes: x (b, d)."""
        rho = relative_rounding(numbers, self.fixed)  # (b, 1)
        self.accept(float(rho.max()))
        lengths = np.linalg.norm(x.astype(np.float64), axis=1)  # (b,)
        bins = which_bin(lengths, BINS, self.fixed).astype(int)  # (b,)
        errors = Errors(*np.hsplit(self.table[bins], 4))  # (b, 1) each
        return coefficients(facts, errors, numbers, rho, self.fixed)

    def output(
        self, facts: Facts, mean: FloatArray, at: Coefficients, D: FloatArray, moments: FloatArray
    ) -> FloatArray:
        """Shapes: mean (b, e), moments (b, d + e) -> (b, e)."""
        bound: FloatArray = output_bound(facts, at, D, moments[:, self.d :], mean, self.ranges.v, self.fixed)  # (b, e)
        return bound

    def query(self, facts: Facts, numbers: Numbers, at: Coefficients, read: Read, pulled: FloatArray) -> FloatArray:
        """On Σ_j (p̃ − p)_ij k_j. Shapes: (b, d) -> (b, d)."""
        by_ratio, by_moment, tau, more = query_bound(
            facts, at, numbers, read.positive, read.moments[:, : self.d], self.ranges.k, self.fixed
        )  # (b, d)
        bound: FloatArray = np.minimum(by_ratio, or_infinite(by_moment + tau * np.abs(pulled))) + more  # (b, d)
        return bound

    def for_keys(self, facts: Facts, at: Coefficients, numbers: Numbers) -> tuple[FloatArray, FloatArray, FloatArray]:
        """What the keys sum with the weights P(S), S^h and P̄(|q||k|). Shapes: -> (b, d + e) twice, (b, 2)."""
        one = for_keys(facts, at, numbers, self.ranges.q.max(), self.fixed)
        return (
            np.hstack([one.x, one.dO]),
            np.hstack([one.x_moment, one.dO_moment]),
            np.hstack([one.x_absolute, one.dO_absolute]),
        )

    def moved(self, rows: slice) -> FloatArray:
        """How far rounding may have moved the queries, in the units of x. Shapes: -> (b, d)."""
        head, least = self.head, float(np.finfo(self.head.dtype).smallest_subnormal)  # scale Q may underflow
        if head.Q_error is None:
            return np.full((1, head.d), float(least * self.ranges.balance))
        moved: FloatArray = (abs(head.scale) * head.Q_error(rows) + least) * self.ranges.balance  # (b, d)
        return moved

    @cached_property
    def gamma(self) -> float:
        """γ of the longest path of a gradient: monomials and weights, their sums, the sums over rows."""
        head, u = self.head, unit(self.head.dtype)
        blocks_added = (max(head.n, head.m) / self.step + head.parts) * 2.0**-53 / u
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

    def accept(self, worst: float) -> None:
        """Refuse an `rtol` that rounding may exceed, and note where it may take every digit: the largest ρ."""
        if self.rtol is not None and worst > self.rtol:
            self._refuse_precision(worst)
        if worst == np.inf:
            self.why = f"rounding in {self.head.dtype} may exceed the sums of the weights: {self._remedy}"

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

    def whole(self, bound: FloatArray, value: FloatArray, floor: Any) -> FloatArray:
        """The bound with the last roundings of the value, underflow, and its own rounding; never not a number."""
        whole = (bound + 4 * unit(self.head.dtype) * np.abs(value) + floor) * self.spare
        rounded: FloatArray = or_infinite(whole).astype(self.head.dtype)  # (b, c)
        return rounded

    def floor(self, inverse: float, *sizes: float) -> float:
        """What underflow may have added to a value with factors of these sizes, after division by row sums."""
        floor = self._underflow * (1 + 2 * inverse)
        for size in sizes:
            floor *= 1 + size
        return floor

    @property
    def spare(self) -> float:
        """For the rounding of the bound itself."""
        return 1 + 4 * self.gamma + 64 * unit(self.head.dtype)

    @cached_property
    def _underflow(self) -> float:
        """What underflow may add to a sum over all pairs of rows, before it is divided by D."""
        units = (1 + abs(self.head.scale)) * (self.ranges.balance + 1 / self.ranges.balance)
        return float(np.max(self._floor * self.head.m * self.head.n * units))


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
