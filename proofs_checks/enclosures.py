"""Enclosures over whole ranges: the polynomials that `exp_polynomial` returns, and the errors of a given gradient.

`python -m proofs_checks.enclosures` prints the summary that docs/polynomial.md shows, `--all` a line for each
polynomial. The truth shares no step with `reference.polynomial`: no zero is looked for, [−B, B] is bisected.
"""

from __future__ import annotations

import argparse
import heapq
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from fractions import Fraction
from functools import cache
from itertools import count, product
from math import cos, pi
from typing import Any, NamedTuple

import numpy as np
from flint import arb, arb_poly, ctx, fmpq, fmpq_poly

from proofs_checks.equation import DIGITS
from proofs_checks.ground_truth import Truth, ball_gradient, balls, frozen
from proofs_checks.inequality import exact
from proofs_checks.instances import Array
from proofs_checks.record import Claim
from proofs_checks.trial import Counterexample, Result, Trial
from reference import polynomial as formulas
from reference.polynomial import ExpPolynomial

KINDS = ("taylor", "chebyshev")
BOUNDS = (0.25, 0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 32.0)
ERRORS = tuple(float(f"1e-{k}") for k in range(1, 13))
BITS = 640  # e^{2B}, 2⁹³ at B = 32, the smallest error, and the width below come on top of each other
WIDTH = arb(2) ** -128  # of an enclosure, relatively: what is rounded up to a float64 is farther from the truth
CERTAIN = 200  # bits of the error of a given gradient
MOST_BITS = 3200
POINTS = 128  # intervals between the points at which rounding is measured


class Case(NamedTuple):
    """A polynomial is asked for by its kind, the bound of the scores, and the relative error that is allowed."""

    kind: str
    bound: float
    relative_error: float


CASES = tuple(Case(*case) for case in product(KINDS, BOUNDS, ERRORS))


# --- the truth


def enclosed_error(coefficients: Iterable[Fraction], bound: float) -> arb:
    """max |P(x) e^{−x} − 1| over |x| ≤ B.

    Where |x − m| ≤ h, P(x) e^{−x} differs from its value at m by at most h e^{h−m} Σ_k |q_k| h^k, q_k being the
    coefficients of P′ − P in powers of x − m. The piece that may have the largest value is halved until what it may
    have is what is attained, but for `WIDTH`.
    """
    with ctx.workprec(BITS):
        P = fmpq_poly([fmpq(c.numerator, c.denominator) for c in coefficients])
        p, q, number = arb_poly(P), arb_poly(P.derivative() - P), count()

        def error(x: arb) -> arb:
            return abs(p(x) * (-x).exp() - 1)

        def piece(m: arb, h: arb) -> tuple[float, int, arb, arb, arb]:
            """In the order of the most that it may have; a number tells apart what the order does not."""
            change = arb(0)
            for c in reversed(q(arb_poly([m, 1])).coeffs()):
                change = change * h + abs(c)
            most = (error(m) + h * (h - m).exp() * change).upper()
            return -float(most.log()), next(number), most, m, h

        least = error(arb(bound)).lower().max(error(arb(-bound)).lower())
        pieces = [piece(arb(0), arb(bound))]
        while pieces[0][2] > least * (1 + WIDTH):
            *_, m, h = heapq.heappop(pieces)
            for middle in (m - h / 2, m + h / 2):
                heapq.heappush(pieces, piece(middle, h / 2))
                least = least.max(error(middle).lower())
        return least.union(max(most for _, _, most, _, _ in pieces))


@cache
def polynomial(case: Case) -> ExpPolynomial:
    return formulas.exp_polynomial(case.bound, case.relative_error, kind=case.kind)


@cache
def error_of(case: Case) -> arb:
    """What the polynomial that is returned is off by."""
    return enclosed_error(polynomial(case).coefficients, case.bound)


def least_degree(case: Case) -> arb:
    """The least g at which the stated bound is at most ε; Chebyshev's from e^B = I_0(B) + 2 Σ_{k≥1} I_k(B)."""
    with ctx.workprec(BITS):
        B, g = arb(case.bound), 0
        left = B.exp() - B.bessel_i(0)
        term = B
        while not B.exp() * (left if case.kind == "chebyshev" else term) <= case.relative_error:
            g += 1
            left -= 2 * B.bessel_i(g)
            term *= B / (g + 1)
        return arb(g)


def allows_one_less(case: Case) -> bool:
    """Whether the polynomial of the degree before is within ε as well, although its stated bound is not."""
    (make, _), degree = formulas.KINDS[case.kind], polynomial(case).degree
    if degree == 0:
        return False
    before = enclosed_error(make(degree - 1, case.bound).coefficients, case.bound)
    if before <= case.relative_error or before > case.relative_error:
        return bool(before <= case.relative_error)
    raise ValueError(f"the enclosure {before.str(DIGITS)} does not tell, {case}")


# --- false variants


def half_of_it(kind: str, bound: float, relative_error: float) -> arb:
    return formulas.returned_error(kind, bound, relative_error) / 2


def thrice_that(kind: str, bound: float, relative_error: float) -> arb:
    """False: more than twice the truth."""
    return 3 * formulas.returned_error(kind, bound, relative_error)


def at_the_far_end(kind: str, bound: float, relative_error: float) -> arb:
    """False: the relative error at x = B alone."""
    P = formulas.exp_polynomial(bound, relative_error, kind=kind)
    with ctx.workprec(BITS):
        error: arb = abs(P(arb(bound)) * (-arb(bound)).exp() - 1)
        return error


def next_float_below(kind: str, bound: float, relative_error: float) -> arb:
    """False: rounded down, not up."""
    return arb(float(np.nextafter(float(formulas.returned_error(kind, bound, relative_error)), 0.0)))


def stated_without_factor(kind: str, bound: float, relative_error: float) -> arb:
    """False: without e^B."""
    return formulas.stated_error(kind, bound, relative_error) * (-arb(bound)).exp()


def stated_of_the_next(kind: str, bound: float, relative_error: float) -> arb:
    """False: the stated bound of the next degree."""
    _, stated = formulas.KINDS[kind]
    return stated(formulas.least_degree(bound, relative_error, kind=kind) + 1, bound)


def stated_of_the_one_before(kind: str, bound: float, relative_error: float) -> arb:
    """False: more than twice the truth for a small bound, where each degree is far better than the one before."""
    _, stated = formulas.KINDS[kind]
    return stated(max(0, formulas.least_degree(bound, relative_error, kind=kind) - 1), bound)


def one_degree_more(kind: str, bound: float, relative_error: float) -> int:
    return formulas.least_degree(bound, relative_error, kind=kind) + 1


def degree_for_half(kind: str, bound: float, relative_error: float) -> int:
    """False: as for ε/2."""
    return formulas.least_degree(bound, relative_error / 2, kind=kind)


def degree_of_chebyshev(kind: str, bound: float, relative_error: float) -> int:
    """False: Chebyshev's, for Taylor too."""
    return formulas.least_degree(bound, relative_error)


# --- the trial


@dataclass(frozen=True)
class TableTrial(Trial):
    """truth ≤ claim ≤ factor · truth for every case of the table, the truth being enclosed."""

    quantity: str  # the truth, in words
    truth: Callable[[Case], arb]
    factor: int

    @property
    def scope(self) -> str:
        return (
            f"all {len(CASES)} polynomials for B from {BOUNDS[0]:g} to {BOUNDS[-1]:g} and ε from {ERRORS[0]:g} to"
            f" {ERRORS[-1]:g}, Taylor and Chebyshev, each over all of [−B, B]"
        )

    @property
    def complete(self) -> bool:
        return True

    def required(self, profile: str) -> int:
        return len(CASES)

    def run(self, claim: Claim, seed: int) -> Result:
        worst = 0.0
        for case in CASES:
            true = self.truth(case)
            with ctx.workprec(BITS):
                claimed = exact(claim(**case._asdict()))
                if claimed < true or claimed > self.factor * true:
                    return Result("refutes", counterexample=self.counterexample(claim, case, claimed, true))
                if not true <= claimed <= self.factor * true:
                    return Result("open", reason=f"{claimed.str(DIGITS)} and {true.str(DIGITS)} do not tell, {case}")
                worst = max(worst, float((true / claimed).upper()) if true != claimed else 1.0)
        return Result("supports", len(CASES), worst=min(1.0, worst))

    def counterexample(self, claim: Claim, case: Case, claimed: arb, true: arb) -> Counterexample:
        given = ", ".join(f"{name}={value!r}" for name, value in case._asdict().items())
        above = self.factor if claimed > true else 1
        package, _, module = claim.__module__.rpartition(".")
        return Counterexample(
            operands=case._asdict(),
            where=self.quantity if above == 1 else f"{above} times {self.quantity}",
            claimed=claimed.str(DIGITS),
            true=(above * true).str(DIGITS),
            arithmetic=f"balls of {BITS} bits: the enclosures are disjoint",
            search=f"the first of {len(CASES)} cases",
            python=(
                f"from {package} import {module} as paper; from proofs_checks import enclosures as checks",
                f"print(paper.{getattr(claim, '__name__', claim)}({given}), checks.{self.truth.__name__}"
                f'(checks.Case({given})), sep="\\n")',
            ),
        )


# --- what evaluation loses


def measured_loss(P: ExpPolynomial, dtype: Any) -> float:
    """The largest relative error of Horner's rule in a dtype, against P itself, at `POINTS` + 1 points."""
    points = np.array([P.bound * cos(pi * k / POINTS) for k in range(POINTS + 1)], dtype)
    computed = np.zeros_like(points)
    for c in reversed(P.coefficients):
        computed = computed * points + dtype(float(c))
    with ctx.workprec(BITS):
        true = [P(arb(float(x))) for x in points]
        return max(float(abs(arb(float(y)) / t - 1).upper()) for y, t in zip(computed, true, strict=True))


# --- the table


class Row(NamedTuple):
    """What is known of one polynomial."""

    case: Case
    degree: int
    error: arb  # enclosed
    returned: float  # what is returned above the error, relatively
    stated: float  # the stated bound over the error
    one_less: bool
    promised: tuple[float, float]  # at most lost in float32 and float64, proved
    lost: tuple[float, float]  # measured


def row(case: Case) -> Row:
    P, error = polynomial(case), error_of(case)
    with ctx.workprec(BITS):
        excess = float((formulas.returned_error(**case._asdict()) / error - 1).upper())
        stated = float((formulas.stated_error(**case._asdict()) / error).upper())
    promised = P.loss(np.float32), P.loss(np.float64)
    lost = measured_loss(P, np.float32), measured_loss(P, np.float64)
    return Row(case, P.degree, error, excess, stated, allows_one_less(case), promised, lost)


HEADING = (
    "                       returned stated      float32          float64",
    "kind      B    degrees above by /truth less proved  measured proved  measured",
)


def summary() -> str:
    """A line for each kind and bound, the worst of all ε in each column."""
    found = list(HEADING)
    for kind, bound in product(KINDS, BOUNDS):
        rows = [row(Case(kind, bound, epsilon)) for epsilon in ERRORS]
        returned, stated = max(r.returned for r in rows), max(r.stated for r in rows)
        found.append(
            f"{kind:9} {bound:<4g} {f'{rows[0].degree}–{rows[-1].degree}':7} {returned:<8.1e} {stated:<6.2f}"
            f" {sum(r.one_less for r in rows):<4} {_losses(rows)}"
        )
    return "\n".join(found)


def every_line() -> str:
    """A line for each polynomial."""
    found = ["kind      B    ε     degree relative error      stated/truth one less  float32          float64"]
    for r in map(row, CASES):
        kind, bound, epsilon = r.case
        found.append(
            f"{kind:9} {bound:<4g} {epsilon:<5.0e} {r.degree:<6} {known_digits(r.error, 12):19} {r.stated:<12.3f}"
            f" {'yes' if r.one_less else 'no':8}  {_losses([r])}"
        )
    return "\n".join(found)


def _losses(rows: Iterable[Row]) -> str:
    """The largest loss in float32 and float64, as it is proved and as it is measured; all is lost from 1 on."""
    rows = list(rows)
    pairs = [(max(r.promised[k] for r in rows), max(r.lost[k] for r in rows)) for k in range(2)]
    return " ".join(f"{_loss(promised):7} {_loss(lost):8}" for promised, lost in pairs).rstrip()


def _loss(x: float) -> str:
    return f"{x:.1e}" if x < 1 else "all"


# --- the error of a given gradient


def gradient_error(
    computed: Any, X: Any, W: Any, W_V: Any, G: Any, *, scale: Fraction | int, causal: bool = False
) -> Truth:
    """|computed − exact| for gradients of ⟨G, softmax(scale · X W Xᵀ) X W_V⟩ that are given, enclosed entry by entry.

    `computed` has the arrays X, W and W_V, of floats, which are taken as exact numbers. The precision grows until
    `CERTAIN` bits of every error that is not zero are right; at `MOST_BITS` what cannot be told from zero is left.
    Shapes: X (n, d), W (d, d), W_V (d, d), G (n, d) -> those of `computed`. Cost: O(n³ d²) operations on balls.

    >>> half = Truth([[0.5], [0.5]], [[0.5]], [[0.5]])  # beside the gradients of a layer with n = 2, d = 1
    >>> errors = gradient_error(half, [[1], [2]], [[1]], [[1]], [[1], [0]], scale=1)
    >>> known_digits(errors.W_V[0, 0], 50)
    '1.2310585786300048792511592418218362743651446401650…'
    """
    given = Truth(balls(computed.X), balls(computed.W), balls(computed.W_V))
    bits = 2 * CERTAIN
    while True:
        true = ball_gradient(X, W, W_V, G, scale=scale, causal=causal, bits=bits)
        with ctx.workprec(bits):
            errors = Truth(*(_distance(a, b) for a, b in zip(given, true, strict=True)))
        if bits >= MOST_BITS or all(_certain(error) for array in errors for error in array.flat):
            return errors
        bits *= 2


def _certain(x: arb) -> bool:
    return bool(x.is_exact() or x.rel_accuracy_bits() >= CERTAIN)


def _distance(a: Array, b: Array) -> Array:
    """|a − b|, entry by entry."""
    if a.shape != b.shape:
        raise ValueError(f"a gradient of shape {a.shape} is given, that of the layer has shape {b.shape}")
    result = np.empty(a.shape, dtype=object)
    for index in np.ndindex(a.shape):
        result[index] = abs(a[index] - b[index])
    return frozen(result)


def known_digits(x: arb, most: int = 30) -> str:
    """The decimal digits that all numbers in the enclosure share: cut off, not rounded.

    >>> known_digits(arb("0.00012345", "1e-8")), known_digits(arb(-5) / 2), known_digits(arb(0, "1e-9"))
    ('1.234…e-4', '-2.5', 'at most 2e-9 in size')
    """
    middle, radius = _fraction(x.mid()), _fraction(x.rad())
    low, high = middle - radius, middle + radius
    if low == high == 0:
        return "0"
    small, large = sorted((abs(low), abs(high)))
    places = _places(large)
    shared = [
        str(small // unit) for k in range(most) if small // (unit := Fraction(10) ** (places - k)) == large // unit
    ]
    if low * high <= 0 or not shared or _places(small) < places:
        return f"at most {-(-large // Fraction(10) ** places)}{_power(places)} in size"
    first, rest = shared[-1][0], shared[-1][1:].rstrip("0" if low == high else "")
    whole = (
        low == high == Fraction(shared[-1]) * Fraction(10) ** (places + 1 - len(shared[-1])) * (1 if low > 0 else -1)
    )
    return f"{'-' if low < 0 else ''}{first}{'.' if rest else ''}{rest}{'' if whole else '…'}{_power(places)}"


def _fraction(x: arb) -> Fraction:
    """An exact ball as a fraction."""
    mantissa, exponent = x.man_exp()
    return int(mantissa) * Fraction(2) ** int(exponent)


def _places(x: Fraction) -> int:
    """The power of ten that the first digit of a positive number stands for."""
    places = len(str(x.numerator)) - len(str(x.denominator))
    return places if x >= Fraction(10) ** places else places - 1


def _power(places: int) -> str:
    return f"e{places}" if places else ""


def main() -> None:
    parser = argparse.ArgumentParser(description="The error of every polynomial of the table, enclosed.")
    parser.add_argument("--all", action="store_true", help="a line for each polynomial, not only for each bound")
    print(every_line() if parser.parse_args().all else summary())


if __name__ == "__main__":
    main()
