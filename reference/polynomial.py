r"""Polynomials in place of the exponential, each with a proof of how far off it is.

A polynomial P applied to every score gives a matrix of low rank, exp does not. What the replacement costs is set by
the ratio

.. math:: r(x) = P(x) e^{-x}, \qquad r'(x) = (P'(x) - P(x)) e^{-x},

so r has its extremes over [−b, b] at ±b and at the real zeros of P′ − P, a polynomial with rational coefficients.
These are isolated, r is evaluated there in balls, and three numbers follow, each attained by some x and rounded up:

- the relative error max |r − 1|, what a theorem about exp is stated in;
- the weight error κ − 1 with κ = max r / min r, what attention feels: rows are divided by their sums, so a factor
  that all weights share does not matter. If the relative error is ε < 1 then κ ≤ (1 + ε)/(1 − ε);
- the slope error max |P′/P − 1|, what a gradient through the approximate forward pass feels. Its extremes lie at ±b
  and at the zeros of P″P − P′².

P is positive on [−b, b] exactly if min r is. A Taylor polynomial of even degree is positive on all of R: at a minimum
P(x) = P′(x) + x^g/g! = x^g/g! ≥ 0, and P(0) = 1.

The degree is chosen by a bound that is stated in advance. Taylor: Lagrange's remainder is at most
e^{max(x, 0)} |x|^{g+1}/(g+1)!, and relative to eˣ it is largest at x = −B:

.. math:: |P(x) - e^x| \le e^x \cdot e^B \frac{B^{g+1}}{(g+1)!} .

Chebyshev: exp(Bt) = I_0(B) + 2 Σ_{k ≥ 1} I_k(B) T_k(t) with |T_k| ≤ 1, and eˣ ≥ e^{−B}, so cut off after degree g

.. math:: |P(x) - e^x| \le e^x \cdot 2 e^B \sum_{k > g} I_k(B) .

`docs/polynomial.md` has the derivations in full, and what each kind is for.
"""

from __future__ import annotations

import itertools
import math
import reprlib
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property, lru_cache, reduce
from threading import RLock
from typing import Any

import numpy as np
from flint import arb, arb_poly, ctx, fmpq, fmpq_poly
from numpy.typing import DTypeLike

from reference.low_rank import monomials, weights
from reference.shapes import refuse
from reference.softmax_attention import Array

DEGREES = 256  # the largest: at a bound of 50, Taylor needs 202 for an error of 1e-15
BOUNDS = 1000.0  # the largest at which anything is computed: beyond it an error bound is infinite
FITS = 300.0  # the largest bound at which float64 can hold what a fit needs
BITS = 128  # to begin with, beyond what cancellation takes
ACCURATE = 32  # bits of an error bound that must be right before it is rounded up
_LOCK = RLock()


@contextmanager
def _precision(bits: int) -> Iterator[None]:
    """Balls of so many bits. FLINT's precision is that of all threads, so one at a time has it."""
    with _LOCK, ctx.workprec(bits):
        yield


@dataclass(frozen=True)
class ExpPolynomial:
    """P(x) = c_0 + c_1 x + … + c_g x^g in place of eˣ for |x| ≤ bound. Its error bounds are proved, not given.

    >>> P = taylor(2, 1.0)
    >>> P.coefficients
    (Fraction(1, 1), Fraction(1, 1), Fraction(1, 2))
    >>> P(1.0), P.positive
    (2.5, True)
    >>> round(P.relative_error, 3), round(P.weight_error(1.0), 3), round(P.slope_error(1.0), 3)
    (0.359, 0.478, 1.0)
    """

    coefficients: tuple[Fraction, ...]  # c_0, …, c_g
    bound: float
    kind: str

    def __post_init__(self) -> None:
        coefficients = tuple(Fraction(c) for c in self.coefficients)
        if not any(coefficients):
            refuse("ExpPolynomial", "coefficients", "are all zero", "one that is not")
        _check_degree("ExpPolynomial", len(coefficients) - 1)
        object.__setattr__(self, "coefficients", coefficients)
        object.__setattr__(self, "bound", _checked_bound("ExpPolynomial", "bound", self.bound))

    @property
    def degree(self) -> int:
        return len(self.coefficients) - 1

    @cached_property
    def derivative(self) -> tuple[Fraction, ...]:
        """The coefficients of P′."""
        return tuple(k * c for k, c in enumerate(self.coefficients))[1:] or (Fraction(0),)

    @cached_property
    def antiderivative(self) -> tuple[Fraction, ...]:
        """The coefficients of the polynomial with derivative P and constant 0."""
        return (Fraction(0), *(c / (k + 1) for k, c in enumerate(self.coefficients)))

    @cached_property
    def relative_error(self) -> float:
        """The largest |P(x) e^{−x} − 1| over |x| ≤ bound, rounded up."""
        return _upper_bound(self, self.bound, lambda r: _largest(abs(x - 1) for x in r), _ratios)

    @cached_property
    def positive(self) -> bool:
        """Whether P is proved positive on [−bound, bound]."""
        return self._least_ratio is not None

    def weight_error(self, b: float) -> float:
        """κ − 1 over |x| ≤ b, rounded up; infinite where P is not proved positive there."""
        b = _checked_bound("weight_error", "b", b)
        return _upper_bound(self, b, _spread, _ratios)

    def slope_error(self, b: float) -> float:
        """The largest |P′(x)/P(x) − 1| over |x| ≤ b, rounded up; infinite where P is not proved positive there."""
        b = _checked_bound("slope_error", "b", b)
        if math.isinf(self.weight_error(b)):
            return math.inf
        return _upper_bound(self, b, lambda slopes: _largest(abs(x - 1) for x in slopes), _slopes)

    def absolute_error(self, b: float, power: int = 0) -> float:
        """A c with |P(x) − eˣ| ≤ c |x|^power for |x| ≤ b, rounded up; infinite where none is known.

        A Taylor polynomial has one for each power up to its degree, other polynomials for power 0.
        """
        b = _checked_bound("absolute_error", "b", b)
        if self._is_taylor and power <= self.degree:
            with _precision(BITS):  # Σ_{k > g} |x|^k/k! is at most its first term times e^|x|, or a geometric series
                series = 1 / (1 - arb(b) / (self.degree + 2))
                growth = arb(b).exp() if not series > 0 else series.min(arb(b).exp())
                return _float_above(growth * arb(b) ** (self.degree + 1 - power) / arb.fac_ui(self.degree + 1))
        return _upper_bound(self, b, _largest, _excesses) if power == 0 else math.inf

    def slope_distance(self, b: float, power: int = 0) -> float:
        """A c with |P(x) − P′(x)| ≤ c |x|^power for |x| ≤ b, rounded up; as for `absolute_error`."""
        b = _checked_bound("slope_distance", "b", b)
        if self._is_taylor and power <= self.degree:  # P − P′ = x^g/g!
            with _precision(BITS):
                return _float_above(_ball(self.coefficients[-1]) * arb(b) ** (self.degree - power))
        return _upper_bound(self, b, _largest, _distances) if power == 0 else math.inf

    @cached_property
    def _is_taylor(self) -> bool:
        return all(c * math.factorial(k) == 1 for k, c in enumerate(self.coefficients))

    def loss(self, dtype: DTypeLike) -> float:
        """How far, relatively, P may be off when it is evaluated in a floating-point type: a bound for |x| ≤ bound.

        Horner's rule has 2g roundings on its way, and the coefficients up to two each, so the error is at most
        γ(2g + 2) Σ |c_k| |x|^k, γ(k) = k u/(1 − k u), and P(x) at least e^{−bound} min r. An operation may underflow
        as well. Infinite where P is not proved positive or something may overflow.
        """
        limits, B, g = np.finfo(dtype), self.bound, self.degree
        if self._least_ratio is None:
            return math.inf
        with _precision(BITS):
            sums = [_ball(abs(self.coefficients[-1]))]  # what Horner's rule gives at most, step by step
            for c in self.coefficients[-2::-1]:
                sums.append(sums[-1] * B + _ball(abs(c)))
            if not _largest(sums) * 2 < arb(float(limits.max)):
                return math.inf
            unit = arb(float(limits.eps)) / 2
            gamma = (2 * g + 2) * unit / (1 - (2 * g + 2) * unit)
            powers = reduce(lambda s, _: s * B + 1, range(g), arb(1))  # 1 + B + … + B^g
            underflow = 4 * arb(float(limits.smallest_subnormal)) * powers
            return _float_above((gamma * sums[-1] + underflow) * arb(B).exp() / self._least_ratio)

    @cached_property
    def _least_ratio(self) -> arb | None:
        """The least P(x) e^{−x} over |x| ≤ bound, if it is proved positive."""
        if self.bound > BOUNDS:
            return None
        for bits in _precisions(self, self.bound):
            with _precision(bits):
                least = _least(_ratios(self, self.bound, bits))
                if least > 0:
                    return least
                if least <= 0:
                    return None
        return None

    def __call__(self, x: Any) -> Any:
        """P(x) by Horner's rule, in the type of x: float32 or float64 (a number or an array), or exact numbers.

        What the type cannot evaluate is refused; balls and fractions, alone or in arrays of objects, are not checked.

        >>> taylor(40, 20.0)(np.float32(-20.0))  # doctest: +ELLIPSIS
        Traceback (most recent call last):
            ...
        reference.errors.AltgradError: ExpPolynomial: x has dtype float32, which loses all of a polynomial of degree...
        """
        if isinstance(x, arb) or (isinstance(x, np.ndarray) and x.dtype == object):
            return _horner([fmpq(c.numerator, c.denominator) for c in self.coefficients], x)
        if isinstance(x, Fraction | int):
            return _horner(self.coefficients, x)
        self._check(x)
        return _horner([float(c) for c in self.coefficients], x)

    def _check(self, x: Any) -> None:
        dtype = np.dtype(np.float64) if isinstance(x, float) else getattr(x, "dtype", None)
        if dtype is None or dtype not in (np.dtype(np.float32), np.dtype(np.float64)):  # NumPy takes None for float64
            refuse("ExpPolynomial", "x", f"has type {type(x).__name__}", "numbers of type float32 or float64")
        if self.loss(dtype) >= 1:
            what = f"a polynomial of degree {self.degree} on [-{self.bound:g}, {self.bound:g}]"
            if not self.positive:
                refuse(
                    "ExpPolynomial", "x", f"goes into {what} that is not positive", "a smaller bound or another degree"
                )
            wider = "float64, or " if dtype == np.float32 and self.loss(np.float64) < 1 else ""
            refuse("ExpPolynomial", "x", f"has dtype {dtype}, which loses all of {what}", f"{wider}a smaller bound")
        if not np.all(np.abs(x) <= self.bound):  # a NaN is not
            refuse("ExpPolynomial", "x", "has a value beyond the bound", f"values from -{self.bound} to {self.bound}")


def taylor(degree: int, bound: float) -> ExpPolynomial:
    """The Taylor polynomial of exp at 0: positive everywhere if its degree is even."""
    degree, bound = _check_degree("taylor", degree), _checked_bound("taylor", "bound", bound)
    return ExpPolynomial(tuple(Fraction(1, math.factorial(k)) for k in range(degree + 1)), bound, "taylor")


def chebyshev(degree: int, bound: float) -> ExpPolynomial:
    """The Chebyshev series of exp on [−bound, bound], cut off after `degree`.

    Its coefficients are rounded to dyadic numbers, far more finely than what is cut off.
    """
    degree, bound = _check_degree("chebyshev", degree), _checked_bound("chebyshev", "bound", bound)
    if bound == 0:
        return ExpPolynomial((Fraction(1), *[Fraction(0)] * degree), bound, "chebyshev")
    if bound > BOUNDS:
        refuse("chebyshev", "bound", f"is {bound:g}", f"at most {BOUNDS:g}")
    with _precision(BITS):
        places = 64 + max(0, _exponent((degree + 1) * arb(bound).exp() / chebyshev_error(degree, bound)))
    with _precision(BITS + places + _exponent(arb(bound).exp())):
        series = [_dyadic(c, places) for c in _series(degree, bound)]
    t = fmpq_poly([0, 1 / _rational(Fraction(bound))])
    T, following, P = fmpq_poly([1]), t, fmpq_poly([0])
    for c in series:
        P += c * T
        T, following = following, 2 * t * following - T
    coefficients = [Fraction(int(c.p), int(c.q)) for c in P.coeffs()]
    return ExpPolynomial((*coefficients, *[Fraction(0)] * (degree + 1 - len(coefficients))), bound, "chebyshev")


def _series(degree: int, bound: float) -> list[arb]:
    """I_0(B), 2 I_1(B), …, 2 I_g(B): what exp(Bt) has before T_0(t), T_1(t), …, T_g(t)."""
    return [(1 + (k > 0)) * arb(bound).bessel_i(k) for k in range(degree + 1)]


def fitted(scores: Any, degree: int, bound: float | None = None) -> ExpPolynomial:
    """The polynomial of even degree that is best on the given scores, kept positive on [−bound, bound].

    Least squares of the relative error weighted by eˢ, as attention weights it, which is P(s) − eˢ. It starts from the
    Chebyshev polynomial, which remains where the scores do not decide; then as little as is needed, to 1/1024, of the
    Taylor polynomial of the same degree is mixed in. The bound is the largest |score| unless given. The fit is made in
    float64: whatever it finds, the error bounds are those of the polynomial that it gives.
    """
    scores = np.asarray(scores)
    if not (np.issubdtype(scores.dtype, np.floating) or np.issubdtype(scores.dtype, np.integer)) or scores.size == 0:
        refuse("fitted", "scores", f"have type {scores.dtype}, shape {scores.shape}", "one real number at least")
    scores = scores.astype(np.float64).ravel()  # (m,)
    if not np.isfinite(scores).all():
        refuse("fitted", "scores", "are not all finite", "finite numbers")
    if _check_degree("fitted", degree) % 2:
        refuse("fitted", "degree", f"is {degree}", "an even one: no other polynomial is sure to be made positive")
    largest = float(np.abs(scores).max())
    bound = largest if bound is None else _checked_bound("fitted", "bound", bound)
    if not largest <= bound <= FITS:
        refuse("fitted", "bound", f"is {bound:g}", f"at least the largest |score|, {largest:g}, and at most {FITS:g}")
    best, safe = _least_squares(scores, degree, bound), taylor(degree, bound).coefficients

    def mixed(share: int) -> ExpPolynomial:
        t = Fraction(share, 1024)
        return ExpPolynomial(tuple((1 - t) * b + t * s for b, s in zip(best, safe, strict=True)), bound, "fitted")

    if any(best) and mixed(0).positive:
        return mixed(0)
    too_small, enough = 0, 1024  # a mixture of two positive polynomials is positive, so this can be bisected
    while enough - too_small > 1:
        middle = (too_small + enough) // 2
        too_small, enough = (too_small, middle) if mixed(middle).positive else (middle, enough)
    return mixed(enough)


def exp_polynomial(bound: float, relative_error: float, *, kind: str = "chebyshev") -> ExpPolynomial:
    """The polynomial of least degree whose stated bound is at most `relative_error`, for exp on [−bound, bound].

    `kind` is "chebyshev", of lower degree, or "taylor". The module docstring states both bounds, `docs/polynomial.md`
    derives them. Raises AltgradError for a bound that is negative or not finite, a relative error that is not between
    0 and 1, another kind, and what no degree up to `DEGREES` reaches.

    >>> exp_polynomial(1.0, 0.01).degree, exp_polynomial(1.0, 0.01, kind="taylor").degree
    (4, 5)
    """
    degree = least_degree(bound, relative_error, kind=kind)
    make, _ = KINDS[kind]
    return make(degree, bound)


def least_degree(bound: float, relative_error: float, *, kind: str = "chebyshev") -> int:
    """The least degree whose stated bound, in balls, is at most `relative_error`."""
    bound = _checked_bound("exp_polynomial", "bound", bound)
    epsilon = _checked_epsilon("exp_polynomial", "relative_error", relative_error)
    if kind not in KINDS:
        refuse("exp_polynomial", "kind", f"is {reprlib.repr(kind)}", " or ".join(map(repr, KINDS)))
    _, stated = KINDS[kind]
    for degree in range(DEGREES + 1):
        with _precision(BITS):
            if bound <= BOUNDS and stated(degree, bound) <= epsilon:
                return degree
    return refuse(
        "exp_polynomial",
        "relative_error",
        f"is {epsilon:g} at bound {bound:g}",
        f"one that degree {DEGREES} reaches: a larger one, or a smaller bound",
    )


def taylor_error(degree: int, bound: float) -> arb:
    r"""The stated bound for Taylor, as a ball.

    .. math:: e^B \frac{B^{g+1}}{(g+1)!}
    """
    with _precision(BITS):
        return arb(bound).exp() * arb(bound) ** (degree + 1) / arb.fac_ui(degree + 1)


def chebyshev_error(degree: int, bound: float) -> arb:
    r"""The stated bound for Chebyshev, as a ball: the terms that are left out.

    .. math:: 2 e^B \sum_{k > g} I_k(B)
    """
    return _tails(bound)[_check_degree("chebyshev_error", degree)]


def taylor_error_attained(degree: int, bound: float) -> arb:
    r"""The relative error of the Taylor polynomial, which it has at x = −B, as a ball.

    .. math:: \max_{|x| \le B} |P(x) e^{-x} - 1| = |1 - e^B P(-B)|
    """
    with _precision(BITS + _exponent(arb(bound).exp() ** 2)):
        P = sum(((-arb(bound)) ** k / arb.fac_ui(k) for k in range(degree + 1)), arb(0))
        return abs(1 - arb(bound).exp() * P)


def stated_error(kind: str, bound: float, relative_error: float) -> arb:
    r"""The stated bound at the degree that `exp_polynomial` takes, as a ball.

    .. math:: \max_{|x| \le B} |P(x) e^{-x} - 1| \le \begin{cases}
              e^B B^{g+1}/(g+1)! & \text{Taylor} \\ 2 e^B \sum_{k > g} I_k(B) & \text{Chebyshev} \end{cases}
    """
    _, stated = KINDS[kind]
    return stated(least_degree(bound, relative_error, kind=kind), bound)


def returned_error(kind: str, bound: float, relative_error: float) -> arb:
    r"""The relative error that the polynomial of `exp_polynomial` says it has.

    .. math:: \epsilon_P \ge \max_{|x| \le B} |P(x) e^{-x} - 1|
    """
    return arb(exp_polynomial(bound, relative_error, kind=kind).relative_error)


def computed_relative_error(degree: int, bound: float) -> arb:
    r"""The computed relative error of the Chebyshev polynomial, from the zeros of P′ − P.

    .. math:: \max_{|x| \le B} |P(x) e^{-x} - 1|
    """
    return arb(chebyshev(degree, bound).relative_error)


def computed_weight_error(degree: int, bound: float) -> arb:
    r"""The computed spread of the Chebyshev polynomial, from the zeros of P′ − P.

    .. math:: \kappa - 1 = \frac{\max_{|x| \le B} P(x) e^{-x}}{\min_{|x| \le B} P(x) e^{-x}} - 1
    """
    return arb(chebyshev(degree, bound).weight_error(bound))


def computed_slope_error(degree: int, bound: float) -> arb:
    r"""The computed error of the slope of the Chebyshev polynomial, from the zeros of P″P − P′².

    .. math:: \max_{|x| \le B} |P'(x)/P(x) - 1|
    """
    return arb(chebyshev(degree, bound).slope_error(bound))


def ratio_bound(relative_error: Any) -> Any:
    r"""Largest over least P(x) e^{−x}, for a relative error below 1.

    .. math:: \kappa \le \frac{1 + \epsilon}{1 - \epsilon}
    """
    return (1 + relative_error) / (1 - relative_error)


def inverse_bound(bound: float) -> arb:
    r"""How far a Taylor polynomial of even degree stays from zero, as a ball.

    .. math:: P(x) \ge \min\{1, e^x\}, \qquad 1/P(x) \le e^B
    """
    with _precision(BITS):
        return arb(bound).exp()


def digits_limit(degree: int, bound: Any) -> arb:
    r"""What no polynomial of degree g surpasses, as a ball: with ε its relative error on [−B, B],

    .. math:: \log(1/\epsilon) \le (g + 1) \log\coth\Big(\frac{B}{g + 1}\Big)

    The difference of order g + 1 of P over g + 2 equally spaced points is 0, that of exp is not.
    """
    if bound == 0:
        return arb.pos_inf()
    with _precision(2 * BITS + 2 * degree.bit_length()):
        return -(degree + 1) * (arb(bound) / (degree + 1)).tanh().log()


def necessary_degree(bound: Any, digits: Any) -> int:
    r"""The least degree at which `digits_limit`, which grows with g, does not exclude a relative error of e^{−digits}.

    .. math:: (g + 1) \log\coth\Big(\frac{B}{g + 1}\Big) \ge \log(1/\epsilon)

    The bound and the digits may be integers and balls beyond any float.
    """
    excluded, enough = -1, 1  # degrees: one that is surely excluded, one that is not
    while digits_limit(enough, bound) < digits:
        excluded, enough = enough, 2 * enough
    while enough - excluded > 1:
        middle = (excluded + enough) // 2
        excluded, enough = (middle, enough) if digits_limit(middle, bound) < digits else (excluded, middle)
    return enough


def sufficient_degree(bound: Any, digits: Any) -> arb:
    r"""A ball that is at least a degree at which Chebyshev's stated bound is at most ε = e^{−digits}, for B ≥ 1.

    .. math:: 2 e^B \sum_{k > g} I_k(B) \le \epsilon \quad\text{for some}\quad
              g \le 5 \max\Big\{B,\, \frac{\log(1/\epsilon)}{\log(\log(1/\epsilon)/B)}\Big\}

    Where log(1/ε) ≤ B the quotient is not defined, or negative, and B stands alone.

    >>> sufficient_degree(4, 2), least_degree(4.0, 0.135)
    (20.0000000000000, 9)
    """
    B, L = arb(bound), arb(digits)
    return 5 * (B.max(L / (L / B).log()) if L > B else B)


def log_rank_bound(d: int, bound: Any, digits: Any) -> arb:
    r"""At least the logarithm of the rank binom(d+g, g) at the least degree g that Chebyshev's stated bound allows.

    .. math:: \log \binom{d+g}{g} \le G \Bigl(1 + \log\Bigl(1 + \frac dG\Bigr)\Bigr), \qquad
              G = 5 \max\Big\{B,\, \frac{\log(1/\epsilon)}{\log(\log(1/\epsilon)/B)}\Big\}

    g ≤ G by `sufficient_degree`, binom(d+g, g) ≤ (e (d+g)/g)^g, and the right side grows with G. For d ≤ c log n,
    log(1/ε) ≤ k log n and B = o(log n) it is o(log n), so that the rank is n^{o(1)}.

    >>> log_rank_bound(2, 4, 2).str(4, radius=False)  # of a rank of binom(11, 2) = 55
    '21.91'
    """
    G = sufficient_degree(bound, digits)
    return G * (1 + (1 + d / G).log())


def chebyshev_log_error(degree: int, bound: Any) -> arb:
    r"""At least the logarithm of Chebyshev's stated bound, in closed form, as a ball, for B < 2g + 4.

    .. math:: 2 e^B \sum_{k > g} I_k(B) \le \frac{2 e^{B + B^2/(4g+8)} (B/2)^{g+1}}{(g+1)!\, (1 - B/(2g+4))}

    I_k(B) is at most (B/2)^k/k! · e^{B²/(4k+4)}, and I_{k+1}(B) at most (B/2)/(k+1) of I_k(B).
    """
    B, N = arb(bound), degree + 2
    growth = B + B**2 / (4 * N) + arb(2).log() - (1 - B / (2 * N)).log()
    return growth + (degree + 1) * (B / 2).log() - arb(N).lgamma()


def degree_of_digits(bound: Any, digits: Any) -> int:
    r"""The least degree g ≥ B/2 whose `chebyshev_log_error` is at most −digits, for B > 0: ε = e^{−digits}.

    The bound and the digits may be integers and balls beyond any float.

    >>> degree_of_digits(1, 100), least_degree(1.0, 3.7e-44)
    (31, 31)
    """
    with _precision(BITS):
        low = int((arb(bound) / 2).upper().ceil().unique_fmpz() or 0) - 1  # below which nothing is looked for
        high = low + 1
        while not chebyshev_log_error(high, bound) <= -digits:
            low, high = high, 2 * high + 1
        while high - low > 1:
            middle = (low + high) // 2
            low, high = (low, middle) if chebyshev_log_error(middle, bound) <= -digits else (middle, high)
        return high


def rank_exponent(log2_n: int, bound: Any, digits: Any) -> arb:
    r"""By which power of n the rank is bounded, for d = log2 n, |scores| ≤ B and ε = e^{−digits}, as a ball.

    .. math:: \frac{\log \binom{d+g}{g}}{\log n}, \qquad d = \log_2 n

    so that a cost proportional to n · rank is n to the power 1 more than that; g by `degree_of_digits`.

    >>> rank_exponent(20, 1, 20 * arb(2).log()).str(2, radius=False)  # ε = 1/n at n = 2^20
    '0.99'
    """
    g = degree_of_digits(bound, digits)
    with _precision(BITS):
        return _log_binomial(log2_n + g, g) / (log2_n * arb(2).log())


def printed_rank_exponent(log2_n: int, bound: Any, digits: Any) -> arb:
    r"""The same with the rank bound that I.1 prints.

    .. math:: \frac{\log \binom{2(g+d)}{2g}}{\log n}, \qquad d = \log_2 n
    """
    g = degree_of_digits(bound, digits)
    with _precision(BITS):
        return _log_binomial(2 * (g + log2_n), 2 * g) / (log2_n * arb(2).log())


def _log_binomial(n: int, k: int) -> arb:
    return arb(n + 1).lgamma() - arb(k + 1).lgamma() - arb(n - k + 1).lgamma()


@lru_cache(maxsize=64)
def _tails(bound: float) -> tuple[arb, ...]:
    """2 e^B Σ_{k > g} I_k(B) for g = 0, 1, …

    Downwards, by I_{k−1} = (2k/B) I_k + I_{k+1}. The terms above the first one are at most geometric, since
    I_{k+1} ≤ I_k (B/2)/(k+1) ≤ I_k/2.
    """
    if bound == 0:
        return (arb(0),) * (DEGREES + 1)
    first = DEGREES + math.ceil(bound) + 64
    with _precision(2 * BITS):
        B = arb(bound)
        above, here = B.bessel_i(first + 1), B.bessel_i(first)
        sums = [arb(0).union(here)]  # Σ_{k > first} I_k, then one term more each
        for k in range(first, 0, -1):
            sums.append(sums[-1] + here)
            above, here = here, 2 * k / B * here + above
        return tuple(2 * B.exp() * sum for sum in sums[: -DEGREES - 2 : -1])


KINDS: dict[str, tuple[Callable[[int, float], ExpPolynomial], Callable[[int, float], arb]]] = {
    "taylor": (taylor, taylor_error),
    "chebyshev": (chebyshev, chebyshev_error),
}


def printed_degree(R: float, epsilon: float) -> float:
    r"""The degree of I.1, without its constant, for entries of at most R: scores of at most R².

    .. math:: \max\Big\{\frac{\log(1/\epsilon)}{\log(\log(1/\epsilon)/R)},\, R^2\Big\}

    Where log(1/ε) ≤ R the quotient is not defined, or negative, and R² stands alone.
    """
    R, L = _checked_bound("printed_degree", "R", R), -math.log(_checked_epsilon("printed_degree", "epsilon", epsilon))
    return max(_quotient(L, R), R**2)


def optimal_degree(B: float, epsilon: float) -> float:
    r"""The optimal degree of Aggarwal and Alman (2022), without its constant, for scores of at most B.

    .. math:: \max\Big\{B,\, \frac{\log(1/\epsilon)}{\log(\log(1/\epsilon)/B)}\Big\}

    Where log(1/ε) ≤ B the quotient is not defined, or negative, and B stands alone.
    """
    B, L = _checked_bound("optimal_degree", "B", B), -math.log(_checked_epsilon("optimal_degree", "epsilon", epsilon))
    return max(B, _quotient(L, B))


def _quotient(L: float, R: float) -> float:
    """L/log(L/R), where that is positive."""
    return L / math.log(L / R) if 0 < R < L else 0.0


def rank_bound(g: int, d: int) -> int:
    r"""The rank of I.1.

    .. math:: r \le \binom{2(g + d)}{2g}

    >>> rank_bound(2, 8)
    4845
    """
    return math.comb(2 * (g + d), 2 * g)


def exponential_factors(Q: Array, K: Array, R: float, epsilon: float) -> tuple[Array, Array]:
    r"""Factors of an approximation of exp(QKᵀ/d) with relative error ε, for entries of at most R (I.1).

    .. math:: |(U_0 V_0^\top)_{ij} - A_{ij}| \le \epsilon A_{ij}, \qquad A = \exp(Q K^\top / d)

    The scores are at most R². Shapes: Q, K (n, d) -> U0, V0 (n, binom(d + g, g)).

    >>> U0, V0 = exponential_factors(np.array([[1.0]]), np.array([[-1.0]]), 1.0, 0.01)
    >>> U0.shape, (U0 @ V0.T).round(4), np.exp(-1.0).round(4)
    ((1, 5), array([[0.3684]]), np.float64(0.3679))
    """
    d = Q.shape[1]
    P = exp_polynomial(R**2, epsilon)
    weight = weights([c / d**k for k, c in enumerate(P.coefficients)], d)  # of P(x/d)
    number = _rational if Q.dtype == object else Q.dtype.type
    w = np.array([number(c) for c in weight], Q.dtype)  # (k,)
    return monomials(Q, P.degree).T * w, monomials(K, P.degree).T


# --- extremes


def _upper_bound(
    P: ExpPolynomial,
    b: float,
    quantity: Callable[[tuple[arb, ...]], arb],
    values: Callable[[ExpPolynomial, float, int], tuple[arb, ...]],
) -> float:
    """A quantity of the values that decide it, with as much precision as it takes, rounded up."""
    if b > BOUNDS:
        return math.inf
    found = arb.pos_inf()
    for bits in _precisions(P, b):
        with _precision(bits):
            found = quantity(values(P, b, bits))
        if found.is_exact() or found.rel_accuracy_bits() >= ACCURATE:
            break
    return _float_above(found)


def _precisions(P: ExpPolynomial, b: float) -> Iterable[int]:
    """Bits enough for the cancellation in P(x) e^{−x} at |x| ≤ b, then more.

    Powers of two, the same for every b up to the bound: the zeros are found once.
    """
    largest = max(b, P.bound)
    with _precision(BITS):
        majorant = _horner([_ball(abs(c)) for c in P.coefficients], arb(largest)) * arb(largest).exp()
        bits = 1 << (BITS + max(0, _exponent(majorant)) - 1).bit_length()
    return (bits, 2 * bits, 4 * bits, 8 * bits)


def _ratio(P: ExpPolynomial) -> Callable[[arb], arb]:
    """x ↦ P(x) e^{−x}."""
    p = arb_poly(_exact(P))
    return lambda x: p(x) * (-x).exp()


def _slope(P: ExpPolynomial) -> Callable[[arb], arb]:
    """x ↦ P′(x)/P(x)."""
    p, D = arb_poly(_exact(P)), arb_poly(_exact(P).derivative())
    return lambda x: D(x) / p(x)


def _ratios(P: ExpPolynomial, b: float, bits: int) -> tuple[arb, ...]:
    """r = P(x) e^{−x} at ±b and wherever in between it may have an extreme."""
    r = _ratio(P)
    return (r(arb(b)), r(arb(-b)), *(value for _, value in _inside(b, _ratio_extremes(P, bits))))


def _slopes(P: ExpPolynomial, b: float, bits: int) -> tuple[arb, ...]:
    """P′/P at ±b and wherever in between it may have an extreme."""
    slope = _slope(P)
    return (slope(arb(b)), slope(arb(-b)), *(value for _, value in _inside(b, _slope_extremes(P, bits))))


PIECES = 64  # of [−b, b], in each of which eˣ is bounded by its last value


def _excesses(P: ExpPolynomial, b: float, bits: int) -> tuple[arb, ...]:
    """On each piece, a bound on |P(x) − eˣ| = eˣ |r − 1|: r is monotonic between its extremes."""
    ends, r = [arb(b) * k / PIECES for k in range(-PIECES, PIECES + 1)], _ratio(P)
    distances = [abs(r(x) - 1) for x in ends]
    inner = [(x, abs(value - 1)) for x, value in _inside(b, _ratio_extremes(P, bits))]
    return tuple(
        high.exp() * _largest([d, e, *(r for x, r in inner if not (x < low or x > high))])
        for low, high, d, e in zip(ends, ends[1:], distances, distances[1:], strict=False)
    )


def _distances(P: ExpPolynomial, b: float, bits: int) -> tuple[arb, ...]:
    """|P − P′| at ±b and wherever in between it may have an extreme."""
    d = _exact(P) - _exact(P).derivative()
    value = arb_poly(d)
    zeros = _real_zeros(d.derivative(), bits) if d.degree() > 1 else [arb(0)]
    extremes = tuple((x, value(x)) for x in zeros)
    return (abs(value(arb(b))), abs(value(arb(-b))), *(abs(v) for _, v in _inside(b, extremes)))


def _inside(b: float, extremes: tuple[tuple[arb, arb], ...]) -> list[tuple[arb, arb]]:
    """The points that are not surely beyond ±b, with the values there."""
    return [(x, value) for x, value in extremes if not abs(x) > b]


@lru_cache(maxsize=64)
def _ratio_extremes(P: ExpPolynomial, bits: int) -> tuple[tuple[arb, arb], ...]:
    p, r = _exact(P), _ratio(P)
    return tuple((x, r(x)) for x in _real_zeros(p.derivative() - p, bits))


@lru_cache(maxsize=64)
def _slope_extremes(P: ExpPolynomial, bits: int) -> tuple[tuple[arb, arb], ...]:
    p, D, slope = _exact(P), _exact(P).derivative(), _slope(P)
    return tuple((x, slope(x)) for x in _real_zeros(D.derivative() * p - D * D, bits))


def _real_zeros(p: fmpq_poly, bits: int) -> list[arb]:
    """Enclosures of all real zeros: FLINT isolates the complex ones, and gives real ones no imaginary part."""
    with _precision(bits):
        zeros: list[tuple[Any, int]] = p.complex_roots()  # type: ignore[assignment]  # FLINT's stub has them wrong
        return [zero.real for zero, _ in zeros if zero.imag == 0]


@lru_cache(maxsize=64)
def _exact(P: ExpPolynomial) -> fmpq_poly:
    return fmpq_poly([_rational(c) for c in P.coefficients])


def _largest(values: Iterable[arb]) -> arb:
    return reduce(lambda a, b: a.max(b), values)


def _least(values: Iterable[arb]) -> arb:
    return reduce(lambda a, b: a.min(b), values)


def _spread(ratios: Iterable[arb]) -> arb:
    """Largest over least − 1; infinite if the least is not positive, a ball that says nothing if that is not known."""
    ratios = tuple(ratios)
    least = _least(ratios)
    return arb.pos_inf() if least <= 0 else _largest(ratios) / least - 1


# --- the fit


def _least_squares(scores: Any, degree: int, bound: float) -> tuple[Fraction, ...]:
    """Coefficients that minimise Σ (P(s) − eˢ)². Shapes: scores (m,)."""
    start = chebyshev(degree, bound).coefficients
    if bound == 0:
        return start
    basis = np.polynomial.chebyshev.chebvander(scores / bound, degree)  # (m, g+1): T_k(s/B)
    with _precision(BITS):
        series = np.array([float(c) for c in _series(degree, bound)])  # (g+1,)
    step, *_ = np.linalg.lstsq(basis, np.exp(scores) - basis @ series, rcond=None)  # (g+1,)
    in_t = np.polynomial.chebyshev.cheb2poly(step)  # of t = s/B, without trailing zeros
    B = Fraction(bound)
    pairs = itertools.zip_longest(start, in_t, fillvalue=0)
    return tuple(c + Fraction(float(a)) / B**k for k, (c, a) in enumerate(pairs))


# --- numbers


def _horner(coefficients: Any, x: Any) -> Any:
    """c_0 + x (c_1 + x (c_2 + …)); the first step gives it the type and shape of x."""
    result = 0 * x + coefficients[-1]
    for c in coefficients[-2::-1]:
        result = result * x + c
    return result


def _rational(x: Fraction) -> fmpq:
    return fmpq(x.numerator, x.denominator)


def _ball(x: Fraction) -> arb:
    return arb(_rational(x))


def _dyadic(x: arb, places: int) -> fmpq:
    """A ball's middle, rounded to so many binary places."""
    whole = (x * 2**places).mid().floor().unique_fmpz()
    assert whole is not None  # it is the floor of one number
    return fmpq(whole, 2**places)


def _exponent(x: arb) -> int:
    """An upper bound, to within 2, of log2 |x|; 0 for 0."""
    mantissa, exponent = abs(x).upper().man_exp()
    return int(exponent) + int(mantissa).bit_length() if mantissa else 0


def _float_above(x: arb) -> float:
    """The least float64 that is surely not below x; infinite if x is not known to be finite."""
    if not x.is_finite():
        return math.inf
    above = x.upper()
    nearest = float(above)
    return nearest if above <= nearest else float(np.nextafter(nearest, math.inf))


def _check_degree(function: str, degree: object) -> int:
    if not isinstance(degree, int | np.integer) or isinstance(degree, bool) or not 0 <= degree <= DEGREES:
        refuse(function, "degree", f"is {reprlib.repr(degree)}", f"an integer from 0 to {DEGREES}")
    return int(degree)


def _checked_bound(function: str, operand: str, bound: object) -> float:
    real = isinstance(bound, int | float | np.floating | np.integer) and not isinstance(bound, bool | np.timedelta64)
    value = _float(bound) if real else math.nan
    if not 0 <= value < math.inf:
        refuse(function, operand, f"is {reprlib.repr(bound)}", "a finite real number that is not negative")
    return value


def _checked_epsilon(function: str, operand: str, epsilon: object) -> float:
    real = isinstance(epsilon, float | np.floating)
    value = _float(epsilon) if real else math.nan
    if not 0 < value < 1:
        refuse(function, operand, f"is {reprlib.repr(epsilon)}", "a real number between 0 and 1")
    return value


def _float(x: Any) -> float:
    try:
        return float(x)
    except OverflowError:  # an int beyond float64
        return math.inf
