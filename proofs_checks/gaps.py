"""Witnesses of what the paper's theorems leave out, one for each size, and what is true with it.

`docs/theorems.md` proves of each family that it does for every n what is found here for a few.
"""

from __future__ import annotations

from collections.abc import Mapping
from fractions import Fraction
from functools import cached_property
from math import comb
from typing import Any

import numpy as np
from flint import arb, arb_mat, ctx

from proofs_checks.equation import form
from proofs_checks.family import FamilyTrial
from proofs_checks.ground_truth import BITS
from proofs_checks.polynomial import Accuracy, PolynomialTrial, least_degree_of_chebyshev
from proofs_checks.record import Check, Claim, Form
from proofs_checks.symbols import Symbols, total
from reference import polynomial


def falls(trial: FamilyTrial, claim: Claim, false: Mapping[str, Claim], *, reading: str = "", necessary: str) -> Form:
    """A printed form that the claim implies for all large n, tried by a family."""
    check = Check(kind="enclosure", claim=claim, trial=trial, false=false)
    return Form(reading=reading, formula=claim, necessary=necessary, checks=(check,))


# --- how many columns f takes


class Rows(Symbols):
    """The rows of a layer, and how far in each entry an approximation of f may be from it."""

    @property
    def error(self) -> arb:
        raise NotImplementedError

    @cached_property
    def columns(self) -> int:
        """n if no matrix of lower rank is so near to f in each entry, else 1, which is the least that f ≠ 0 takes.

        A singular matrix is at least 1/‖f⁻¹‖ away in the spectral norm, so 1/n of that in some entry, and
        ‖f⁻¹‖² is at most the largest sum of |entries| along a row of f⁻¹ times the largest along a column.
        """
        with ctx.workprec(BITS):
            try:
                inverse = np.array(arb_mat(self.f.tolist()).inv().tolist(), dtype=object)
            except ZeroDivisionError:  # not known to be invertible
                return 1
            sizes = [max(total(map(abs, line)) for line in lines) for lines in (inverse, inverse.T)]
            return self.n if self.n * self.error < 1 / (sizes[0] * sizes[1]).sqrt() else 1


class Enough(Rows):
    """The same rows, and how many columns are known to suffice: what a control needs: it must not exceed a claim."""

    @cached_property
    def columns(self) -> int:
        """Steps of Gaussian elimination with full pivots until no entry of the rest is above the error.

        What k steps take away has rank k. Pivots are chosen by midpoints; the rest is compared in balls.
        """
        rest = self.f
        with ctx.workprec(BITS):
            for k in range(self.n):
                if all(abs(x) <= self.error for x in rest.flat):
                    return k
                i, j = max(np.ndindex(rest.shape), key=lambda at: float(abs(rest[at])))
                rest = rest - np.outer(rest[:, j], rest[i]) / rest[i, j]
        return self.n


def columns(rows: Rows) -> int:
    return rows.columns


def entries(rows: Rows) -> int:
    """Of U1, n k1 of them."""
    return rows.n * rows.columns


class Third(Rows):
    """Within 1/(3n) of f."""

    @property
    def error(self) -> arb:
        return arb(1) / (3 * self.n)


class ThreeHalves(Rows):
    """Within n^{−3/2} of f."""

    @property
    def error(self) -> arb:
        return 1 / (self.n * arb(self.n).sqrt())


class Cubed(Rows):
    """Within n^{−3} of f."""

    @property
    def error(self) -> arb:
        return arb(1) / self.n**3


class EnoughForCubed(Enough, Cubed):
    pass


class EnoughForThird(Enough, Third):
    pass


class EnoughForThreeHalves(Enough, ThreeHalves):
    pass


def parabola(n: int) -> Third:
    """Rows (i, i², 1), scores 3(2ij − j²) = 3i² − 3(i − j)², with 1/d: each row attends to itself."""
    return Third.of(
        n, 3, X=[[i, i * i, 1] for i in range(n)], W=[[18, 0, 0], [0, 0, 0], [0, -9, 0]], scale=Fraction(1, 3)
    )


def flat_parabola(n: int) -> Third:
    """The same with rows (i/m, i²/m², 1), m the power of two above n: no entry of X is above 1, and none of X W
    above 18. Two columns are enough."""
    m = 2 ** n.bit_length()
    X = [[i / m, i * i / m**2, 1] for i in range(n)]
    return EnoughForThird.of(n, 3, X=X, W=[[18, 0, 0], [0, 0, 0], [0, -9, 0]], scale=Fraction(1, 3))


def all_signs(d: int) -> list[list[int]]:
    return [[1 - 2 * (i >> a & 1) for a in range(d)] for i in range(2**d)]


def identity(d: int) -> list[list[int]]:
    return [[int(a == b) for b in range(d)] for a in range(d)]


def signs(d: int) -> ThreeHalves:
    """All n = 2^d vectors of signs, W = I, scores X W Xᵀ."""
    return ThreeHalves.of(2**d, d, X=all_signs(d), W=identity(d))


def small_signs(d: int) -> ThreeHalves:
    """The same with scores X W Xᵀ/(8d), of at most 1/8. With 1/d alone elimination takes more than √n columns for
    so small d."""
    return EnoughForThreeHalves.of(2**d, d, X=all_signs(d), W=identity(d), scale=Fraction(1, 8 * d))


def orthogonal(n: int) -> Cubed:
    """X = I and W = n I, d = n: with 1/d a score of 1 of each row with itself, and of 0 with all others."""
    return Cubed.of(n, n, X=identity(n), W=[[n * x for x in row] for row in identity(n)], scale=Fraction(1, n))


def on_a_line(n: int) -> Cubed:
    """Rows i/n and scores of at most 1/64, d = 1. Two columns are enough."""
    return EnoughForCubed.of(n, 1, X=[[i / n] for i in range(n)], W=[[1 / 64]])


SIGNS = FamilyTrial(
    "columns of U1 for ‖U1V1ᵀ − f‖∞ ≤ n^(−3/2)",
    columns,
    signs,
    small_signs,
    "scores of at most 1/8",
    (2, 3, 4, 5),
    shown=("n", "d"),
)
PARABOLA = FamilyTrial(
    "columns of U1 for ‖U1V1ᵀ − f‖∞ ≤ 1/(3n)",
    columns,
    parabola,
    flat_parabola,
    "entries of at most 18",
    (4, 8, 16, 32),
    shown=("n", "d"),
)
ORTHOGONAL = FamilyTrial(
    "columns of U1 for ‖U1V1ᵀ − f‖∞ ≤ n^(−3)",
    columns,
    orthogonal,
    on_a_line,
    "d = 1",
    (4, 8, 16, 32),
    shown=("n", "d"),
)
SIGNS_WRITTEN = FamilyTrial(
    "entries of U1 for ‖U1V1ᵀ − f‖∞ ≤ n^(−3/2)",
    entries,
    signs,
    small_signs,
    "scores of at most 1/8",
    (2, 3, 4, 5),
    shown=("n", "d"),
)
PARABOLA_WRITTEN = FamilyTrial(
    "entries of U1 for ‖U1V1ᵀ − f‖∞ ≤ 1/(3n)",
    entries,
    parabola,
    flat_parabola,
    "entries of at most 18",
    (4, 8, 16, 32),
    shown=("n", "d"),
)


def all_but_one(n: int) -> int:
    """False, and weaker: n − 1."""
    return n - 1


def half_of_them(n: int) -> int:
    """False, and weaker: n/2."""
    return n // 2


def square_less_one_row(n: int) -> int:
    """False, and weaker: n² − n."""
    return n * n - n


def half_of_the_square(n: int) -> int:
    return n * n // 2


FALSE_COLUMNS: dict[str, Claim] = {"n − 1": all_but_one, "n/2": half_of_them}
FALSE_ENTRIES: dict[str, Claim] = {"n² − n": square_less_one_row, "n²/2": half_of_the_square}
FEW = "k1 = n^{o(1)} means log k1/log n → 0, so k1 ≤ √n for all large n"
WRITTEN = "the n k1 entries of U1 are written one by one, and a time of n^{1+o(1)} is at most n^{3/2} for all large n"


# --- how many columns a polynomial gives


def log_of_rank(symbols: Accuracy) -> arb:
    """log binom(d+g, g) for the least g with 2e^B Σ_{k>g} I_k(B) ≤ ε."""
    g = least_degree_of_chebyshev(symbols)
    with ctx.workprec(BITS):
        return arb(comb(symbols.d + g, g)).log()


def log_rank_fifth(d: int, bound: Any, digits: Any) -> arb:
    """False: a fifth of it."""
    return polynomial.log_rank_bound(d, bound, digits) / 5


def log_rank_without_d(d: int, bound: Any, digits: Any) -> arb:
    """False: e^{G/5}, whatever d is."""
    return polynomial.sufficient_degree(bound, digits) / 5


def log_rank_by_d(d: int, bound: Any, digits: Any) -> arb:
    """False: (1 + d)^G without e, and a quarter of G."""
    G = polynomial.sufficient_degree(bound, digits) / 4
    return G * (1 + d / G).log()


RANK = PolynomialTrial(
    "log binom(d+g, g), g the least with 2e^B Σ_{k>g} I_k(B) ≤ ε",
    log_of_rank,
    ("X",),
    hypothesis="balls, log(1/ε) = n d²/4, n ≤ 6, d ≤ 6, B the largest of 1 and up to 36 squares of Gaussian numbers or"
    " small integers",
    kind=Accuracy,
)
FALSE_RANK: dict[str, Claim] = {
    "e^{G/5}": log_rank_without_d,
    "a fifth": log_rank_fifth,
    "(1 + d/G)^G, a quarter of G": log_rank_by_d,
}
BOUNDED = "|scores| ≤ B = o(log n), d = O(log n), ε ≥ 1/poly(n)"
SMALL_RANK = (
    "P(S) has rank binom(d+g, g) for P of degree g, and at the least degree with relative error ε on [−B, B] its"
    " logarithm is at most G(1 + log(1 + d/G)), G = 5 max{B, L/log(L/B)}, L = log(1/ε) (docs/theorems.md). With"
    " d ≤ c log n, L ≤ k log n and 1 ≤ B = o(log n), G is o(log n), and G log(1 + d/G) too: the rank is n^{o(1)}"
)


def few(implication: str, reading: str = BOUNDED) -> Form:
    """What is true of rank and time with bounded scores."""
    made = form(polynomial.log_rank_bound, RANK, FALSE_RANK, role="hypothesis", reading=reading)
    return Form(
        role=made.role,
        reading=reading,
        formula=made.formula,
        implication=f"{SMALL_RANK}. {implication}",
        checks=made.checks,
    )
